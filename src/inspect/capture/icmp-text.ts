/** Messages of ICMP and ICMPv6 in words (the registries of IANA). */
import type { IcmpLayer, Icmpv6Layer, Layer } from '../decode/layers.ts';
import { layerOf } from '../decode/layers.ts';
import type { HostNameOf } from './short-form.ts';

const ICMP_TYPES: Readonly<Record<number, string>> = {
  0: 'echo reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo request',
  9: 'router advertisement',
  10: 'router solicitation',
  11: 'time exceeded',
  12: 'parameter problem',
};
const UNREACHABLE_CODES: Readonly<Record<number, string>> = {
  0: 'network unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  4: 'fragmentation needed',
  13: 'prohibited',
};
const ICMPV6_TYPES: Readonly<Record<number, string>> = {
  1: 'unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbor solicitation',
  136: 'neighbor advertisement',
  137: 'redirect',
  143: 'multicast listener report',
};

/** `echo request 1`, `fragmentation needed, mtu 1400, for 10.0.0.1 > 10.0.0.2`. */
export function icmpText(icmp: IcmpLayer, nameOf: HostNameOf): string {
  const { type, code } = icmp;
  const name = (type === 3 ? UNREACHABLE_CODES[code] : undefined) ?? ICMP_TYPES[type];
  const via = icmp.gateway === undefined ? '' : ` to ${nameOf(icmp.gateway)}`;
  return `${name ?? `type ${type} code ${code}`}${via}${rest(icmp, nameOf)}`;
}

export function icmpv6Text(icmp: Icmpv6Layer, nameOf: HostNameOf): string {
  const { type, code, target, mac } = icmp;
  const name = ICMPV6_TYPES[type] ?? `type ${type} code ${code}`;
  const about = target === undefined ? '' : ` ${nameOf(target)}`;
  const at = type === 136 && mac !== undefined ? ` is at ${mac}` : '';
  return `${name}${about}${at}${rest(icmp, nameOf)}`;
}

function rest({ sequence, mtu, quoted = [] }: IcmpLayer | Icmpv6Layer, nameOf: HostNameOf): string {
  const parts = [
    ...(mtu === undefined ? [] : [`, mtu ${mtu}`]),
    ...(quoted.length === 0 ? [] : [aboutPacket(quoted, nameOf)]),
  ];
  return `${sequence === undefined ? '' : ` ${sequence}`}${parts.join('')}`;
}

function aboutPacket(quoted: readonly Layer[], nameOf: HostNameOf): string {
  const ip = layerOf(quoted, 'ipv4') ?? layerOf(quoted, 'ipv6');
  return ip === undefined ? '' : `, for ${nameOf(ip.source)} > ${nameOf(ip.destination)}`;
}
