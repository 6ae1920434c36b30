/**
 * Which interface carries the tunnels, and which address peers are told. A pure decision over what the kernel
 * has at one moment, made again whenever that changes.
 *
 * The ways are flannel's (pkg/ipmatch/match.go), in its order: every `--iface`, every `--iface-regex`,
 * `--iface-can-reach`; with none of them `--public-ip`, then the device of the default route. What flannel does
 * not do: a public address that no interface has (a host behind NAT) falls back to the default route.
 */
import type { Underlay } from '../backend/backend.ts';
import type { Family, Ip } from '../base/ip.ts';
import type { Address, Link, Route } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import type { UnderlayCriteria } from './options.ts';

/** include/uapi/linux/if_addr.h. */
const IFA_F_TEMPORARY = 0x01;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_DADFAILED = 0x08;
const IFA_F_PERMANENT = 0x80;

/** RT_TABLE_MAIN and RTN_UNICAST, include/uapi/linux/rtnetlink.h. */
const TABLE_MAIN = 254;
const UNICAST = 1;

/** What the kernel has: everything the decision is made of. */
export interface HostNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  /** Default routes of the main table. */
  readonly defaultRoutes: readonly Route[];
  /** The route to `--iface-can-reach`; undefined when it is not asked for or the kernel has none. */
  readonly reach?: Route;
}

export type UnderlayChoice =
  | { readonly found: true; readonly underlay: Underlay; readonly chosenBy: string }
  | { readonly found: false; readonly reason: string; readonly hint: string };

/** Reads what `chooseUnderlay` needs. @throws NetlinkError, SysError */
export async function readHostNetwork(netlink: Rtnetlink, criteria: UnderlayCriteria): Promise<HostNetwork> {
  const [links, addresses, routes] = await Promise.all([
    netlink.links.list(),
    netlink.addresses.list(),
    netlink.routes.list({ table: TABLE_MAIN }),
  ]);
  // No route to the address is an answer like any other.
  const reach =
    criteria.canReach === undefined
      ? undefined
      : await netlink.routes.lookup(criteria.canReach).catch(() => undefined);
  return {
    links,
    addresses,
    defaultRoutes: routes.filter(route => route.destination === undefined && route.type === UNICAST),
    ...(reach === undefined ? {} : { reach }),
  };
}

/** @param families those that the network has enabled: the interface needs a usable address of each. */
export function chooseUnderlay(
  host: HostNetwork,
  criteria: UnderlayCriteria,
  families: readonly Family[],
): UnderlayChoice {
  const failures: string[] = [];
  for (const { by, link, prefer } of candidates(host, criteria, families)) {
    if (link === undefined) {
      failures.push(`${by}: no such interface`);
      continue;
    }
    const outcome = describe(host, criteria, families, link, prefer);
    if (typeof outcome !== 'string') return { found: true, underlay: outcome, chosenBy: by };
    failures.push(`${by}: ${outcome}`);
  }
  return {
    found: false,
    reason: `no usable underlay interface: ${failures.join('; ')}`,
    hint: 'name it with --iface; the agent looks again when links, addresses or routes change',
  };
}

interface Candidate {
  /** For reports: `--iface=eth0`. */
  readonly by: string;
  readonly link: Link | undefined;
  /** The address that matched, which is then the one to use. */
  readonly prefer?: Ip | undefined;
}

function* candidates(
  host: HostNetwork,
  criteria: UnderlayCriteria,
  families: readonly Family[],
): Generator<Candidate> {
  const { interfaces, patterns, canReach } = criteria;
  for (const selector of interfaces) yield bySelector(host, `--iface=${selector}`, selector);
  for (const pattern of patterns) yield byPattern(host, pattern, families);
  if (canReach !== undefined) {
    yield {
      by: `--iface-can-reach=${canReach}`,
      link: linkOf(host, host.reach?.oif),
      prefer: host.reach?.preferredSource,
    };
  }
  if (interfaces.length > 0 || patterns.length > 0 || canReach !== undefined) return;

  const publicIp = families.includes('ipv4') ? criteria.publicIpv4 : criteria.publicIpv6;
  const owner = host.addresses.find(({ ip }) => ip.equals(publicIp));
  if (publicIp !== undefined && owner !== undefined) {
    yield { by: `address ${publicIp}`, link: linkOf(host, owner.index), prefer: publicIp };
  }
  yield { by: 'default route', link: byDefaultRoute(host, families) };
}

/** An interface by its name, by another name of it, or by one of its addresses. */
function bySelector(host: HostNetwork, by: string, selector: string): Candidate {
  const named = host.links.find(({ name, altNames }) => name === selector || altNames?.includes(selector));
  if (named !== undefined) return { by, link: named };
  const address = host.addresses.find(({ ip }) => ip.toString() === selector);
  return { by, link: linkOf(host, address?.index), prefer: address?.ip };
}

/** Addresses are tried before names, each in the kernel's order of links. */
function byPattern(host: HostNetwork, pattern: RegExp, families: readonly Family[]): Candidate {
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
      .filter(route => route.family === family && route.oif !== undefined)
      .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0))
      .map(({ oif }) => oif),
  );
  const [first = [], ...others] = devices;
  return linkOf(
    host,
    first.find(oif => others.every(other => other.includes(oif))),
  );
}

/** The underlay over this link, or why it cannot be one. */
function describe(
  host: HostNetwork,
  criteria: UnderlayCriteria,
  families: readonly Family[],
  link: Link,
  prefer: Ip | undefined,
): Underlay | string {
  if (!link.up) return `${link.name} is down`;
  if (link.mtu === undefined || link.mtu === 0) return `${link.name} has no MTU`;
  const addresses = usable(host, link);
  const pick = (family: Family) =>
    families.includes(family)
      ? prefer?.family === family
        ? prefer
        : addresses.find(address => address.family === family)?.ip
      : undefined;
  const ipv4 = pick('ipv4');
  const ipv6 = pick('ipv6');
  const missing = families.filter(family => (family === 'ipv4' ? ipv4 : ipv6) === undefined);
  if (missing.length > 0) return `${link.name} has no usable ${missing.join(' and ')} address`;
  const publicIpv4 = ipv4 && (criteria.publicIpv4 ?? ipv4);
  const publicIpv6 = ipv6 && (criteria.publicIpv6 ?? ipv6);
  return {
    link: { index: link.index, name: link.name, mtu: link.mtu },
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
    ...(publicIpv4 && { publicIpv4 }),
    ...(publicIpv6 && { publicIpv6 }),
  };
}

/** Addresses of a link, best first: global before link-local, permanent before dynamic, lasting before temporary. */
function usable(host: HostNetwork, link: Link): Address[] {
  const unusable = IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;
  const rank = ({ ip, flags }: Address) =>
    (ip.isLinkLocal ? 4 : 0) +
    (flags & IFA_F_PERMANENT ? 0 : 2) +
    (flags & IFA_F_TEMPORARY && ip.family === 'ipv6' ? 1 : 0);
  return host.addresses
    .filter(({ index, flags }) => index === link.index && (flags & unusable) === 0)
    .sort((a, b) => rank(a) - rank(b));
}

const linkOf = (host: HostNetwork, index: number | undefined) =>
  index === undefined ? undefined : host.links.find(link => link.index === index);
