/**
 * The Huffman code of HPACK (RFC 7541, 5.2 and appendix B). The code is canonical: shorter codes come first, and
 * codes of one length go in the order of their symbols; so the lengths are all there is to know.
 */
import { ConnectionError, ERROR } from './frames.ts';

/** Code lengths in bits of the symbols 0 to 255, as a string of runs `symbols:bits`. */
const RUNS =
  '1:13 1:23 7:28 1:24 1:30 2:28 1:30 8:28 1:30 9:28 1:6 2:10 1:12 1:13 1:6 1:8 1:11 2:10 1:8 1:11 1:8 3:6 ' +
  '3:5 7:6 1:7 1:8 1:15 1:6 1:12 1:10 1:13 1:6 22:7 1:8 1:7 1:8 1:13 1:19 1:13 1:14 1:6 1:15 1:5 1:6 1:5 ' +
  '1:6 1:5 3:6 1:5 2:7 3:6 1:5 1:6 1:7 1:6 2:5 1:6 5:7 1:15 1:11 1:14 1:13 1:28 1:20 1:22 2:20 3:22 1:23 ' +
  '1:22 5:23 1:24 1:23 2:24 1:22 1:23 1:24 4:23 1:21 1:22 1:23 1:22 2:23 1:24 1:22 1:21 1:20 2:22 2:23 1:21 ' +
  '1:23 2:22 1:24 1:21 1:22 2:23 2:21 1:22 1:21 1:23 1:22 2:23 1:20 3:22 1:23 2:22 1:23 2:26 1:20 1:19 1:22 ' +
  '1:23 1:22 1:25 3:26 2:27 1:26 1:24 1:25 1:19 1:21 1:26 2:27 1:26 1:27 1:24 2:21 2:26 1:28 3:27 1:20 1:24 ' +
  '1:20 1:21 1:22 2:21 1:23 2:22 2:25 2:24 1:26 1:23 1:26 1:27 2:26 5:27 1:28 5:27 1:26';

const LONGEST = 30;

interface Table {
  /** By length in bits: the first code of that length, and how many there are. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** By length: where its symbols begin in `symbols`. */
  readonly offset: Int32Array;
  readonly symbols: Uint8Array;
}

const TABLE = makeTable();

function makeTable(): Table {
  const lengths = RUNS.split(' ').flatMap(run => {
    const [symbols = 0, bits = 0] = run.split(':').map(Number);
    return Array.from({ length: symbols }, () => bits);
  });
  const first = new Int32Array(LONGEST + 1);
  const count = new Int32Array(LONGEST + 1);
  const offset = new Int32Array(LONGEST + 1);
  const symbols: number[] = [];
  let code = 0;
  for (let bits = 1; bits <= LONGEST; bits++) {
    code <<= 1;
    first[bits] = code;
    offset[bits] = symbols.length;
    for (const [symbol, length] of lengths.entries()) if (length === bits) symbols.push(symbol);
    count[bits] = symbols.length - (offset[bits] ?? 0);
    code += count[bits] ?? 0;
  }
  return { first, count, offset, symbols: Uint8Array.from(symbols) };
}

/** Bytes of a header as text, one character per byte. @throws ConnectionError for what is no such code. */
export function decodeHuffman(bytes: Uint8Array): string {
  const { first, count, offset, symbols } = TABLE;
  let text = '';
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1);
      length++;
      const index = code - (first[length] ?? 0);
      if (index >= 0 && index < (count[length] ?? 0)) {
        text += String.fromCharCode(symbols[(offset[length] ?? 0) + index] ?? 0);
        code = 0;
        length = 0;
      } else if (length >= LONGEST) {
        throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'a Huffman code that does not exist');
      }
    }
  }
  // What is left is padding: fewer than eight bits, all ones.
  if (length > 7 || code !== (1 << length) - 1) {
    throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'wrong padding of a Huffman code');
  }
  return text;
}
