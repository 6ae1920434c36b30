/**
 * Finds the longest prefix that holds an address, in memory that can be handed to another thread. One hash table for
 * all prefixes, keyed by bits and length, is asked once per length that occurs, longest first: the number of prefixes
 * does not matter, and lengths are few, since a network has subnets of one size.
 */
import type { Family } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';

/** Words of 32 bits in an address. */
const WORDS = { ipv4: 1, ipv6: 4 } as const satisfies Record<Family, number>;

/** Typed arrays only, so that it can be posted to a thread. */
export interface PrefixIndexData {
  readonly family: Family;
  /** Lengths that occur, longest first. */
  readonly lengths: Uint8Array;
  /** `WORDS` of each entry: the bits of the prefix. */
  readonly keys: Uint32Array;
  readonly keyLengths: Uint8Array;
  /** What was stored with the prefix; 0 where there is no entry. As many as a power of two. */
  readonly values: Uint32Array;
}

/** @param entries each with a value above 0; of equal prefixes the last one counts. */
export function indexPrefixes(
  family: Family,
  entries: readonly (readonly [prefix: Prefix, value: number])[],
): PrefixIndexData {
  const words = WORDS[family];
  // At most half full, so that a search ends soon.
  const size = 2 ** Math.ceil(Math.log2(entries.length * 2 + 2));
  const data: PrefixIndexData = {
    family,
    lengths: Uint8Array.from(new Set(entries.map(([{ length }]) => length))).sort((a, b) => b - a),
    keys: new Uint32Array(size * words),
    keyLengths: new Uint8Array(size),
    values: new Uint32Array(size),
  };
  for (const [{ ip, length }, value] of entries) {
    const view = new DataView(ip.bytes.buffer);
    const key = Array.from({ length: words }, (_, word) => view.getUint32(word * 4));
    let at = hash(key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0, length) & (size - 1);
    const isOther = () =>
      data.keyLengths[at] !== length || key.some((word, index) => data.keys[at * words + index] !== word);
    while (data.values[at] !== 0 && isOther()) at = (at + 1) & (size - 1);
    data.keys.set(key, at * words);
    data.keyLengths[at] = length;
    data.values[at] = value;
  }
  return data;
}

export class PrefixIndex {
  readonly #data: PrefixIndexData;

  constructor(data: PrefixIndexData) {
    this.#data = data;
  }

  /** The value of the longest prefix that holds the address at `at`, or 0. */
  find(view: DataView, at: number): number {
    return this.#data.family === 'ipv4' ? this.#find4(view.getUint32(at)) : this.#find6(view, at);
  }

  #find4(address: number): number {
    const { lengths, keys, keyLengths, values } = this.#data;
    const mask = values.length - 1;
    for (let index = 0; index < lengths.length; index++) {
      const length = lengths[index] as number;
      const key = (address & maskOf(length)) >>> 0;
      for (let slot = hash(key, 0, 0, 0, length) & mask; values[slot] !== 0; slot = (slot + 1) & mask)
        if (keys[slot] === key && keyLengths[slot] === length) return values[slot] as number;
    }
    return 0;
  }

  #find6(view: DataView, at: number): number {
    const { lengths, keys, keyLengths, values } = this.#data;
    const mask = values.length - 1;
    for (let index = 0; index < lengths.length; index++) {
      const length = lengths[index] as number;
      const a = (view.getUint32(at) & maskOf(length)) >>> 0;
      const b = (view.getUint32(at + 4) & maskOf(length - 32)) >>> 0;
      const c = (view.getUint32(at + 8) & maskOf(length - 64)) >>> 0;
      const d = (view.getUint32(at + 12) & maskOf(length - 96)) >>> 0;
      for (let slot = hash(a, b, c, d, length) & mask; values[slot] !== 0; slot = (slot + 1) & mask) {
        const key = slot * 4;
        if (
          keyLengths[slot] === length &&
          keys[key] === a &&
          keys[key + 1] === b &&
          keys[key + 2] === c &&
          keys[key + 3] === d
        )
          return values[slot] as number;
      }
    }
    return 0;
  }
}

/** The first `length` of 32 bits; none below 0, all above 32. */
function maskOf(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? -1 : -1 << (32 - length);
}

/** Spreads what is counted up in the middle of an address over all bits (murmur3's finalizer). */
function hash(a: number, b: number, c: number, d: number, length: number): number {
  let mixed = a ^ Math.imul(b, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35) ^ Math.imul(d, 0x27d4eb2f) ^ length;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
