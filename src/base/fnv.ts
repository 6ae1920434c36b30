/** FNV-1a with 32 bits (RFC 9923): spreads things evenly and the same everywhere, and hides nothing. */
export function fnv1a(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let value = seed;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}
