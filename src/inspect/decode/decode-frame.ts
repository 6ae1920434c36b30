/** From the bytes of a frame to its layers. Never throws: what cannot be read ends the list with a `problem`. */
import { Reader } from '../../base/bytes.ts';
import { CodecError } from '../../base/errors.ts';
import { addLayer, type Decoding, type HeaderName, type Next, type ReadHeader } from './decoding.ts';
import { readArp, readEthernet } from './ethernet.ts';
import { readIcmp, readIcmpv6 } from './icmp.ts';
import { readIp, readIpv4, readIpv6 } from './ip.ts';
import type { Layer } from './layers.ts';
import { readTcp } from './tcp.ts';
import { readFlannelUdp, readUdp, readVxlan } from './udp.ts';

/** What a frame begins with: an Ethernet header, or that of IPv4 or IPv6 (a TUN device). */
export type LinkType = 'ethernet' | 'ip';

export interface DecodeOptions {
  readonly linkType?: LinkType;
  /** UDP ports whose datagrams carry VXLAN; VXLAN_PORTS when absent. */
  readonly vxlanPorts?: readonly number[];
  /** UDP ports whose datagrams carry IP packets; FLANNEL_PORTS when absent. */
  readonly flannelPorts?: readonly number[];
}

/** IANA's, and the one that Linux and flannel had before. */
export const VXLAN_PORTS: readonly number[] = [4789, 8472];
/** Of flannel's backend udp. */
export const FLANNEL_PORTS: readonly number[] = [8285];

const READERS: Readonly<Record<HeaderName, ReadHeader>> = {
  ethernet: readEthernet,
  arp: readArp,
  ip: readIp,
  ipv4: readIpv4,
  ipv6: readIpv6,
  icmp: readIcmp,
  icmpv6: readIcmpv6,
  tcp: readTcp,
  udp: readUdp,
  vxlan: readVxlan,
  'flannel-udp': readFlannelUdp,
  payload(reader, decoding) {
    if (reader.remaining > 0) addLayer(decoding, { layer: 'payload', length: reader.remaining });
    return undefined;
  },
};

/** Tunnels and quotations in each other; nobody nests so many on purpose. */
const MOST_DEPTH = 4;

/** @param bytes of one frame; its end may be cut off. */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): Layer[] {
  const { linkType = 'ethernet', vxlanPorts = VXLAN_PORTS, flannelPorts = FLANNEL_PORTS } = options;
  const layers: Layer[] = [];
  let decoding: Decoding = { layers, vxlanPorts, flannelPorts };
  let depth = 0;
  try {
    let next: Next | undefined = { name: linkType, reader: new Reader(bytes, 'frame') };
    while (next !== undefined) {
      if (next.isInside && ++depth > MOST_DEPTH)
        throw new CodecError('frame', 0, `at most ${MOST_DEPTH} tunnels`, 'more');
      if (next.into !== undefined) decoding = { ...decoding, layers: next.into };
      next = READERS[next.name](next.reader, decoding);
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    // What an ICMP error quotes is nearly always cut off, and that is no problem.
    if (decoding.layers === layers) layers.push({ layer: 'problem', text: error.message });
  }
  return layers;
}
