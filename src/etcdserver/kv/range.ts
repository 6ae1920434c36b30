/**
 * Ranges of keys as etcd writes them. Keys are bytes in memcmp order.
 *
 *     key, no range_end     the one key
 *     key, range_end        key <= k < range_end
 *     key, "\0"             key <= k
 */
import { successor } from '../../store/key-order.ts';

/** `end` undefined: to the end of all keys. An empty range has `end` <= `start`. */
export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | undefined;
  /** Exactly the key `start`. */
  readonly single: boolean;
}

export function rangeOf(key: Uint8Array, rangeEnd: Uint8Array): KeyRange {
  if (rangeEnd.byteLength === 0) return { start: key, end: successor(key), single: true };
  const open = rangeEnd.byteLength === 1 && rangeEnd[0] === 0;
  return { start: key, end: open ? undefined : rangeEnd, single: false };
}

export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function contains(range: KeyRange, key: Uint8Array): boolean {
  return compareKeys(range.start, key) <= 0 && (range.end === undefined || compareKeys(key, range.end) < 0);
}

/** Keys as members of a Set or Map: one character per byte, so that text order is byte order. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
