/**
 * A frame as the list of its layers, from the outside in:
 *
 *     ethernet | ipv4 | udp | vxlan | ethernet | ipv4 | icmp | payload
 *     `------- underlay ----------'   `-------- overlay --------------'
 *
 * Bytes of no layer we know are a `payload`; where a header is cut off or impossible, the last layer is a `problem`.
 */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';

/** IEEE 802.3, clause 3: one with a length instead of a type has a `type` below 0x0600. */
export interface EthernetLayer {
  readonly layer: 'ethernet';
  readonly destination: Mac;
  readonly source: Mac;
  readonly type: number;
}

/** IEEE 802.1Q, clause 9. */
export interface VlanLayer {
  readonly layer: 'vlan';
  readonly id: number;
  readonly priority: number;
  /** EtherType of what follows. */
  readonly type: number;
}

/** RFC 826, for IPv4 over Ethernet. */
export interface ArpLayer {
  readonly layer: 'arp';
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly senderMac: Mac;
  readonly sender: Ip;
  readonly targetMac: Mac;
  readonly target: Ip;
}

/** RFC 791, section 3.1. */
export interface Ipv4Layer {
  readonly layer: 'ipv4';
  readonly source: Ip;
  readonly destination: Ip;
  readonly ttl: number;
  readonly protocol: number;
  readonly tos: number;
  readonly id: number;
  readonly headerLength: number;
  /** Header and data; 0 where a network card is to cut a larger packet into pieces. */
  readonly totalLength: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes. */
  readonly fragmentOffset: number;
  readonly checksum: number;
}

/** RFC 8200, section 3. */
export interface Ipv6Layer {
  readonly layer: 'ipv6';
  readonly source: Ip;
  readonly destination: Ip;
  readonly hopLimit: number;
  readonly nextHeader: number;
  readonly payloadLength: number;
  readonly trafficClass: number;
  readonly flowLabel: number;
}

/** RFC 8200, section 4; RFC 4302 for `authentication`. */
export interface Ipv6ExtensionLayer {
  readonly layer: 'ipv6-extension';
  readonly kind: 'hop-by-hop' | 'routing' | 'fragment' | 'authentication' | 'destination';
  readonly nextHeader: number;
  /** Of a `fragment`; the offset in bytes. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
}

interface Icmp {
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** Of an echo. */
  readonly id?: number;
  readonly sequence?: number;
  /** The largest packet that passes: "fragmentation needed" and "packet too big". */
  readonly mtu?: number;
  /** The beginning of the packet that an error is about. */
  readonly quoted?: readonly Layer[];
}

/** RFC 792; RFC 1191 for `mtu`. */
export interface IcmpLayer extends Icmp {
  readonly layer: 'icmp';
  /** Of a redirect. */
  readonly gateway?: Ip;
}

/** RFC 4443; RFC 4861 for neighbor discovery. */
export interface Icmpv6Layer extends Icmp {
  readonly layer: 'icmpv6';
  /** Of a neighbor solicitation or advertisement. */
  readonly target?: Ip;
  /** The link-layer address option, source or target. */
  readonly mac?: Mac;
}

/** RFC 9293, section 3.1. An ICMP error may quote no more of it than the first three fields. */
export interface TcpLayer {
  readonly layer: 'tcp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement?: number;
  readonly flags?: readonly TcpFlag[];
  readonly window?: number;
  readonly checksum?: number;
  /** Of a SYN: the largest segment that its sender takes. */
  readonly mss?: number;
}

/** From the lowest bit up; RFC 9768, section 3.1 for `AE`. */
export const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'AE'] as const;
export type TcpFlag = (typeof TCP_FLAGS)[number];

/** RFC 768. */
export interface UdpLayer {
  readonly layer: 'udp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Header and data. */
  readonly length: number;
  readonly checksum: number;
}

/** RFC 7348, section 5. */
export interface VxlanLayer {
  readonly layer: 'vxlan';
  readonly vni: number;
  readonly flags: number;
}

/** The backend `udp`: an IP packet in a datagram, without a header between them. */
export interface FlannelUdpLayer {
  readonly layer: 'flannel-udp';
}

export interface PayloadLayer {
  readonly layer: 'payload';
  /** Bytes. */
  readonly length: number;
}

export interface ProblemLayer {
  readonly layer: 'problem';
  readonly text: string;
}

export type Layer =
  | EthernetLayer
  | VlanLayer
  | ArpLayer
  | Ipv4Layer
  | Ipv6Layer
  | Ipv6ExtensionLayer
  | IcmpLayer
  | Icmpv6Layer
  | TcpLayer
  | UdpLayer
  | VxlanLayer
  | FlannelUdpLayer
  | PayloadLayer
  | ProblemLayer;

export type LayerName = Layer['layer'];

/** The first layer of this name. */
export function layerOf<Name extends LayerName>(
  layers: readonly Layer[],
  name: Name,
): Extract<Layer, { layer: Name }> | undefined {
  return layers.find((item): item is Extract<Layer, { layer: Name }> => item.layer === name);
}

const isIp = ({ layer }: Layer) => layer === 'ipv4' || layer === 'ipv6';

/** Where the inner layers of a tunnelled frame begin; undefined when it is in no tunnel. */
export function innerStart(layers: readonly Layer[]): number | undefined {
  const header = layers.findIndex(({ layer }) => layer === 'vxlan' || layer === 'flannel-udp');
  if (header >= 0) return header + 1;
  // IP in IP has no header of its own.
  const first = layers.findIndex(isIp);
  const second = layers.findIndex((item, at) => first >= 0 && at > first && isIp(item));
  return second > 0 ? second : undefined;
}
