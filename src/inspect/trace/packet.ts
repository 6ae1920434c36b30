/** The packet that is followed: which one is wanted, and how one is read from the headers that come with an event. */
import { defined } from '../../base/defined.ts';
import { Ip } from '../../base/ip.ts';
import type { Expression } from '../../netlink/netfilter/table.ts';
import { fieldOfPort } from '../../netlink/netfilter/table.ts';
import { decodeFrame } from '../decode/decode-frame.ts';
import type { Layer } from '../decode/layers.ts';
import { layerOf } from '../decode/layers.ts';

export type TracedProtocol = 'tcp' | 'udp' | 'icmp';

/** Which packet to follow; what is absent may be anything. ICMP is that of the addresses' family. */
export interface PacketSelector {
  readonly protocol: TracedProtocol;
  readonly source?: Ip;
  readonly destination: Ip;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** What is seen of a packet at one hook: its addresses as they are there. */
export interface TracedPacket {
  readonly protocol: string;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** Numbers of IP protocols, include/uapi/linux/in.h and in6.h. */
const NUMBERS = {
  ipv4: { icmp: 1, tcp: 6, udp: 17 },
  ipv6: { icmp: 58, tcp: 6, udp: 17 },
} as const;

/** Include/uapi/linux/netfilter.h. */
const NFPROTO = { ipv4: 2, ipv6: 10 } as const;

/** Where the addresses are in the IP header. */
const OFFSETS = {
  ipv4: { source: 12, destination: 16 },
  ipv6: { source: 8, destination: 24 },
} as const;

/**
 * The rule that gives exactly the wanted packets the mark of a trace.
 *
 * @throws RangeError for a selector that no packet can meet
 */
export function markRule(wanted: PacketSelector): Expression[] {
  const { protocol, source, destination, sourcePort, destinationPort } = wanted;
  const { family } = destination;
  if (source !== undefined && source.family !== family)
    throw new RangeError(`no packet goes from ${source} to ${destination}: want two addresses of one family`);
  if (protocol === 'icmp' && (sourcePort ?? destinationPort) !== undefined)
    throw new RangeError('ICMP has no ports');
  const address = (ip: Ip | undefined, offset: number): Expression[] =>
    ip === undefined ? [] : [{ compare: { header: 'network', offset }, value: ip.bytes }];
  const port = (value: number | undefined, offset: number): Expression[] =>
    value === undefined ? [] : [{ compare: { header: 'transport', offset }, value: fieldOfPort(value) }];
  return [
    { compare: { meta: 'nfproto' }, value: Uint8Array.of(NFPROTO[family]) },
    { compare: { meta: 'l4proto' }, value: Uint8Array.of(NUMBERS[family][protocol]) },
    ...address(source, OFFSETS[family].source),
    ...address(destination, OFFSETS[family].destination),
    ...port(sourcePort, 0),
    ...port(destinationPort, 2),
    { setTrace: true },
  ];
}

/** A packet, and what stays the same on its way: by that it is known again after it passed another link. */
export interface SeenPacket {
  readonly packet: TracedPacket;
  readonly fingerprint: string;
}

/** undefined where the headers are no IP packet's. */
export function readTracedPacket(
  networkHeader: Uint8Array,
  transportHeader: Uint8Array = new Uint8Array(),
): SeenPacket | undefined {
  const header = ipHeaderOf(networkHeader);
  if (header === undefined) return undefined;
  const bytes = new Uint8Array([...networkHeader.subarray(0, header), ...transportHeader]);
  const layers = decodeFrame(bytes, { linkType: 'ip', vxlanPorts: [], flannelPorts: [] });
  const ip = layerOf(layers, 'ipv4') ?? layerOf(layers, 'ipv6');
  if (ip === undefined) return undefined;
  const ports = layerOf(layers, 'tcp') ?? layerOf(layers, 'udp');
  const packet = defined({
    protocol: protocolOf(layers, ip.layer === 'ipv4' ? ip.protocol : ip.nextHeader),
    source: ip.source,
    destination: ip.destination,
    sourcePort: ports?.sourcePort,
    destinationPort: ports?.destinationPort,
  });
  return { packet, fingerprint: [packet.protocol, ...lastingOf(layers)].join(' ') };
}

/** The event has up to 40 bytes of an IP header and what follows; the header's own length says where it ends. */
function ipHeaderOf(networkHeader: Uint8Array): number | undefined {
  const [first] = networkHeader;
  if (first === undefined) return undefined;
  return first >>> 4 === 6 ? 40 : Math.min((first & 0x0f) * 4, networkHeader.byteLength);
}

function protocolOf(layers: readonly Layer[], number: number): string {
  const known = (['tcp', 'udp', 'icmp', 'icmpv6'] as const).find(name => layerOf(layers, name) !== undefined);
  return known ?? `protocol ${number}`;
}

/** What neither a router nor a translation of addresses and ports changes. */
function lastingOf(layers: readonly Layer[]): (number | undefined)[] {
  const [ipv4, ipv6] = [layerOf(layers, 'ipv4'), layerOf(layers, 'ipv6')];
  const [tcp, udp] = [layerOf(layers, 'tcp'), layerOf(layers, 'udp')];
  const icmp = layerOf(layers, 'icmp') ?? layerOf(layers, 'icmpv6');
  return [
    ipv4?.id,
    ipv4?.totalLength,
    ipv4?.fragmentOffset,
    ipv6?.payloadLength,
    tcp?.sequence,
    tcp?.acknowledgement,
    udp?.length,
    icmp?.type,
    icmp?.sequence,
  ];
}

/** `172.17.0.2:80`, `[fd00::1]:80`, `172.17.0.2`. */
function formatEnd(ip: Ip, port: number | undefined): string {
  if (port === undefined) return `${ip}`;
  return ip.family === 'ipv6' ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** `tcp 192.168.65.4:40112 -> 192.168.65.3:10080`. */
export function formatTracedPacket(packet: TracedPacket): string {
  return `${packet.protocol} ${sourceOf(packet)} -> ${destinationOf(packet)}`;
}

export const sourceOf = ({ source, sourcePort }: TracedPacket): string => formatEnd(source, sourcePort);
export const destinationOf = ({ destination, destinationPort }: TracedPacket): string =>
  formatEnd(destination, destinationPort);
