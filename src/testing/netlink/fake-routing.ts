/** Addresses, routes, next hops and rules of the fake kernel. */
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { NLM_F_EXCL, NLM_F_REPLACE } from '../../netlink/constants.ts';
import {
  FR_ACT_UNSPEC,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RT_TABLE_UNSPEC,
  RTN_UNICAST,
} from '../../netlink/route/constants.ts';
import type { Address, Link, Nexthop, Route, Rule } from '../../netlink/route/objects.ts';
import { flushNeighbors } from './fake-neighbors.ts';
import { FakeRefusal } from './fake-refusal.ts';
import { type FakeState, linkByIndex, without } from './fake-state.ts';

const RTNH_F_ONLINK = 4;
const RTPROT_KERNEL = 2;
const IFA_F_PERMANENT = 0x80;
/** Metric of an IPv6 route that was given none (IP6_RT_PRIO_USER). */
const IPV6_METRIC = 1024;
/** Priority of the first rule that was given none: one before that of the main table. */
const LAST_FREE_PRIORITY = 32765;

const sameAddress = (a: Address) => (b: Address) =>
  a.index === b.index && a.length === b.length && a.ip.equals(b.ip);

export function setAddress(state: FakeState, asked: Address, flags: number): void {
  const link = linkByIndex(state, asked.index);
  if (state.addresses.some(sameAddress(asked)) && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  const address = {
    ...asked,
    flags: asked.flags | IFA_F_PERMANENT,
    ...(asked.family === 'ipv4' ? { label: asked.label ?? link.name } : {}),
  };
  state.addresses = [...state.addresses.filter(other => !sameAddress(asked)(other)), address];
  state.announce({ type: 'address', gone: false, address });
  if (link.up) addConnectedRoute(state, address);
}

export function deleteAddress(state: FakeState, asked: Address): void {
  linkByIndex(state, asked.index);
  if (!state.addresses.some(sameAddress(asked))) throw new FakeRefusal('EADDRNOTAVAIL');
  state.addresses = without(state.addresses, sameAddress(asked), address =>
    state.announce({ type: 'address', gone: true, address }),
  );
  state.routes = without(
    state.routes,
    route => route.protocol === RTPROT_KERNEL && route.preferredSource?.equals(asked.ip) === true,
    route => state.announce({ type: 'route', gone: true, route }),
  );
  // The last IPv4 address of a link takes the link out of IPv4 altogether.
  const isLast = !state.addresses.some(({ index, family }) => index === asked.index && family === 'ipv4');
  if (asked.family !== 'ipv4' || !isLast) return;
  flushNeighbors(state, asked.index, 'ipv4');
  flushRoutes(state, route => route.family === 'ipv4' && route.oif === asked.index);
}

/** The network of an address is reached over its link. */
export function addConnectedRoute(state: FakeState, { ip, length, index, family }: Address): void {
  if (length === ip.bytes.length * 8) return;
  const route: Route = {
    destination: Prefix.of(ip, length),
    family,
    table: RT_TABLE_MAIN,
    protocol: RTPROT_KERNEL,
    scope: family === 'ipv4' ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    type: RTN_UNICAST,
    flags: 0,
    oif: index,
    ...(family === 'ipv4' ? { preferredSource: ip } : { priority: 256 }),
    unknown: [],
  };
  if (state.routes.some(sameRoute(route))) return;
  state.routes = [...state.routes, route];
  state.announce({ type: 'route', gone: false, route });
}

const sameRoute = (a: Route) => (b: Route) =>
  a.family === b.family &&
  a.table === b.table &&
  (a.priority ?? 0) === (b.priority ?? 0) &&
  (a.destination === undefined ? b.destination === undefined : a.destination.equals(b.destination));

export function setRoute(state: FakeState, asked: Route, flags: number): void {
  const route = resolved(state, asked);
  const known = state.routes.some(sameRoute(route));
  if (known && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  if (known && flags & NLM_F_REPLACE) state.routes = state.routes.filter(other => !sameRoute(route)(other));
  state.routes = [...state.routes, route];
  state.announce({ type: 'route', gone: false, route });
}

/** With the next hop's gateway and link filled in, as the kernel shows it. @throws FakeRefusal */
function resolved(state: FakeState, asked: Route): Route {
  const route = asked.family === 'ipv6' ? { ...asked, priority: asked.priority ?? IPV6_METRIC } : asked;
  if (route.nexthopId !== undefined) {
    const nexthop = state.nexthops.find(({ id }) => id === route.nexthopId);
    if (nexthop === undefined) throw new FakeRefusal('EINVAL', 'Nexthop id does not exist');
    return { ...route, ...through(nexthop) };
  }
  if (route.type !== RTN_UNICAST) return route;
  return { ...route, oif: outgoing(state, route) };
}

function through({ gateway, oif, flags }: Nexthop): Partial<Route> {
  return {
    flags: flags & RTNH_F_ONLINK,
    ...(gateway === undefined ? {} : { gateway }),
    ...(oif === undefined ? {} : { oif }),
  };
}

/** Index of the link that a next hop leaves by. @throws FakeRefusal */
function outgoing(
  state: FakeState,
  { gateway, oif, flags }: Pick<Route, 'gateway' | 'oif' | 'flags'>,
): number {
  const link = oif === undefined ? undefined : state.links.get(oif);
  if (oif !== undefined && link === undefined) throw new FakeRefusal('ENODEV', 'Invalid device index');
  if (link !== undefined && (gateway === undefined || flags & RTNH_F_ONLINK)) {
    if (!link.up) throw new FakeRefusal('ENETDOWN', 'Nexthop device is not up');
    return link.index;
  }
  const direct =
    gateway && state.routes.find(route => isDirect(route, gateway) && (oif ?? route.oif) === route.oif);
  if (direct?.oif === undefined) throw new FakeRefusal('ENETUNREACH', 'Nexthop has invalid gateway');
  return direct.oif;
}

function isDirect(route: Route, gateway: Ip): boolean {
  return route.gateway === undefined && route.destination?.contains(gateway) === true;
}

/** What is given must match; what is not matches anything. */
export function deleteRoute(state: FakeState, asked: Route): void {
  const fits = (route: Route) =>
    sameRoute({
      ...asked,
      ...(asked.priority === undefined && route.priority ? { priority: route.priority } : {}),
    })(route) &&
    (asked.type === 0 || asked.type === route.type) &&
    (asked.protocol === 0 || asked.protocol === route.protocol) &&
    (asked.scope === RT_SCOPE_NOWHERE || asked.scope === route.scope) &&
    (asked.oif === undefined || asked.oif === route.oif) &&
    (asked.gateway === undefined || asked.gateway.equals(route.gateway)) &&
    (asked.nexthopId === undefined || asked.nexthopId === route.nexthopId);
  const goner = state.routes.find(fits);
  if (goner === undefined) throw new FakeRefusal('ESRCH');
  state.routes = without(
    state.routes,
    route => route === goner,
    route => state.announce({ type: 'route', gone: true, route }),
  );
}

/** The longest matching route of the main table. @throws FakeRefusal ENETUNREACH */
export function lookUpRoute(state: FakeState, destination: Ip): Route {
  const [best] = state.routes
    .filter(route => route.family === destination.family && route.table === RT_TABLE_MAIN)
    .filter(route => route.destination?.contains(destination) !== false)
    .sort((a, b) => (b.destination?.length ?? 0) - (a.destination?.length ?? 0));
  if (best === undefined) throw new FakeRefusal('ENETUNREACH');
  return { ...best, destination: Prefix.of(destination, destination.bytes.length * 8), protocol: 0 };
}

export function setNexthop(state: FakeState, asked: Nexthop, flags: number): void {
  const known = state.nexthops.some(({ id }) => id === asked.id);
  if (known && flags & NLM_F_EXCL) throw new FakeRefusal('EEXIST');
  if (asked.blackhole !== true && !state.links.has(asked.oif ?? 0))
    throw new FakeRefusal('EINVAL', 'Invalid device index');
  if (asked.blackhole !== true) outgoing(state, asked);
  const nexthop = { ...asked, scope: scopeOf(asked) };
  state.nexthops = [...state.nexthops.filter(({ id }) => id !== asked.id), nexthop];
  state.announce({ type: 'nexthop', gone: false, nexthop });
  state.routes = state.routes.map(route =>
    route.nexthopId === asked.id ? { ...route, ...through(asked) } : route,
  );
}

/** The routes through a next hop go with it, and the IPv4 ones are not announced. */
export function deleteNexthop(state: FakeState, id: number): void {
  if (!state.nexthops.some(nexthop => nexthop.id === id)) throw new FakeRefusal('ENOENT');
  state.nexthops = without(
    state.nexthops,
    nexthop => nexthop.id === id,
    nexthop => state.announce({ type: 'nexthop', gone: true, nexthop }),
  );
  flushRoutes(state, route => route.nexthopId === id);
}

/** A link that goes down takes routes and next hops along: IPv4 and next hops in silence, IPv6 aloud. */
export function flushRouting(state: FakeState, index: number): void {
  flushRoutes(state, route => route.oif === index);
  state.nexthops = state.nexthops.filter(nexthop => nexthop.oif !== index);
}

function flushRoutes(state: FakeState, goes: (route: Route) => boolean): void {
  state.routes = without(state.routes, goes, route => {
    if (route.family === 'ipv6') state.announce({ type: 'route', gone: true, route });
  });
}

export function flushAddresses(state: FakeState, link: Link): void {
  state.addresses = without(
    state.addresses,
    address => address.index === link.index,
    address => state.announce({ type: 'address', gone: true, address }),
  );
}

export function addRule(state: FakeState, asked: Rule, flags: number): void {
  const family = state.rules.filter(rule => rule.family === asked.family);
  const taken = family.map(rule => rule.priority ?? 0).filter(priority => priority > 0);
  const rule = { ...asked, priority: asked.priority ?? Math.min(LAST_FREE_PRIORITY + 1, ...taken) - 1 };
  if (flags & NLM_F_EXCL && asked.priority !== undefined && family.some(sameRule(asked))) {
    throw new FakeRefusal('EEXIST');
  }
  state.rules = [...state.rules, rule].sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
  state.announce({ type: 'rule', gone: false, rule });
}

export function deleteRule(state: FakeState, asked: Rule): void {
  const goner = state.rules.find(sameRule(asked));
  if (goner === undefined) throw new FakeRefusal('ENOENT');
  state.rules = without(
    state.rules,
    rule => rule === goner,
    rule => state.announce({ type: 'rule', gone: true, rule }),
  );
}

/** What `a` leaves open stands for anything. */
const sameRule = (a: Rule) => (b: Rule) =>
  a.family === b.family &&
  (a.priority ?? b.priority) === b.priority &&
  (a.table === RT_TABLE_UNSPEC || a.table === b.table) &&
  (a.action === FR_ACT_UNSPEC || a.action === b.action) &&
  a.fwmark === b.fwmark &&
  a.iifName === b.iifName &&
  a.oifName === b.oifName &&
  `${a.source}` === `${b.source}` &&
  `${a.destination}` === `${b.destination}`;

/** How far away the kernel takes what is behind a next hop to be. */
function scopeOf({ oif, gateway }: Nexthop): number {
  if (oif === undefined) return RT_SCOPE_UNIVERSE;
  return gateway === undefined ? RT_SCOPE_HOST : RT_SCOPE_LINK;
}
