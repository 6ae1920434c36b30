/** Where things are in a packet, IPv4 (RFC 791) or IPv6 (RFC 8200). */
import type { PacketMemory } from '../../sys/packet-memory.ts';
import { internetChecksum, sumOf, updated } from './checksum.ts';

export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_ICMPV6 = 58;

/** Offsets in an IPv4 header. */
export const V4 = {
  tos: 1,
  totalLength: 2,
  id: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  length: 20,
} as const;

/** Offsets in an IPv6 header. */
export const V6 = {
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
  length: 40,
} as const;

/** Flags and offset in the `fragment` word of IPv4. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;
export const FRAGMENT_OFFSET = 0x1fff;

/** One packet at a time: reading another one changes it, so that no packet costs an object. */
export class IpPacket {
  readonly memory: PacketMemory;
  /** Offset of the packet. */
  at = 0;
  /** Bytes, by its header. */
  length = 0;
  version: 4 | 6 = 4;
  /** Bytes of the IP header; of IPv6 the fixed one. */
  headerLength = 0;
  /** Of what follows the IP header; of IPv6 this may be an extension header. */
  protocol = 0;

  constructor(memory: PacketMemory) {
    this.memory = memory;
  }

  /** @param available bytes at `at`. @returns whether there is a whole packet; what follows it is no part of it. */
  read(at: number, available: number): boolean {
    const { view } = this.memory;
    if (available < V4.length) return false;
    this.at = at;
    const first = view.getUint8(at);
    if (first >> 4 === 4) {
      this.version = 4;
      this.headerLength = (first & 15) * 4;
      this.length = view.getUint16(at + V4.totalLength);
      this.protocol = view.getUint8(at + V4.protocol);
    } else if (first >> 4 === 6 && available >= V6.length) {
      this.version = 6;
      this.headerLength = V6.length;
      this.length = V6.length + view.getUint16(at + V6.payloadLength);
      this.protocol = view.getUint8(at + V6.nextHeader);
    } else return false;
    return this.headerLength >= V4.length && this.headerLength <= this.length && this.length <= available;
  }

  /** Offset of the source address. */
  get source(): number {
    return this.at + (this.version === 4 ? V4.source : V6.source);
  }

  /** Offset of the destination address. */
  get destination(): number {
    return this.at + (this.version === 4 ? V4.destination : V6.destination);
  }

  /** TTL, or hop limit. */
  get hopLimit(): number {
    return this.memory.view.getUint8(this.at + (this.version === 4 ? V4.ttl : V6.hopLimit));
  }

  /** Counts this host as a hop: call it only while `hopLimit` is more than 1. */
  countHop(): void {
    const { view } = this.memory;
    if (this.version === 6) return view.setUint8(this.at + V6.hopLimit, this.hopLimit - 1);
    // TTL and protocol share a word of the checksum.
    const before = view.getUint16(this.at + V4.ttl);
    const after = before - 0x100;
    view.setUint16(this.at + V4.ttl, after);
    const at = this.at + V4.checksum;
    view.setUint16(at, updated(view.getUint16(at), before, after));
  }

  /** Whether it is for many: 224.0.0.0/4, 255.255.255.255, ff00::/8. */
  get isMulticast(): boolean {
    const first = this.memory.view.getUint8(this.destination);
    return this.version === 4 ? first >= 224 : first === 0xff;
  }

  /** The `fragment` word of IPv4; 0 for IPv6, which hosts alone fragment. */
  get fragment(): number {
    return this.version === 4 ? this.memory.view.getUint16(this.at + V4.fragment) : 0;
  }

  /** Whether routers may not fragment it. */
  get isWhole(): boolean {
    return this.version === 6 || (this.fragment & DONT_FRAGMENT) !== 0;
  }

  /** The sum of the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1) for this protocol and length of data. */
  pseudoSum(protocol: number, length: number): number {
    const addresses = this.version === 4 ? 8 : 32;
    return sumOf(this.memory, this.source, addresses) + protocol + length;
  }

  /** Sets length and checksum of the IP header for a packet of `length` bytes. */
  setLength(length: number): void {
    this.length = length;
    const { view } = this.memory;
    if (this.version === 6) return view.setUint16(this.at + V6.payloadLength, length - V6.length);
    view.setUint16(this.at + V4.totalLength, length);
    writeHeaderChecksum(this.memory, this.at, this.headerLength);
  }
}

/** Of an IPv4 header. */
export function writeHeaderChecksum(memory: PacketMemory, at: number, headerLength: number): void {
  memory.view.setUint16(at + V4.checksum, 0);
  memory.view.setUint16(at + V4.checksum, internetChecksum(sumOf(memory, at, headerLength)));
}
