/**
 * Frames as they are on the wire, layer by layer: what a capture of the underlay shows. A decoded frame is the
 * list of its layers from the outside in; bytes that belong to no layer we know are the last one's payload.
 *
 *     Ethernet | IPv4 | UDP | VXLAN | Ethernet | IPv4 | ICMP
 *     `------- underlay ----------'   `----- overlay ------'
 */
import { Reader } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';

export interface EthernetLayer {
  readonly layer: 'ethernet';
  readonly destination: Mac;
  readonly source: Mac;
  /** EtherType: 0x0800 IPv4, 0x0806 ARP, 0x86dd IPv6. */
  readonly type: number;
}

export interface IpLayer {
  readonly layer: 'ip';
  readonly source: Ip;
  readonly destination: Ip;
  /** TTL, or the hop limit of IPv6. */
  readonly ttl: number;
  /** 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6. */
  readonly protocol: number;
}

export interface UdpLayer {
  readonly layer: 'udp';
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** RFC 7348, section 5. */
export interface VxlanLayer {
  readonly layer: 'vxlan';
  readonly vni: number;
}

export interface ArpLayer {
  readonly layer: 'arp';
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly sender: Ip;
  readonly target: Ip;
}

export interface IcmpLayer {
  readonly layer: 'icmp';
  /** 8 echo request, 0 echo reply, 3 unreachable; of ICMPv6: 128, 129, 1. */
  readonly type: number;
  readonly code: number;
}

export interface PayloadLayer {
  readonly layer: 'payload';
  readonly bytes: Uint8Array;
}

export type Layer = EthernetLayer | IpLayer | UdpLayer | VxlanLayer | ArpLayer | IcmpLayer | PayloadLayer;

export interface DecodeOptions {
  /** UDP ports whose datagrams carry VXLAN; IANA's and Linux' own default when absent. */
  readonly vxlanPorts?: readonly number[];
}

const VXLAN_PORTS = [4789, 8472];

/**
 * The layers of one Ethernet frame. A capture may have cut the end of the frame off.
 *
 * @throws CodecError when a header that must be there is cut off or impossible.
 */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): Layer[] {
  const { vxlanPorts = VXLAN_PORTS } = options;
  const layers: Layer[] = [];
  readEthernet(new Reader(bytes, 'Ethernet frame'), layers, vxlanPorts);
  return layers;
}

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;

function readEthernet(reader: Reader, layers: Layer[], vxlanPorts: readonly number[]): void {
  const destination = Mac.fromBytes(reader.bytes(6));
  const source = Mac.fromBytes(reader.bytes(6));
  const type = reader.u16be();
  layers.push({ layer: 'ethernet', destination, source, type });
  if (type === ETHERTYPE_IPV4) readIpv4(reader, layers, vxlanPorts);
  else if (type === ETHERTYPE_IPV6) readIpv6(reader, layers, vxlanPorts);
  else if (type === ETHERTYPE_ARP) readArp(reader, layers);
  else readPayload(reader, layers);
}

/** RFC 791, section 3.1. */
function readIpv4(reader: Reader, layers: Layer[], vxlanPorts: readonly number[]): void {
  const headerLength = (reader.u8() & 0x0f) * 4;
  reader.skip(1);
  const totalLength = reader.u16be();
  reader.skip(2);
  const fragment = reader.u16be();
  const ttl = reader.u8();
  const protocol = reader.u8();
  reader.skip(2);
  const source = Ip.fromBytes(reader.bytes(4));
  const destination = Ip.fromBytes(reader.bytes(4));
  reader.skip(headerLength - 20);
  layers.push({ layer: 'ip', source, destination, ttl, protocol });
  // Ethernet pads short frames; what lies behind the IP packet is not part of it.
  const body = reader.sub(Math.min(reader.remaining, totalLength - headerLength), 'IPv4 packet');
  // Only a first fragment begins with the header of the next layer.
  if ((fragment & 0x1fff) === 0) readTransport(body, protocol, layers, vxlanPorts);
  else readPayload(body, layers);
}

/** RFC 8200, section 3. Extension headers are left as payload. */
function readIpv6(reader: Reader, layers: Layer[], vxlanPorts: readonly number[]): void {
  reader.skip(4);
  const payloadLength = reader.u16be();
  const protocol = reader.u8();
  const ttl = reader.u8();
  const source = Ip.fromBytes(reader.bytes(16));
  const destination = Ip.fromBytes(reader.bytes(16));
  layers.push({ layer: 'ip', source, destination, ttl, protocol });
  const body = reader.sub(Math.min(reader.remaining, payloadLength), 'IPv6 packet');
  readTransport(body, protocol, layers, vxlanPorts);
}

const IPPROTO_ICMP = 1;
const IPPROTO_UDP = 17;
const IPPROTO_ICMPV6 = 58;

function readTransport(
  reader: Reader,
  protocol: number,
  layers: Layer[],
  vxlanPorts: readonly number[],
): void {
  if (protocol === IPPROTO_UDP) {
    const [sourcePort, destinationPort] = [reader.u16be(), reader.u16be()];
    reader.skip(4);
    layers.push({ layer: 'udp', sourcePort, destinationPort });
    if (vxlanPorts.includes(destinationPort)) return readVxlan(reader, layers, vxlanPorts);
  } else if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    const [type, code] = [reader.u8(), reader.u8()];
    reader.skip(2);
    layers.push({ layer: 'icmp', type, code });
  }
  readPayload(reader, layers);
}

/** Flags (8 bits, I = 0x08), reserved (24), VNI (24), reserved (8). */
function readVxlan(reader: Reader, layers: Layer[], vxlanPorts: readonly number[]): void {
  reader.skip(4);
  layers.push({ layer: 'vxlan', vni: reader.u32be() >>> 8 });
  readEthernet(reader, layers, vxlanPorts);
}

/** RFC 826, for IPv4 over Ethernet; other kinds are left as payload. */
function readArp(reader: Reader, layers: Layer[]): void {
  const kind = [reader.u16be(), reader.u16be(), reader.u8(), reader.u8()].join();
  if (kind !== `1,${ETHERTYPE_IPV4},6,4`) return readPayload(reader, layers);
  const operation = reader.u16be();
  reader.skip(6);
  const sender = Ip.fromBytes(reader.bytes(4));
  reader.skip(6);
  layers.push({ layer: 'arp', operation, sender, target: Ip.fromBytes(reader.bytes(4)) });
}

function readPayload(reader: Reader, layers: Layer[]): void {
  if (reader.remaining > 0) layers.push({ layer: 'payload', bytes: reader.rest() });
}

/** One layer in a few words: `IP 10.0.0.1 > 10.0.0.2 ttl 62`. */
export function formatLayer(layer: Layer): string {
  switch (layer.layer) {
    case 'ethernet':
      return `Ethernet ${layer.source} > ${layer.destination} type 0x${layer.type.toString(16).padStart(4, '0')}`;
    case 'ip':
      return `IP ${layer.source} > ${layer.destination} ttl ${layer.ttl}`;
    case 'udp':
      return `UDP ${layer.sourcePort} > ${layer.destinationPort}`;
    case 'vxlan':
      return `VXLAN vni ${layer.vni}`;
    case 'arp':
      return layer.operation === 1
        ? `ARP who has ${layer.target}, tell ${layer.sender}`
        : `ARP ${layer.sender} answers ${layer.target}`;
    case 'icmp':
      return `ICMP type ${layer.type} code ${layer.code}`;
    case 'payload':
      return `${layer.bytes.byteLength} bytes`;
  }
}
