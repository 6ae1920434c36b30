/**
 * What a router answers to a packet that it cannot forward: RFC 792, 1191 and 1812 for IPv4, RFC 4443 for IPv6.
 * Never to an ICMP error, to a later fragment, to a packet for many, or to one whose sender is not one host; and not
 * more often than a limit allows (RFC 4443, section 2.4).
 */
import { internetChecksum, sumOf } from './checksum.ts';
import {
  FRAGMENT_OFFSET,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpPacket,
  V4,
  V6,
  writeHeaderChecksum,
} from './packet.ts';

/** What went wrong: type and code of each family. */
export const ICMP_ERRORS = {
  /** Code 0 of IPv4: network unreachable; of IPv6: no route. */
  noRoute: { 4: [3, 0], 6: [1, 0] },
  hopLimit: { 4: [11, 0], 6: [3, 0] },
  /** With the length that fits. */
  tooBig: { 4: [3, 4], 6: [2, 0] },
} as const satisfies Record<string, Record<4 | 6, readonly [type: number, code: number]>>;
export type IcmpError = keyof typeof ICMP_ERRORS;

/** An error is at most as long as every host must be able to receive (RFC 1812, section 4.3.2.3; RFC 4443, 2.4c). */
const LONGEST = { 4: 576, 6: 1280 } as const;
/** Type, code, checksum, and four bytes of which the MTU is written. */
const ICMP_HEADER = 8;
/** RFC 1812, section 4.3.2.5 (precedence: internetwork control). */
const TOS = 0xc0;
const TTL = 64;

/** Bytes that `writeIcmpError` may need. */
export const ICMP_ROOM = LONGEST[6];

/** Errors per second, and how many at once. */
const RATE = 1000;
const BURST = 100;

export class IcmpLimit {
  #tokens = BURST;
  #asOf = performance.now();

  /** Whether one more may be sent now. */
  take(): boolean {
    const now = performance.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#asOf) * RATE) / 1000);
    this.#asOf = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/** Whether a packet may be answered with an error. */
export function mayAnswer(packet: IpPacket): boolean {
  const { memory, at, version, headerLength, length, protocol } = packet;
  if (packet.isMulticast || (packet.fragment & FRAGMENT_OFFSET) !== 0) return false;
  const first = memory.view.getUint8(packet.source);
  const isOneHost =
    version === 4
      ? first !== 0 && first !== 127 && first < 224
      : first !== 0xff && sumOf(memory, packet.source, 16) !== 0;
  if (!isOneHost) return false;
  const type = length > headerLength ? memory.view.getUint8(at + headerLength) : 0;
  if (version === 4) return protocol !== IPPROTO_ICMP || ICMP_QUERIES.has(type);
  return protocol !== IPPROTO_ICMPV6 || type >= 128;
}

/** Echo, router discovery, timestamp, information and mask requests and replies: everything that is no error. */
const ICMP_QUERIES = new Set([0, 8, 9, 10, 13, 14, 15, 16, 17, 18]);

/**
 * Writes the answer to a packet.
 *
 * @param to offset with room for ICMP_ROOM bytes. @param own address of this host in the overlay, of the packet's family.
 * @param mtu what fits, for `tooBig`; 0 otherwise. @returns its length
 */
export function writeIcmpError(
  packet: IpPacket,
  error: IcmpError,
  to: number,
  own: Uint8Array,
  mtu: number,
): number {
  const { memory, version } = packet;
  const { view, bytes } = memory;
  const header = version === 4 ? V4.length : V6.length;
  const quoted = Math.min(packet.length, LONGEST[version] - header - ICMP_HEADER);
  const length = header + ICMP_HEADER + quoted;
  const icmp = to + header;
  const [type, code] = ICMP_ERRORS[error][version];
  bytes.fill(0, to, icmp + ICMP_HEADER);
  bytes[icmp] = type;
  bytes[icmp + 1] = code;
  // The last two bytes in IPv4 (RFC 1191), all four in IPv6.
  view.setUint16(icmp + 6, mtu);
  memory.copy(packet.at, icmp + ICMP_HEADER, quoted);
  if (version === 4) {
    bytes[to] = 0x45;
    bytes[to + V4.tos] = TOS;
    view.setUint16(to + V4.totalLength, length);
    bytes[to + V4.ttl] = TTL;
    bytes[to + V4.protocol] = IPPROTO_ICMP;
    bytes.set(own, to + V4.source);
    memory.copy(packet.source, to + V4.destination, 4);
    writeHeaderChecksum(memory, to, V4.length);
    view.setUint16(icmp + 2, internetChecksum(sumOf(memory, icmp, ICMP_HEADER + quoted)));
    return length;
  }
  bytes[to] = 0x60;
  view.setUint16(to + V6.payloadLength, ICMP_HEADER + quoted);
  bytes[to + V6.nextHeader] = IPPROTO_ICMPV6;
  bytes[to + V6.hopLimit] = TTL;
  bytes.set(own, to + V6.source);
  memory.copy(packet.source, to + V6.destination, 16);
  const pseudo = sumOf(memory, to + V6.source, 32) + IPPROTO_ICMPV6 + ICMP_HEADER + quoted;
  view.setUint16(icmp + 2, internetChecksum(pseudo + sumOf(memory, icmp, ICMP_HEADER + quoted)));
  return length;
}
