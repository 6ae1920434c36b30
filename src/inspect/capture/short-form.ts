/**
 * A frame in half a line, from the outside in:
 *
 *     docker1 > docker2 vni 88 | 188.172.50.2 > 188.172.81.2 ICMP echo request 1
 *     10.0.0.1:40312 > 10.0.0.2:80 TCP SYN
 *     ARP who has 10.0.0.2, tell 10.0.0.1
 */
import type { Ip } from '../../base/ip.ts';
import { innerStart, type Layer, layerOf } from '../decode/layers.ts';
import { icmpText, icmpv6Text } from './icmp-text.ts';

/** What an address is called: the host that has it, or the address itself. */
export type HostNameOf = (ip: Ip) => string;

export const ADDRESS_ITSELF: HostNameOf = String;

export function shortForm(layers: readonly Layer[], nameOf: HostNameOf): string {
  const inner = innerStart(layers);
  if (inner === undefined) return part(layers, nameOf);
  const vni = layerOf(layers, 'vxlan')?.vni;
  const udp = layerOf(layers, 'flannel-udp');
  const tunnel = vni !== undefined ? `vni ${vni}` : udp !== undefined ? 'udp' : 'ipip';
  const outer = layers.slice(0, inner);
  return `${vlanText(outer)}${addressesOf(outer, nameOf, false)} ${tunnel} | ${shortForm(layers.slice(inner), nameOf)}`;
}

/** Layers without a tunnel. */
function part(layers: readonly Layer[], nameOf: HostNameOf): string {
  const problem = layerOf(layers, 'problem');
  const texts = [contentOf(layers, nameOf), ...(problem === undefined ? [] : [`(${problem.text})`])];
  return `${vlanText(layers)}${texts.filter(text => text !== '').join(' ')}`;
}

function vlanText(layers: readonly Layer[]): string {
  const vlan = layerOf(layers, 'vlan');
  return vlan === undefined ? '' : `vlan ${vlan.id} `;
}

function contentOf(layers: readonly Layer[], nameOf: HostNameOf): string {
  const arp = layerOf(layers, 'arp');
  if (arp !== undefined) {
    if (arp.operation === 1) return `ARP who has ${nameOf(arp.target)}, tell ${nameOf(arp.sender)}`;
    if (arp.operation === 2) return `ARP ${nameOf(arp.sender)} is at ${arp.senderMac}`;
    return `ARP operation ${arp.operation}`;
  }
  const addresses = addressesOf(layers, nameOf, true);
  if (addresses !== '') return `${addresses} ${transportText(layers, nameOf)}`;
  const ethernet = layerOf(layers, 'ethernet');
  if (ethernet === undefined) return '';
  const { source, destination, type } = { ...ethernet, ...layerOf(layers, 'vlan') };
  return `${source} > ${destination} type 0x${type.toString(16).padStart(4, '0')}`;
}

/** `10.0.0.1 > 10.0.0.2`, with ports where there are some; empty without a packet. */
function addressesOf(layers: readonly Layer[], nameOf: HostNameOf, withPorts: boolean): string {
  const ip = layerOf(layers, 'ipv4') ?? layerOf(layers, 'ipv6');
  if (ip === undefined) return '';
  const ports = withPorts ? (layerOf(layers, 'tcp') ?? layerOf(layers, 'udp')) : undefined;
  const end = (address: Ip, port: number | undefined) => {
    const name = nameOf(address);
    if (port === undefined) return name;
    return name.includes(':') ? `[${name}]:${port}` : `${name}:${port}`;
  };
  return `${end(ip.source, ports?.sourcePort)} > ${end(ip.destination, ports?.destinationPort)}`;
}

function transportText(layers: readonly Layer[], nameOf: HostNameOf): string {
  const payload = layerOf(layers, 'payload')?.length ?? 0;
  const tcp = layerOf(layers, 'tcp');
  const udp = layerOf(layers, 'udp');
  const icmp = layerOf(layers, 'icmp');
  const icmpv6 = layerOf(layers, 'icmpv6');
  const text =
    (tcp && ['TCP', ...(tcp.flags ?? []), ...(payload > 0 ? [`${payload} bytes`] : [])].join(' ')) ??
    (udp && `UDP ${payload} bytes`) ??
    (icmp && `ICMP ${icmpText(icmp, nameOf)}`) ??
    (icmpv6 && `ICMPv6 ${icmpv6Text(icmpv6, nameOf)}`) ??
    `protocol ${protocolOf(layers)}, ${payload} bytes`;
  return `${text}${fragmentText(layers)}`;
}

function protocolOf(layers: readonly Layer[]): number | undefined {
  const extension = layers.findLast(item => item.layer === 'ipv6-extension');
  return layerOf(layers, 'ipv4')?.protocol ?? extension?.nextHeader ?? layerOf(layers, 'ipv6')?.nextHeader;
}

/** `, fragment at 1480` of a packet in pieces; the last one says so. */
function fragmentText(layers: readonly Layer[]): string {
  const ipv4 = layerOf(layers, 'ipv4');
  const fragment =
    ipv4 === undefined
      ? layers.find(item => item.layer === 'ipv6-extension' && item.fragment !== undefined)
      : { fragment: { offset: ipv4.fragmentOffset, more: ipv4.moreFragments } };
  const { offset = 0, more = false } =
    (fragment !== undefined && 'fragment' in fragment ? fragment.fragment : undefined) ?? {};
  if (offset === 0 && !more) return '';
  return `, ${more ? '' : 'last '}fragment at ${offset}`;
}
