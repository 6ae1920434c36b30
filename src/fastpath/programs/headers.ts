/** Headers of packets as programs read them, and where they are in frames of containers and of tunnels. */
import { HOST_IS_LITTLE } from '../../base/bytes.ts';
import { MemoryLayout } from '../../bpf/memory-layout.ts';
import { SOCKET_BUFFER } from '../../bpf/socket-buffer.ts';

export const SKB = SOCKET_BUFFER.at;

export const ETHERNET = new MemoryLayout('Ethernet', { destination: 6, source: 6, type: 'be16' }).at;

const IPV4_LAYOUT = new MemoryLayout('IPv4', {
  /** 0x45: no options. */
  versionAndLength: 'u8',
  tos: 'u8',
  totalLength: 'be16',
  id: 'be16',
  fragment: 'be16',
  ttl: 'u8',
  protocol: 'u8',
  checksum: 'be16',
  source: 'be32',
  destination: 'be32',
});
export const IPV4 = IPV4_LAYOUT.at;
export const IPV4_SIZE = IPV4_LAYOUT.size;

export const UDP_HEADER = new MemoryLayout('UDP', {
  source: 'be16',
  destination: 'be16',
  length: 'be16',
  checksum: 'be16',
}).at;
export const UDP_SIZE = 8;

export const VXLAN = new MemoryLayout('VXLAN', { flags: 'be32', vniAndZero: 'be32' }).at;

export const TCP_HEADER = new MemoryLayout('TCP', {
  source: 'be16',
  destination: 'be16',
  sequence: 'be32',
  acknowledged: 'be32',
  /** Upper 4 bits: words of the header. */
  dataOffset: 'u8',
  flags: 'u8',
}).at;
/** Without options. */
export const TCP_SIZE = 20;
/** FIN, SYN, RST: a connection begins or ends. */
export const TCP_ENDS = 0x07;
/** All packets of a connection have it but the first. */
export const TCP_ACK = 0x10;

/** Where headers begin in a frame that a container sends or gets. */
export const PLAIN = { ip: 14 } as const;
/** Where they begin in a frame of a tunnel; `inner` is the Ethernet header within, `ip` the IP header. */
export const TUNNEL = { outerIp: 14, udp: 34, vxlan: 42, inner: 50, ip: 64 } as const;
/** What a tunnel puts between the Ethernet header and the IP header of a frame. */
export const OVERHEAD = TUNNEL.ip - PLAIN.ip;

export const TRANSPORT = { tcp: 6, udp: 17 } as const;
export const VERSION_4_NO_OPTIONS = 0x45;
/** TOS: explicit congestion notification (RFC 3168), and the rest. */
export const ECN = 0x03;
export const DSCP = 0xfc;
export const CONGESTION = 3;

/** What a load of 2 or 4 bytes gives where these are in the network's order. */
export const loaded16 = (value: number): number => (HOST_IS_LITTLE ? swap16(value) : value);
export const loaded32 = (value: number): number =>
  (HOST_IS_LITTLE ? (swap16(value & 0xffff) << 16) | swap16(value >>> 16) : value) | 0;
const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >>> 8);

export const ETHERTYPE_IPV4 = loaded16(0x0800);
/** More fragments, and the offset of a fragment. */
export const FRAGMENT_BITS = loaded16(0x3fff);
/** RFC 7348: the VNI is valid; no other flag, so no extension. */
export const VXLAN_FLAGS = loaded32(0x0800_0000);
