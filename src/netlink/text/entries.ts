/**
 * Addresses, routes, next hops, neighbors, FDB entries and rules in the words of `ip` and `bridge`, one line each. What
 * the objects do not hold (lifetimes, caches, the preference of an IPv6 route) is not shown.
 */

import { ADDRESS_BITS } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import {
  FR_ACT_GOTO,
  FR_ACT_TO_TBL,
  IFA_F_PERMANENT,
  NTF_SELF,
  NUD_NOARP,
  NUD_PERMANENT,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTM_F_CLONED,
  RTN_UNICAST,
  RTPROT_BOOT,
  RTPROT_KERNEL,
} from '../route/constants.ts';
import { nexthopsOfRoute } from '../route/multipath.ts';
import type { Address, FdbEntry, IpEncap, Neighbor, Nexthop, Route, Rule } from '../route/objects.ts';
import type { NameOf } from './link.ts';
import {
  bitWords,
  ipProtocolWord,
  joinWords,
  routeProtocolWord,
  routeTypeWord,
  scopeWord,
  tableWord,
} from './words.ts';

/** IFA_F_*; all but permanent, whose absence is a word. */
const ADDRESS_FLAGS = [
  [0x02, 'nodad'],
  [0x04, 'optimistic'],
  [0x08, 'dadfailed'],
  [0x10, 'home'],
  [0x20, 'deprecated'],
  [0x40, 'tentative'],
] as const;
const MORE_ADDRESS_FLAGS = [
  [0x100, 'mngtmpaddr'],
  [0x200, 'noprefixroute'],
  [0x400, 'autojoin'],
  [0x800, 'stable-privacy'],
] as const;
const IFA_F_SECONDARY = 0x01;

/** `eth0 inet 192.168.65.3/24 brd 192.168.65.255 scope global eth0`, as `ip -o addr` without the index. */
export function addressLine(address: Address, nameOf: NameOf): string {
  const { index, family, ip, length, peer, broadcast, scope, flags, label } = address;
  return joinWords(
    nameOf(index),
    family === 'ipv4' ? 'inet' : 'inet6',
    peer === undefined ? `${ip}/${length}` : `${ip} peer ${peer}/${length}`,
    broadcast && `brd ${broadcast}`,
    `scope ${scopeWord(scope)}`,
    (flags & IFA_F_SECONDARY) !== 0 && (family === 'ipv4' ? 'secondary' : 'temporary'),
    ...bitWords(flags, ADDRESS_FLAGS),
    (flags & IFA_F_PERMANENT) === 0 && 'dynamic',
    ...bitWords(flags, MORE_ADDRESS_FLAGS),
    label,
  );
}

/** RTNH_F_*. */
const NEXTHOP_FLAGS = [
  [1, 'dead'],
  [4, 'onlink'],
  [2, 'pervasive'],
  [16, 'linkdown'],
  [32, 'unresolved'],
] as const;

/** `10.3.2.0/24 nhid 5 via 10.3.2.0 dev flannel.88 proto 77 onlink`. */
export function routeLine(route: Route, nameOf: NameOf): string {
  const { destination, type, tos, encap, nexthopId, gateway, oif, table, protocol, scope } = route;
  const { preferredSource, priority, flags, mtu } = route;
  // The answer to a lookup does not say who made the route.
  const isListed = (flags & RTM_F_CLONED) === 0;
  return joinWords(
    type !== RTN_UNICAST && routeTypeWord(type),
    destination === undefined ? 'default' : blockText(destination),
    tos !== undefined && `tos 0x${tos.toString(16).padStart(2, '0')}`,
    encap && encapWords(encap),
    nexthopId !== undefined && `nhid ${nexthopId}`,
    gateway && `via ${gateway}`,
    oif !== undefined && `dev ${nameOf(oif)}`,
    table !== RT_TABLE_MAIN && `table ${tableWord(table)}`,
    isListed && protocol !== RTPROT_BOOT && `proto ${routeProtocolWord(protocol)}`,
    scope !== RT_SCOPE_UNIVERSE && `scope ${scopeWord(scope)}`,
    preferredSource && `src ${preferredSource}`,
    priority !== undefined && `metric ${priority}`,
    ...bitWords(flags, NEXTHOP_FLAGS),
    mtu !== undefined && `mtu ${mtu}`,
    ...multipathWords(route, nameOf),
  );
}

function encapWords({ id, source, destination, ttl, tos }: IpEncap): string {
  const isIpv4 = destination.family === 'ipv4';
  return joinWords(
    `encap ${isIpv4 ? 'ip' : 'ip6'} id ${id}`,
    source && `src ${source}`,
    `dst ${destination}`,
    ttl !== undefined && `${isIpv4 ? 'ttl' : 'hoplimit'} ${ttl}`,
    tos !== undefined && `${isIpv4 ? 'tos' : 'tc'} ${tos}`,
  );
}

function multipathWords(route: Route, nameOf: NameOf): string[] {
  return nexthopsOfRoute(route).map(({ gateway, oif, weight, flags }) =>
    joinWords(
      'nexthop',
      gateway && `via ${gateway}`,
      `dev ${nameOf(oif)}`,
      `weight ${weight}`,
      ...bitWords(flags, NEXTHOP_FLAGS),
    ),
  );
}

