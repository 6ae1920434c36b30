/** ICMP and ICMPv6 messages: RFC 792, RFC 4443; the next-hop MTU of RFC 1191. */
import { messageChecksum } from '../base/checksum.ts';
import type { Family } from '../base/ip.ts';
import { MESSAGE_OFFSET } from '../sys/icmp-socket.ts';
import { keep, loadByte, loadHalf, whetherEqual } from '../sys/socket-filter.ts';

/** Types of messages. */
const TYPES = {
  ipv4: { request: 8, reply: 0, unreachable: 3, timeExceeded: 11 },
  ipv6: { request: 128, reply: 129, unreachable: 1, timeExceeded: 3 },
} as const;
/** Fragmentation needed: a code of "unreachable" in ICMP, a type of its own in ICMPv6. */
const IPV4_TOO_BIG_CODE = 4;
const IPV6_TOO_BIG = 2;

/** Types of the messages that `parseAnswer` reads. */
export function answerTypes(family: Family): number[] {
  const { reply, unreachable, timeExceeded } = TYPES[family];
  return [reply, unreachable, timeExceeded, ...(family === 'ipv6' ? [IPV6_TOO_BIG] : [])];
}

/** Bytes of the largest message. */
const LARGEST = 65_535;

/** Type, code, checksum, identifier, sequence number. */
export const ECHO_HEADER = 8;

export interface Echo {
  readonly id: number;
  readonly sequence: number;
}

export type IcmpAnswer = Echo &
  (
    | { readonly kind: 'reply' }
    | { readonly kind: 'unreachable'; readonly code: number }
    | { readonly kind: 'time exceeded' }
    /** `mtu` is what the next hop takes; 0 from routers that do not say. */
    | { readonly kind: 'too big'; readonly mtu: number }
  );

/** Type of the echo requests of a family. */
export const requestType = (family: Family): number => TYPES[family].request;

const NOTHING = new Uint8Array();

/**
 * An echo request.
 * @param size of the IP packet, in bytes; at least that of the headers and the data.
 * @param data what it begins with; zeros follow.
 */
export function echoRequest(
  family: Family,
  { id, sequence }: Echo,
  size: number,
  data: Uint8Array = NOTHING,
): Uint8Array {
  const bytes = new Uint8Array(Math.max(ECHO_HEADER + data.byteLength, size - IP_HEADERS[family]));
  bytes.set(data, ECHO_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, TYPES[family].request);
  view.setUint16(4, id);
  view.setUint16(6, sequence);
  // The kernel fills in that of ICMPv6, which covers addresses (RFC 3542, section 3.1).
  if (family === 'ipv4') view.setUint16(2, messageChecksum(bytes));
  return bytes;
}

/** Bytes of an IP header without options. */
export const IP_HEADERS = { ipv4: 20, ipv6: 40 } as const;

/** What a message says about an echo request; undefined when it says nothing about one. @param bytes from its type on. */
export function parseAnswer(family: Family, bytes: Uint8Array): IcmpAnswer | undefined {
  if (bytes.byteLength < ECHO_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [type, code] = [view.getUint8(0), view.getUint8(1)];
  const types = TYPES[family];
  if (type === types.reply) return { kind: 'reply', ...echoAt(view, 0) };
  const echo = quotedEcho(family, view);
  if (echo === undefined) return undefined;
  if (family === 'ipv6' && type === IPV6_TOO_BIG) return { kind: 'too big', mtu: view.getUint32(4), ...echo };
  if (family === 'ipv4' && type === types.unreachable && code === IPV4_TOO_BIG_CODE)
    return { kind: 'too big', mtu: view.getUint16(6), ...echo };
  if (type === types.unreachable) return { kind: 'unreachable', code, ...echo };
  if (type === types.timeExceeded) return { kind: 'time exceeded', ...echo };
  return undefined;
}

/** The data of an echo request; undefined when it is none. @param bytes from its type on. */
export function requestData(family: Family, bytes: Uint8Array): Uint8Array | undefined {
  return bytes.byteLength >= ECHO_HEADER && bytes[0] === TYPES[family].request
    ? bytes.subarray(ECHO_HEADER)
    : undefined;
}

/** What a socket receives (src/sys/socket-filter.ts): replies to echoes of this id, and every error. */
export function answerFilter(family: Family, id: number): ReturnType<typeof keep>[] {
  const start = MESSAGE_OFFSET[family];
  return [
    loadByte(start),
    whetherEqual(TYPES[family].reply, 0, 2),
    loadHalf(start + 4),
    whetherEqual(id, 0, 1),
    keep(LARGEST),
    keep(0),
  ];
}

const echoAt = (view: DataView, offset: number): Echo => ({
  id: view.getUint16(offset + 4),
  sequence: view.getUint16(offset + 6),
});

/** An error quotes the packet that it is about, from its IP header on. */
function quotedEcho(family: Family, view: DataView): Echo | undefined {
  const start = ECHO_HEADER;
  if (view.byteLength < start + IP_HEADERS[family]) return undefined;
  const header = family === 'ipv4' ? (view.getUint8(start) & 0xf) * 4 : IP_HEADERS.ipv6;
  const inner = start + header;
  if (header < IP_HEADERS[family] || view.byteLength < inner + ECHO_HEADER) return undefined;
  return view.getUint8(inner) === TYPES[family].request ? echoAt(view, inner) : undefined;
}
