/**
 * What the echoes between Tulle hosts carry: which peers have just not answered the sender, so that every host asks them
 * itself at once. Nothing else follows from it: a forged one costs its receiver one echo to a peer that it has anyway.
 *
 *     u32 mark | u8 count | u8[3] zero | count addresses of the packet's family: the base addresses of the peers' subnets
 */
import { type Family, Ip } from '../../base/ip.ts';

/** The first four bytes of every echo of the mesh. */
export const MARK = 0x7475_4c31;
/** Peers in one packet. */
export const MOST_SUSPECTS = 8;

const HEADER = 8;
const SIZES = { ipv4: 4, ipv6: 16 } as const satisfies Record<Family, number>;

/** @param suspects the first few count; all of this family */
export function encodeSuspects(family: Family, suspects: readonly Ip[]): Uint8Array {
  const size = SIZES[family];
  const sent = suspects.slice(0, MOST_SUSPECTS);
  const bytes = new Uint8Array(HEADER + sent.length * size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MARK);
  view.setUint8(4, sent.length);
  for (const [index, ip] of sent.entries()) bytes.set(ip.bytes, HEADER + index * size);
  return bytes;
}

/** Anything that is not complete is left out. @param bytes from the mark on, from any sender */
export function decodeSuspects(family: Family, bytes: Uint8Array): Ip[] {
  const size = SIZES[family];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER || view.getUint32(0) !== MARK) return [];
  const there = Math.floor((bytes.byteLength - HEADER) / size);
  const count = Math.min(view.getUint8(4), there, MOST_SUSPECTS);
  return Array.from({ length: count }, (_, index) =>
    Ip.fromBytes(bytes.subarray(HEADER + index * size, HEADER + (index + 1) * size)),
  );
}
