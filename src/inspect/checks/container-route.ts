/**
 * The way out of containers on the overlay: asked of the kernel inside of each, for packets to containers of other hosts,
 * so that routes and policy rules of any kind have their say.
 */
import type { Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { RT_TABLE_LOCAL, RT_TABLE_MAIN, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Link, Route, Rule } from '../../netlink/route/objects.ts';
import { routeLine, ruleLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import type { Member } from '../host/members.ts';
import type { Lookup } from '../host/namespace-reader.ts';
import { byHand, type Cause, fixedBy, HERE, inContainer, ipCommand, removing } from './check.ts';
import { defaultRouteCommands, judgeNarrow, tooNarrow, tooWide } from './container-netmask.ts';
import { judgeOwnAddress } from './container-own-address.ts';
import { decide } from './fib.ts';

/** What the kernel says of a packet of the container. */
export interface AskedWay {
  readonly destination: Ip;
  /** IPPROTO_*; absent for any. */
  readonly protocol?: number;
  readonly lookup: Lookup;
}

export interface RouteFacts {
  readonly member: Member;
  readonly family: Family;
  /** Of links in the container. */
  readonly nameOf: NameOf;
  /** Of the family, of all tables. */
  readonly routes: readonly Route[];
  /** Without those that every namespace has. */
  readonly rules: readonly Rule[];
  /** To containers of other hosts. */
  readonly ways: readonly AskedWay[];
  /** What forwards packets of the container: addresses of its bridge, and of containers that forward. */
  readonly gateways: readonly Ip[];
  /** All on its bridge: the bridge itself, and other containers. */
  readonly stations: readonly Ip[];
  /** The host answers ARP requests for what is behind it (proxy_arp). */
  readonly isProxied: boolean;
  /** Of this host. */
  readonly subnets: readonly Prefix[];
  /** The way of a packet whose program leaves the source to the kernel, as nearly all do. */
  readonly unbound?: Route;
  /** What the kernel inside does with packets for the container's own address. */
  readonly own?: { readonly ip: Ip; readonly route: Route };
  /** A packet of a container of another host comes in. */
  readonly incoming?: { readonly source: Ip; readonly lookup: Lookup };
  /** rp_filter of the container's link. */
  readonly isStrict: boolean;
}

/** At most one for each code: routes to many hosts go wrong together. */
export function judgeRoutes(facts: RouteFacts): Cause[] {
  const causes = new Map<string, Cause>();
  for (const way of facts.ways) {
    const cause = judgeWay(way, facts);
    if (cause !== undefined && !causes.has(cause.code)) causes.set(cause.code, cause);
  }
  if (causes.size > 0) return [...causes.values()];
  return [
    ...judgeOwnAddress(facts),
    ...judgeNarrow(facts.member, facts.family, facts.stations),
    ...judgeSource(facts),
    ...judgeIncoming(facts),
  ];
}

function judgeSource({ member, nameOf, subnets, unbound }: RouteFacts): Cause[] {
  const { container, inner } = member;
  const source = unbound?.preferredSource;
  if (source === undefined || unbound?.oif !== inner.index) return [];
  if (subnets.some(block => block.contains(source))) return [];
  return [
    {
      code: 'CONTAINER_SOURCE',
      severity: 'error',
      layer: 'container',
      reason: `the container ${container.name} sends to containers of other hosts from ${source}, which is not in the subnet of ${HERE}: these neither take nor answer what comes from there`,
      evidence: [`${container.name}: ${routeLine(unbound, nameOf)}`],
      remedy: `${container.enter.join(' ')} ip route show default: the route has another address as its 'src', or the address of the overlay is not the first of ${inner.name}`,
    },
  ];
}

function judgeWay(way: AskedWay, facts: RouteFacts): Cause | undefined {
  const { destination, lookup } = way;
  const { member, family, routes, rules, nameOf, gateways, isProxied } = facts;
  const { inner } = member;
  const { route, refusal } = lookup;
  if (refusal !== undefined) {
    const isMissing = refusal.code === 'ENETUNREACH' && !routes.some(isDefault);
    if (isMissing && rules.length === 0) return noDefaultRoute(member, family, facts);
    return detour(way, facts, refusalText(refusal.code));
  }
  const isOwn = route.oif === inner.index;
  if (route.type !== RTN_UNICAST) return detour(way, facts, 'they stay in the container');
  if (!isOwn) return isElsewhere(route, member) ? undefined : detour(way, facts, leave(route, nameOf));
  if (route.gateway === undefined) {
    if (isProxied) return undefined;
    const mask = member.addresses.find(({ ip, length }) => Prefix.of(ip, length).contains(destination));
    const entry = bestRoute(routes, destination);
    if (mask !== undefined && (entry?.destination?.length ?? 0) <= mask.length) {
      return tooWide(member, mask, destination);
    }
    return detour(way, facts, `they go to ${inner.name} without a gateway, where nobody has the address`);
  }
  const { gateway } = route;
  // A router's own address on the link, as router advertisements name it, is not compared.
  if (gateways.length === 0 || gateway.isLinkLocal || gateways.some(ip => ip.equals(gateway)))
    return undefined;
  const entry = bestRoute(routes, destination);
  if (entry?.destination !== undefined)
    return detour(way, facts, `they go to ${gateway}, which does not forward them`);
  return wrongGateway(facts, gateway, entry);
}

/** What the kernel answers for each type of route or rule (fib_props, net/ipv4/fib_semantics.c). */
const REFUSALS: Readonly<Record<string, string>> = {
  EINVAL: 'discards them, as for a blackhole',
  EACCES: 'refuses them as prohibited',
  EHOSTUNREACH: 'refuses them as unreachable',
  ENETUNREACH: 'knows no way for them',
};

const refusalText = (code: string): string => `the kernel ${REFUSALS[code] ?? 'refuses them'} (${code})`;

const isDefault = ({ destination, type }: Route) => destination === undefined && type === RTN_UNICAST;

/** A container may have other networks, and reach everything through one of them that somebody is on. */
function isElsewhere({ oif }: Route, { container }: Member): boolean {
  const link = container.allLinks.find(({ index }) => index === oif);
  return link !== undefined && link.up && link.running && !isDeadEnd(link, container.allLinks);
}

const LOOPBACK = 0x8;
/** Nobody is behind it: a bridge that never had a port claims a carrier, and so does a pair with both ends in the container. */
function isDeadEnd({ index, flags, info, lower, netnsId }: Link, all: readonly Link[]): boolean {
  if ((flags & LOOPBACK) !== 0) return true;
  if (info?.kind === 'bridge') return !all.some(({ master }) => master === index);
  if (info?.kind === 'veth') return netnsId === undefined && isEnd(all.find(one => one.index === lower));
  return info?.kind === 'other' && info.name === 'dummy';
}

/** The other end of a pair, in the same namespace and on no bridge. */
const isEnd = (other: Link | undefined) => other !== undefined && other.master === undefined;

const leave = ({ oif }: Route, nameOf: NameOf) =>
  `they leave over ${oif === undefined ? 'no link' : nameOf(oif)}`;

/** The entry of the longest prefix. */
function bestRoute(routes: readonly Route[], destination: Ip): Route | undefined {
  return routes
    .filter(route => route.destination === undefined || route.destination.contains(destination))
    .toSorted((a, b) => (b.destination?.length ?? 0) - (a.destination?.length ?? 0))
    .at(0);
}

function noDefaultRoute(member: Member, family: Family, { nameOf, routes }: RouteFacts): Cause {
  const { container } = member;
  const narrow = tooNarrow(member, family);
  if (narrow !== undefined) return narrow;
  const own = routes.filter(({ oif, type }) => oif === member.inner.index && type === RTN_UNICAST);
  const cause = {
    code: 'CONTAINER_NO_DEFAULT_ROUTE',
    severity: 'error' as const,
    layer: 'container' as const,
    reason: `the container ${container.name} has no default route: it cannot answer containers of other hosts`,
    evidence: [
      `${container.name}: ip route show default: nothing`,
      ...own.map(route => `${container.name}: ${routeLine(route, nameOf)}`),
    ],
  };
  return byDefaultRoute(member, family, cause);
}

/** Undone by a default route through the bridge, where that has an address. */
function byDefaultRoute(member: Member, family: Family, cause: Omit<Cause, 'remedy' | 'fix'>): Cause {
  const fix = defaultRouteCommands(member, family);
  if (fix.length > 0) return fixedBy(fix, cause);
  const remedy = `give ${member.container.name} a default route through the bridge of this host`;
  return { ...cause, remedy };
}

function wrongGateway({ member, family, nameOf }: RouteFacts, gateway: Ip, entry: Route | undefined): Cause {
  const { container, home } = member;
  const own = home?.addresses.map(({ ip, length }) => `${home.link.name}: ${ip}/${length}`) ?? [];
  return byDefaultRoute(member, family, {
    code: 'CONTAINER_WRONG_GATEWAY',
    severity: 'error',
    layer: 'container',
    reason: `the default route of the container ${container.name} leads to ${gateway}, which is not its bridge: its packets go nowhere`,
    evidence: [...(entry ? [`${container.name}: ${routeLine(entry, nameOf)}`] : []), ...own],
  });
}

const USUAL_TABLES = [RT_TABLE_LOCAL, RT_TABLE_MAIN];

/** Rules of policy routing lead away, or an entry more specific than the default route. */
function detour(way: AskedWay, { member, rules, routes, nameOf }: RouteFacts, consequence: string): Cause {
  const { destination } = way;
  const { name } = member.container;
  const entry = bestRoute(routes, destination);
  // An entry of the main table that says no by itself needs no rule.
  const isChosen = entry === undefined || isDefault(entry) || !USUAL_TABLES.includes(entry.table);
  const isRule = rules.length > 0 && isChosen;
  const source = member.addresses.find(({ family }) => family === destination.family)?.ip;
  const { rule = rules[0] } = decide({ ...way, ...(source && { source }) }, rules, routes) ?? {};
  const ip = ipCommand(destination.family).split(' ');
  const { container } = member;
  const cause = {
    code: isRule ? 'CONTAINER_RULE' : 'CONTAINER_ROUTE',
    severity: 'error' as const,
    layer: 'container' as const,
    reason: `${isRule ? 'a policy rule' : 'a route'} in the container ${name} captures packets to containers of other hosts: ${consequence}`,
    evidence: [
      `${name}: to ${destination}`,
      ...rules.map(rule => `${name}: ${ruleLine(rule)}`),
      ...(entry ? [`${name}: ${routeLine(entry, nameOf)}`] : []),
    ].slice(0, 20),
  };
  if (isRule) {
    const command = [...ip, 'rule', 'del', 'priority', `${rule?.priority ?? 0}`];
    return { ...cause, remedy: removing(inContainer(container, ...command).join(' ')) };
  }
  const words = entry === undefined ? [`${destination}`] : entryWords(entry, nameOf).split(' ');
  const removal = inContainer(container, ...ip, 'route', 'del', ...words);
  // Without its default route the container would have none.
  const instead = entry?.destination === undefined ? defaultRouteCommands(member, destination.family) : [];
  return instead.length > 0
    ? byHand([removal, ...instead], cause)
    : { ...cause, remedy: removing(removal.join(' ')) };
}

const entryWords = (route: Route, nameOf: NameOf) =>
  routeLine(route, nameOf).replace(/ (proto|scope|src) \S+/g, '');

function judgeIncoming({ incoming, member, ways, isStrict }: RouteFacts): Cause[] {
  // EXDEV is strict reverse path filtering (net/ipv4/fib_frontend.c); since Linux 6.14 the kernel says EINVAL instead.
  const code = incoming?.lookup.refusal?.code;
  const isAsymmetric = ways.some(
    ({ lookup }) => lookup.route !== undefined && lookup.route.oif !== member.inner.index,
  );
  if (incoming === undefined || !(code === 'EXDEV' || (code === 'EINVAL' && isStrict && isAsymmetric)))
    return [];
  const { container, inner } = member;
  const paths = ['all', inner.name].map(name => `net.ipv4.conf.${name}.rp_filter`);
  return [
    {
      code: 'STRICT_RP_FILTER',
      severity: 'error',
      layer: 'container',
      reason: `the container ${container.name} would answer containers of other hosts over another link than ${inner.name}, and drops what they send (rp_filter is strict)`,
      evidence: [
        `${container.name}: ip route get ${member.addresses[0]?.ip} from ${incoming.source} iif ${inner.name}: ${code}`,
      ],
      remedy: paths.map(path => `${container.enter.join(' ')} sysctl -w ${path}=2`).join('; '),
    },
  ];
}
