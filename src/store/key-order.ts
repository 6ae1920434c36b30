/** Keys are bytes in the order of memcmp(3). */

/** The smallest key after `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.byteLength + 1);
  next.set(key);
  return next;
}
