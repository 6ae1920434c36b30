/** The checksum of the internet protocols (RFC 1071) over a few bytes; what forwards packets has a faster one of its own. */

/** What a header carries, where the checksum itself counts as 0, so that all 16-bit words add up to 0xffff. */
export function messageChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) sum += index % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
