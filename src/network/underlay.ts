/**
 * Which interface carries the tunnels, and which address is published to peers. A pure decision over what the kernel
 * has at one moment, made again whenever that changes.
 *
 * The ways are flannel's (pkg/ipmatch/match.go), in its order: every `--iface`, every `--iface-regex`,
 * `--iface-can-reach`; with none of them `--public-ip`, then the device of the default route. What flannel does
 * not do: a public address that no interface has (a host behind NAT) falls back to the default route.
 *
 * Of several addresses of the interface the one in use stays for as long as it can be used: one that comes later
 * (the kernel lists a new IPv6 address first) does not move the tunnels.
 */

import type { Underlay } from '../backend/backend.ts';
import type { UnderlayRoute } from '../backend/topology.ts';
import { defined } from '../base/defined.ts';
import { FAMILY_LABELS, type Family, Ip } from '../base/ip.ts';
import { mapFamilies, perFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { PROTOCOL } from '../dataplane/tables/entry.ts';
import { NetlinkError } from '../netlink/errors.ts';
import { IFA_F_DADFAILED, IFA_F_PERMANENT, RT_TABLE_MAIN, RTN_UNICAST } from '../netlink/route/constants.ts';
import { linksOfRoute } from '../netlink/route/multipath.ts';
import type { Address, Link, Route } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { readModuleParameter } from '../sys/sysctl.ts';
import { hasTunDevices } from '../sys/tun.ts';
import type { HostTables } from './host-tables.ts';
import type { UnderlayCriteria } from './options.ts';

/** include/uapi/linux/if_addr.h. */
const IFA_F_TEMPORARY = 0x01;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;

/** What a default route leads to. */
const DEFAULTS = { ipv4: Prefix.parse('0.0.0.0/0'), ipv6: Prefix.parse('::/0') } as const;

/** Linux' default, from before IANA's 4789 (drivers/net/vxlan), for as long as its module is not loaded. */
const DEFAULT_VXLAN_PORT = 8472;

/** What the kernel has: everything the decision is made of. */
export interface HostNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** Default routes of the main table. */
  readonly defaultRoutes: readonly Route[];
  /** All of the main table that are not ours; undefined when the backend does not need them. */
  readonly routes?: readonly UnderlayRoute[];
  /** The route to `--iface-can-reach`; undefined when it is not asked for or the kernel has none. */
  readonly reach?: Route;
  /** UDP port of a VXLAN device for which none is asked. */
  readonly defaultVxlanPort: number;
  /** Whether a program may make TUN devices; absent means yes. */
  readonly hasTun?: boolean;
}

export type UnderlayChoice =
  | { readonly found: true; readonly underlay: Underlay; readonly chosenBy: string }
  | { readonly found: false; readonly reason: string; readonly hint: string };

/** Whether routes decide. A named interface needs none, and the thousands of routes to peers need no reading. */
export function isChosenByRoute({ interfaces, patterns, canReach }: UnderlayCriteria): boolean {
  return canReach !== undefined || (interfaces.length === 0 && patterns.length === 0);
}

/**
 * Reads what `chooseUnderlay` needs.
 * @param tables of links and addresses. @param needsRoutes whether the backend needs the routes of the underlay
 * @throws NetlinkError, SysError
 */
export async function readHostNetwork(
  netlink: Pick<Rtnetlink, 'routes'>,
  tables: HostTables,
  { criteria, needsRoutes }: { readonly criteria: UnderlayCriteria; readonly needsRoutes: boolean },
): Promise<HostNetwork> {
  const [{ links, addresses }, routes] = await Promise.all([
    tables.read(),
    needsRoutes || isChosenByRoute(criteria) ? netlink.routes.list({ table: RT_TABLE_MAIN }) : [],
  ]);
  const reach = criteria.canReach && (await routeTo(netlink, criteria.canReach));
  return {
    links,
    addresses,
    defaultRoutes: routes.filter(route => route.destination === undefined && route.type === RTN_UNICAST),
    ...(needsRoutes && { routes: routes.filter(isForeignRoute).map(underlayRoute) }),
    ...(reach === undefined ? {} : { reach }),
    defaultVxlanPort: Number(readModuleParameter('vxlan', 'udp_port') ?? DEFAULT_VXLAN_PORT),
    hasTun: hasTunDevices(),
  };
}