/** `id 5 via 10.3.2.0 dev flannel.88 scope link proto 77 onlink`. */
export function nexthopLine(nexthop: Nexthop, nameOf: NameOf): string {
  const { id, gateway, oif, blackhole, scope, protocol, flags } = nexthop;
  return joinWords(
    `id ${id}`,
    gateway && `via ${gateway}`,
    oif !== undefined && `dev ${nameOf(oif)}`,
    blackhole === true && 'blackhole',
    scope !== undefined && scope !== RT_SCOPE_UNIVERSE && `scope ${scopeWord(scope)}`,
    protocol !== 0 && protocol !== RTPROT_BOOT && `proto ${routeProtocolWord(protocol)}`,
    ...bitWords(flags, NEXTHOP_FLAGS),
  );
}

/** NTF_*. */
const NEIGHBOR_FLAGS = [
  [0x80, 'router'],
  [0x08, 'proxy'],
  [0x10, 'extern_learn'],
] as const;

/** NUD_*. */
const NEIGHBOR_STATES = [
  [0x01, 'INCOMPLETE'],
  [0x02, 'REACHABLE'],
  [0x04, 'STALE'],
  [0x08, 'DELAY'],
  [0x10, 'PROBE'],
  [0x20, 'FAILED'],
  [NUD_NOARP, 'NOARP'],
  [NUD_PERMANENT, 'PERMANENT'],
] as const;

/** `10.3.2.0 dev flannel.88 lladdr 02:00:00:00:00:01 PERMANENT`. */
export function neighborLine(neighbor: Neighbor, nameOf: NameOf): string {
  const { ip, index, mac, flags, state, protocol } = neighbor;
  return joinWords(
    `${ip} dev ${nameOf(index)}`,
    mac && `lladdr ${mac}`,
    ...bitWords(flags, NEIGHBOR_FLAGS),
    ...bitWords(state, NEIGHBOR_STATES),
    protocol !== undefined && `proto ${routeProtocolWord(protocol)}`,
  );
}

const FDB_FLAGS = [
  [NTF_SELF, 'self'],
  [0x80, 'router'],
  [0x10, 'extern_learn'],
  [0x20, 'offload'],
  [0x40, 'sticky'],
] as const;

/** `02:00:00:00:00:01 dev flannel.88 dst 192.168.65.4 self permanent`. */
export function fdbLine(entry: FdbEntry, nameOf: NameOf): string {
  const { mac, index, vlan, destination, port, vni, via, flags, master, state } = entry;
  return joinWords(
    `${mac} dev ${nameOf(index)}`,
    vlan !== undefined && `vlan ${vlan}`,
    destination && `dst ${destination}`,
    port !== undefined && `port ${port}`,
    vni !== undefined && `vni ${vni}`,
    via !== undefined && `via ${nameOf(via)}`,
    ...bitWords(flags, FDB_FLAGS),
    master !== undefined && `master ${nameOf(master)}`,
    fdbState(state),
  );
}

function fdbState(state: number): string | undefined {
  if ((state & NUD_PERMANENT) !== 0) return 'permanent';
  return (state & NUD_NOARP) !== 0 ? 'static' : undefined;
}

/** `100: from 10.0.0.0/8 fwmark 0x7 lookup 1000`. */
export function ruleLine(rule: Rule): string {
  const { priority = 0, source, destination, fwmark, fwmask = 0xffff_ffff, iifName, oifName } = rule;
  const { action, table, protocol, inverted, suppressPrefixLength, ipProtocol, destinationPorts } = rule;
  const { tos, goto } = rule;
  const mask = fwmask === 0xffff_ffff ? '' : `/0x${fwmask.toString(16)}`;
  return joinWords(
    `${priority}:`,
    inverted === true && 'not',
    `from ${source === undefined ? 'all' : blockText(source)}`,
    destination && `to ${blockText(destination)}`,
    tos !== undefined && `tos 0x${tos.toString(16).padStart(2, '0')}`,
    fwmark !== undefined && `fwmark 0x${fwmark.toString(16)}${mask}`,
    iifName !== undefined && `iif ${iifName}`,
    oifName !== undefined && `oif ${oifName}`,
    ipProtocol !== undefined && `ipproto ${ipProtocolWord(ipProtocol)}`,
    destinationPorts && `dport ${portsText(destinationPorts)}`,
    actionWords(action, table, goto),
    suppressPrefixLength !== undefined && `suppress_prefixlength ${suppressPrefixLength}`,
    isSaid(protocol) && `proto ${routeProtocolWord(protocol)}`,
  );
}

function actionWords(action: number, table: number, goto = 0): string {
  if (action === FR_ACT_TO_TBL) return `lookup ${tableWord(table)}`;
  return action === FR_ACT_GOTO ? `goto ${goto}` : routeTypeWord(action);
}

function portsText({ low, high }: NonNullable<Rule['destinationPorts']>): string {
  return low === high ? String(low) : `${low}-${high}`;
}

/** `ip rule` leaves away who makes rules by default: the kernel, and `ip rule` itself. */
function isSaid(protocol: number | undefined): protocol is number {
  return protocol !== undefined && protocol !== 0 && protocol !== RTPROT_KERNEL && protocol !== RTPROT_BOOT;
}

/** A block of one address is written without its length. */
function blockText(block: Prefix): string {
  return block.length === ADDRESS_BITS[block.family] ? block.ip.toString() : block.toString();
}
