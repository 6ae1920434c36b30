/** A body that comes in pieces, as a whole. */

/**
 * All bytes of a stream, or undefined as soon as there are more than `limit` of them: the rest is not read then.
 * @throws what the stream throws.
 */
export async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
): Promise<Uint8Array | undefined> {
  const kept: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.byteLength;
    if (length > limit) return undefined;
    kept.push(chunk);
  }
  return Buffer.concat(kept);
}