/** Whether it is a way that was there before ours. */
export const isForeignRoute = ({ protocol, table, type }: Route): boolean =>
  protocol !== PROTOCOL && table === RT_TABLE_MAIN && type === RTN_UNICAST;

function underlayRoute(route: Route): UnderlayRoute {
  const { destination = DEFAULTS[route.family], gateway, oif } = route;
  return { destination, ...defined({ gateway, link: oif }) };
}

/** undefined when there is none, which the kernel says in several ways: unreachable, prohibited, a black hole. */
async function routeTo(netlink: Pick<Rtnetlink, 'routes'>, destination: Ip): Promise<Route | undefined> {
  try {
    return await netlink.routes.lookup(destination);
  } catch (error) {
    if (error instanceof NetlinkError) return undefined;
    throw error;
  }
}

/** Whether this host lacks an address, among those that its sockets are bound to. */
export function isForeignTo({ addresses }: HostNetwork): (text: string) => boolean {
  const own = new Set(addresses.map(({ ip }) => ip.toString()));
  return text => {
    const ip = Ip.tryParse(text.replace(/%.*/, ''));
    // All of 127.0.0.0/8 is here, although the interface has one address of it.
    return ip !== undefined && !ip.isLoopback && !own.has(ip.toString());
  };
}

/**
 * @param families those that the network has enabled: the interface needs a usable address of each.
 * @param inUse what was chosen last.
 */
export function chooseUnderlay(
  network: HostNetwork,
  criteria: UnderlayCriteria,
  families: readonly Family[],
  inUse?: Underlay,
): UnderlayChoice {
  const host = { ...network, criteria, inUse };
  const failures: string[] = [];
  for (const { by, link, prefer, absent = 'no such interface' } of candidates(host, families)) {
    if (link === undefined) {
      failures.push(`${by}: ${absent}`);
      continue;
    }
    const activePlan = describe(host, families, link, prefer);
    if (typeof activePlan !== 'string') return { found: true, underlay: activePlan, chosenBy: by };
    failures.push(`${by}: ${activePlan}`);
  }
  const now = inUse && linkOf(host, inUse.link.index)?.name;
  const renamed =
    now === undefined || now === inUse?.link.name ? '' : `${inUse?.link.name} was renamed to ${now}; `;
  return {
    found: false,
    reason: `no usable underlay interface: ${failures.join('; ')}`,
    hint: `${renamed}name it with --iface; the agent looks again when links, addresses or routes change`,
  };
}

/** All that a choice is made of. */
interface Circumstances extends HostNetwork {
  readonly criteria: UnderlayCriteria;
  readonly inUse: Underlay | undefined;
}

interface Candidate {
  /** For reports: `--iface=eth0`. */
  readonly by: string;
  readonly link: Link | undefined;
  /** The address that matched, which is then the one to use. */
  readonly prefer?: Ip | undefined;
  /** Why there is no link, when it is not that none has the name. */
  readonly absent?: string;
}

function* candidates(host: Circumstances, families: readonly Family[]): Generator<Candidate> {
  const { criteria } = host;
  const { interfaces, patterns, canReach } = criteria;
  for (const selector of interfaces) yield bySelector(host, `--iface=${selector}`, selector);
  for (const pattern of patterns) yield byPattern(host, pattern, families);
  if (canReach !== undefined) {
    yield {
      by: `--iface-can-reach=${canReach}`,
      link: linkOf(host, host.reach?.oif),
      prefer: host.reach?.preferredSource,
      absent: 'there is no route to it',
    };
  }
  if (interfaces.length > 0 || patterns.length > 0 || canReach !== undefined) return;

  const publicIp = families[0] && criteria.publicIp[families[0]];
  const owner = host.addresses.find(({ ip }) => ip.equals(publicIp));
  if (publicIp !== undefined && owner !== undefined) {
    yield { by: `address ${publicIp}`, link: linkOf(host, owner.index), prefer: publicIp };
  }
  const absent = families.length > 1 ? 'no link has one of each family' : 'there is none';
  yield { by: 'default route', link: byDefaultRoute(host, families), absent };
}

