/**
 * The checksum of the internet protocols (RFC 1071): the one's complement sum of all 16-bit words. Sums here are
 * folded to 16 bits and in network order, so that they can be added to numbers of a header.
 */
import type { PacketMemory } from '../../sys/packet-memory.ts';
import { VECTOR } from '../../sys/vector-memory.ts';

/** Adds the carries back in. @param sum below 2^32. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

const swapped = (word: number) => ((word & 0xff) << 8) | (word >>> 8);

/**
 * Adds words whose low byte comes first, and swaps the sum: the order of bytes in a sum does not matter as long as it is
 * the same in all words (RFC 1071, section 2).
 *
 * @param length up to 64 KiB, so that no sum leaves 32 bits.
 */
export function sumOf(memory: PacketMemory, at: number, length: number): number {
  const { view } = memory;
  const end = at + length;
  let position = at + length - (length % VECTOR);
  let sum = memory.addUp(at, position - at);
  for (; position + 1 < end; position += 2) sum += view.getUint16(position, true);
  if (position < end) sum += view.getUint8(position);
  return swapped(fold(sum));
}

/** What a header carries so that everything adds up to 0xffff. */
export const internetChecksum = (sum: number): number => ~fold(sum) & 0xffff;

/** The checksum after one 16-bit word of what it covers has changed (RFC 1624). */
export function updated(checksum: number, before: number, after: number): number {
  return internetChecksum((~checksum & 0xffff) + (~before & 0xffff) + after);
}
