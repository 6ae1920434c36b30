/** Lines of a stream, none longer than a limit. */

/**
 * Each line without its end; a last line without an end is none. Ends with the stream.
 * @throws RangeError when a line is longer than `limit` bytes
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<string, void> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      pieces.push(rest.subarray(0, end));
      if (length + end > limit) throw new RangeError(`a line of more than ${limit} bytes`);
      yield Buffer.concat(pieces).toString('utf8');
      pieces = [];
      length = 0;
      rest = rest.subarray(end + 1);
    }
    pieces.push(rest);
    length += rest.length;
    if (length > limit) throw new RangeError(`a line of more than ${limit} bytes`);
  }
}
