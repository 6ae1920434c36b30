/** What a frame is to a flow, from its layers: pure. flow-filter.ts says the same to the kernel. */
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { IcmpLayer, Icmpv6Layer, Ipv4Layer, Ipv6Layer, Layer } from '../decode/layers.ts';
import { ICMP_OF, type WatchedFlow } from './watched-flow.ts';

export interface FlowPacket {
  readonly packet: 'request' | 'reply' | 'error';
  readonly encapsulated: boolean;
  /** Its addresses, where they are not those of the flow: `10.5.1.2 -> 192.168.65.4`. */
  readonly translated?: string;
  /** Of an error: `time exceeded, of 192.168.65.1`. */
  readonly error?: string;
}

/** An ARP or neighbor discovery message. */
export interface NeighborPacket {
  readonly packet: 'neighbor';
  readonly asks: boolean;
  /** Which address is asked for, or answers. */
  readonly address: Ip;
  readonly askedBy: Ip;
}

/** undefined for a frame that has nothing to do with the flow. */
export const flowPacket = (layers: readonly Layer[], flow: WatchedFlow): FlowPacket | undefined =>
  packetIn(layers, flow, false);

const isTunnel = ({ layer }: Layer) => layer === 'vxlan' || layer === 'flannel-udp';
const isIp = (layer: Layer): layer is Ipv4Layer | Ipv6Layer =>
  layer.layer === 'ipv4' || layer.layer === 'ipv6';
const isIcmp = (layer: Layer): layer is IcmpLayer | Icmpv6Layer =>
  layer.layer === 'icmp' || layer.layer === 'icmpv6';

/** Of the packets in each other the innermost that is of the flow: a tunnel's own packet may be one as well. */
function packetIn(layers: readonly Layer[], flow: WatchedFlow, isQuoted: boolean): FlowPacket | undefined {
  for (let at = layers.length - 1; at >= 0; at--) {
    const ip = layers[at];
    if (ip === undefined || !isIp(ip)) continue;
    const data = dataOf(layers.slice(at + 1));
    const packet = data && packetOf(ip, data, flow, isQuoted);
    if (packet === undefined) continue;
    return { ...packet, encapsulated: layers.slice(0, at).some(layer => isTunnel(layer) || isIp(layer)) };
  }
  return undefined;
}

function packetOf(
  ip: Ipv4Layer | Ipv6Layer,
  data: Layer,
  flow: WatchedFlow,
  isQuoted: boolean,
): Omit<FlowPacket, 'encapsulated'> | undefined {
  const quoted = isIcmp(data) && !isQuoted ? data.quoted : undefined;
  if (quoted !== undefined && isIcmp(data) && packetIn(quoted, flow, true) !== undefined)
    return { packet: 'error', error: `${errorText(data)}, from ${ip.source}` };
  const packet = directionOf(ip, data, flow);
  if (packet === undefined) return undefined;
  return { packet, ...defined({ translated: translationOf(ip, packet, flow) }) };
}

/** Behind an IP header, and at most the header of a first fragment. */
function dataOf([first, second]: readonly Layer[]): Layer | undefined {
  if (first?.layer !== 'ipv6-extension') return first;
  return first.kind === 'fragment' ? second : undefined;
}

function directionOf(
  { source, destination, layer }: Ipv4Layer | Ipv6Layer,
  data: Layer,
  { from, to, protocol, chosen, toPort }: WatchedFlow,
): 'request' | 'reply' | undefined {
  if (layer !== from.family) return undefined;
  const need = chosen === undefined ? 2 : 1;
  const isBetween = (one: Ip, other: Ip) =>
    Number(source.equals(one)) + Number(destination.equals(other)) >= need;
  const isNumber = (number: number | undefined, other: number | undefined) =>
    chosen === undefined ? toPort === undefined || toPort === other : chosen === number;
  if (isIcmp(data)) {
    const { request, reply } = ICMP_OF[layer];
    const isOfIp = (data.layer === 'icmp') === (layer === 'ipv4');
    if (protocol !== 'icmp' || !isOfIp || (chosen !== undefined && data.id !== chosen)) return undefined;
    if (data.type === request && isBetween(from, to)) return 'request';
    return data.type === reply && isBetween(to, from) ? 'reply' : undefined;
  }
  if ((data.layer !== 'tcp' && data.layer !== 'udp') || data.layer !== protocol) return undefined;
  const { sourcePort, destinationPort } = data;
  if (isBetween(from, to) && isNumber(sourcePort, destinationPort)) return 'request';
  return isBetween(to, from) && isNumber(destinationPort, sourcePort) ? 'reply' : undefined;
}

function translationOf(
  { source, destination }: Ipv4Layer | Ipv6Layer,
  packet: 'request' | 'reply',
  { from, to }: WatchedFlow,
): string | undefined {
  const [one, other] = packet === 'request' ? [from, to] : [to, from];
  return source.equals(one) && destination.equals(other) ? undefined : `${source} -> ${destination}`;
}

/** As ping(8) says it: include/uapi/linux/icmp.h, icmpv6.h. */
const UNREACHABLE: Readonly<Record<number, string>> = {
  0: 'network unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  4: 'fragmentation needed',
  9: 'network prohibited',
  10: 'host prohibited',
  13: 'administratively prohibited',
};
const UNREACHABLE_V6: Readonly<Record<number, string>> = {
  0: 'no route',
  1: 'administratively prohibited',
  3: 'address unreachable',
  4: 'port unreachable',
  5: 'source address failed policy',
  6: 'route rejected',
};
const KINDS: Readonly<Record<number, string>> = {
  4: 'source quench',
  5: 'redirect',
  11: 'time exceeded',
  12: 'parameter problem',
};
const KINDS_V6: Readonly<Record<number, string>> = {
  2: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
};

function errorText({ layer, type, code, mtu }: IcmpLayer | Icmpv6Layer): string {
  const isV4 = layer === 'icmp';
  const kind =
    type === (isV4 ? 3 : 1) ? (isV4 ? UNREACHABLE : UNREACHABLE_V6)[code] : (isV4 ? KINDS : KINDS_V6)[type];
  return `${kind ?? `type ${type} code ${code}`}${mtu === undefined ? '' : `, mtu ${mtu}`}`;
}

const SOLICITATION = 135;
const ADVERTISEMENT = 136;

/** undefined for a frame that is no ARP and no neighbor discovery. In a tunnel it counts where it comes out. */
export function neighborPacket(layers: readonly Layer[]): NeighborPacket | undefined {
  if (layers.some(isTunnel)) return undefined;
  const arp = layers.find(layer => layer.layer === 'arp');
  if (arp !== undefined) {
    const asks = arp.operation === 1;
    const [address, askedBy] = asks ? [arp.target, arp.sender] : [arp.sender, arp.target];
    return { packet: 'neighbor', asks, address, askedBy };
  }
  const at = layers.findIndex(isIp);
  const [ip, icmp] = [layers[at], layers[at + 1]];
  if (ip === undefined || !isIp(ip) || icmp?.layer !== 'icmpv6' || icmp.target === undefined)
    return undefined;
  if (icmp.type !== SOLICITATION && icmp.type !== ADVERTISEMENT) return undefined;
  const asks = icmp.type === SOLICITATION;
  return { packet: 'neighbor', asks, address: icmp.target, askedBy: asks ? ip.source : ip.destination };
}
