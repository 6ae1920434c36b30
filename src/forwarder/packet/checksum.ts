/**
 * The checksum of the internet protocols (RFC 1071): the one's complement sum of all 16-bit words. Sums here are
 * folded to 16 bits and in network order, so that they can be added to numbers of a header.
 */
import { HOST_IS_LITTLE, type PacketMemory } from '../../sys/packet-memory.ts';

/** Adds the carries back in. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

const swapped = (word: number) => ((word & 0xff) << 8) | (word >>> 8);

/**
 * Adds words of 32 bits as they lie in memory: the order of bytes in a sum does not matter as long as it is the same
 * in all words (RFC 1071, section 2). Of data that begins at an odd offset, all bytes change places.
 *
 * @param length up to 64 KiB, so that no sum of halves leaves 31 bits.
 */
export function sumOf(memory: PacketMemory, at: number, length: number): number {
  const { bytes, words } = memory;
  const end = at + length;
  let position = at;
  let edges = 0;
  for (; (position & 3) !== 0 && position < end; position++) edges += placed(bytes, position);
  let low = 0;
  let high = 0;
  let index = position >> 2;
  const last = end >> 2;
  for (const lastOfFour = index + ((last - index) & ~3); index < lastOfFour; index += 4) {
    const a = words[index] as number;
    const b = words[index + 1] as number;
    const c = words[index + 2] as number;
    const d = words[index + 3] as number;
    low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
  }
  for (; index < last; index++) {
    const word = words[index] as number;
    low = (low + (word & 0xffff)) | 0;
    high = (high + (word >>> 16)) | 0;
  }
  for (position = Math.max(position, last << 2); position < end; position++) edges += placed(bytes, position);
  const sum = fold(low + high + edges);
  return HOST_IS_LITTLE === ((at & 1) === 0) ? swapped(sum) : sum;
}

/** A byte in its place of a 16-bit word of the host. */
function placed(bytes: Uint8Array, at: number): number {
  const byte = bytes[at] as number;
  return ((at & 1) === 0) === HOST_IS_LITTLE ? byte : byte << 8;
}

/** What a header carries so that everything adds up to 0xffff. */
export const internetChecksum = (sum: number): number => ~fold(sum) & 0xffff;

/** The checksum after one 16-bit word of what it covers has changed (RFC 1624). */
export function updated(checksum: number, before: number, after: number): number {
  return internetChecksum((~checksum & 0xffff) + (~before & 0xffff) + after);
}
