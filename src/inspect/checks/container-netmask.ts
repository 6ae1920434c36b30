/** The prefix length of a container's address: it says who is a neighbor on the link, and must be that of the bridge. Pure. */
import type { Family, Ip } from '../../base/ip.ts';
import { formatInterfaceAddress, Prefix } from '../../base/prefix.ts';
import type { Address } from '../../netlink/route/objects.ts';
import type { Member } from '../host/members.ts';
import { isStation } from './bridge-netmask.ts';
import { type Cause, type Command, fixedBy, inContainer, ipCommand } from './check.ts';

/** @param mask its own address, which contains the destination on another host */
export function tooWide(member: Member, mask: Address, destination: Ip): Cause {
  const { container, inner } = member;
  const own = formatInterfaceAddress(mask);
  return wrongNetmask(member, mask, {
    reason: `the container ${container.name} has ${own}, and takes containers of other hosts for neighbors on its own link: it asks for them with ARP in vain`,
    line: `${inner.name} ${own} contains ${destination}`,
  });
}

/** For a container without a default route: its address leaves the gateway out, so that none can be made. */
export function tooNarrow(member: Member, family: Family): Cause | undefined {
  const { container, inner } = member;
  const gateway = gatewayOf(member, family);
  const mask = narrowerOf(member, gateway);
  if (gateway === undefined || mask === undefined || blockOf(mask).contains(gateway.ip)) return undefined;
  const own = formatInterfaceAddress(mask);
  return wrongNetmask(member, mask, {
    reason: `the container ${container.name} has ${own}, and its gateway ${gateway.ip} is not in that: it can have no default route, and reaches nothing`,
    line: `${inner.name} ${own} does not contain ${gateway.ip}`,
  });
}

/**
 * The first and the last address of a block are no stations for the kernel, so that who has them in a block that is too small
 * is not reached. Other stations are reached by the gateway.
 *
 * @param stations on its bridge
 */
export function judgeNarrow(member: Member, family: Family, stations: readonly Ip[]): Cause[] {
  const { container, inner } = member;
  const mask = narrowerOf(member, gatewayOf(member, family));
  const lost = stations.find(ip => mask !== undefined && blockOf(mask).contains(ip) && !isStation(mask, ip));
  if (mask === undefined || lost === undefined) return [];
  const { ip: first, last } = blockOf(mask);
  const own = formatInterfaceAddress(mask);
  return [
    wrongNetmask(member, mask, {
      reason: `the container ${container.name} has ${own}, in which ${lost} is no station: it does not reach that one`,
      line: `${inner.name} ${own} goes from ${first} to ${last}`,
    }),
  ];
}

function narrowerOf({ addresses }: Member, gateway: Address | undefined): Address | undefined {
  return addresses.find(
    ({ ip, length }) => gateway !== undefined && length > gateway.length && blockOf(gateway).contains(ip),
  );
}

/** The bridge's address of this family. */
const gatewayOf = ({ home }: Member, family: Family) =>
  home?.addresses.find(({ ip }) => ip.family === family);

const blockOf = ({ ip, length }: Address) => Prefix.of(ip, length);

function wrongNetmask(
  member: Member,
  mask: Address,
  { reason, line }: { readonly reason: string; readonly line: string },
): Cause {
  const { container, inner, home } = member;
  const gateway = gatewayOf(member, mask.family);
  const ip = ipCommand(mask.family).split(' ');
  const change = (verb: string, length: number | string) =>
    inContainer(container, ...ip, 'addr', verb, `${mask.ip}/${length}`, 'dev', inner.name);
  const fix = [
    change('del', mask.length),
    change('add', gateway?.length ?? '?'),
    ...defaultRouteCommands(member, mask.family),
  ];
  return fixedBy(fix, {
    code: 'CONTAINER_WRONG_NETMASK',
    severity: 'error',
    layer: 'container',
    reason,
    evidence: [
      `${container.name}: ${line}`,
      ...(gateway && home ? [`${home.link.name}: ${formatInterfaceAddress(gateway)}`] : []),
    ],
  });
}

/** Through the bridge; none where that has no address. */
export function defaultRouteCommands(member: Member, family: Family = 'ipv4'): Command[] {
  const { container, inner } = member;
  const gateway = gatewayOf(member, family);
  if (gateway === undefined) return [];
  const ip = ipCommand(family).split(' ');
  return [
    inContainer(container, ...ip, 'route', 'replace', 'default', 'via', `${gateway.ip}`, 'dev', inner.name),
  ];
}