/** An interface by its name, by another name of it, or by one of its addresses. */
function bySelector(host: Circumstances, by: string, selector: string): Candidate {
  const named = host.links.find(({ name, altNames }) => name === selector || altNames?.includes(selector));
  if (named !== undefined) return { by, link: named };
  const address = host.addresses.find(({ ip }) => ip.toString() === selector);
  return { by, link: linkOf(host, address?.index), prefer: address?.ip };
}

/** Addresses are tried before names, each in the kernel's order of links. */
function byPattern(host: Circumstances, pattern: RegExp, families: readonly Family[]): Candidate {
  const by = `--iface-regex=${pattern.source}`;
  for (const link of host.links) {
    const match = usable(host, link).find(
      ({ family, ip }) => families.includes(family) && pattern.test(ip.toString()),
    );
    if (match !== undefined) return { by, link, prefer: match.ip };
  }
  return { by, link: host.links.find(({ name }) => pattern.test(name)) };
}

/** The device of the best default route; with two families one device must have both. */
function byDefaultRoute(host: HostNetwork, families: readonly Family[]): Link | undefined {
  const devices = families.map(family =>
    host.defaultRoutes
      .filter(route => route.family === family)
      .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0))
      .flatMap(linksOfRoute),
  );
  const [first = [], ...others] = devices;
  return linkOf(
    host,
    first.find(oif => others.every(other => other.includes(oif))),
  );
}

/** The underlay over this link, or why it cannot be one. */
function describe(
  host: Circumstances,
  families: readonly Family[],
  link: Link,
  prefer: Ip | undefined,
): Underlay | string {
  const { criteria } = host;
  if (!link.up) return `${link.name} is down`;
  if (link.mtu === undefined || link.mtu === 0) return `${link.name} has no MTU`;
  const addresses = usable(host, link);
  const ip = perFamily(family => {
    if (!families.includes(family)) return undefined;
    // Packets of peers arrive there and nowhere else.
    const published = addresses.find(address => address.ip.equals(criteria.publicIp[family]));
    if (published !== undefined) return published.ip;
    return prefer?.family === family ? prefer : addresses.find(address => address.family === family)?.ip;
  });
  const missing = families.filter(family => ip[family] === undefined);
  if (missing.length > 0)
    return `${link.name} has no usable ${missing.map(family => FAMILY_LABELS[family]).join(' and ')} address`;
  const publicIp = mapFamilies(ip, (own, family) => criteria.publicIp[family] ?? own);
  return { link: { index: link.index, name: link.name, mtu: link.mtu }, ip, publicIp };
}

/**
 * Addresses of a link, best first: the one in use, permanent before dynamic, lasting before temporary. Peers refuse
 * a lease with a link-local address, so one is of use only where another address is published.
 */
function usable({ addresses, criteria, inUse }: Circumstances, link: Link): Address[] {
  const unusable = IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;
  const isUsed = ({ ip, family }: Address) => ip.equals(inUse?.ip[family]);
  const rank = (address: Address) =>
    (isUsed(address) ? 0 : 8) +
    (address.ip.isLinkLocal ? 4 : 0) +
    (address.flags & IFA_F_PERMANENT ? 0 : 2) +
    (address.flags & IFA_F_TEMPORARY && address.family === 'ipv6' ? 1 : 0);
  return addresses
    .filter(({ index, flags }) => index === link.index && (flags & unusable) === 0)
    .filter(({ ip, family }) => !ip.isLinkLocal || criteria.publicIp[family] !== undefined)
    .sort((a, b) => rank(a) - rank(b));
}

const linkOf = (host: Pick<HostNetwork, 'links'>, index: number | undefined) =>
  index === undefined ? undefined : host.links.find(link => link.index === index);
