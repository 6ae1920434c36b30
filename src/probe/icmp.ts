/** ICMP and ICMPv6 messages: RFC 792, RFC 4443; the next-hop MTU of RFC 1191. */
import { messageChecksum } from '../base/checksum.ts';
import type { Family } from '../base/ip.ts';

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

/**
 * An echo request.
 * @param size of the IP packet, in bytes; at least that of the headers.
 */
export function echoRequest(family: Family, { id, sequence }: Echo, size: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(ECHO_HEADER, size - IP_HEADERS[family]));
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
