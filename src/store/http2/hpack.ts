/**
 * Header compression (RFC 7541). The decoder is complete. What we send uses no state: static entries and literals
 * that are not indexed, so a header block can be made once and sent on every connection.
 */
import { ConnectionError, ERROR } from './frames.ts';
import { decodeHuffman } from './huffman.ts';

type Field = readonly [name: string, value: string];

/** RFC 7541, appendix A; index 1 is the first. */
const STATIC: readonly Field[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...[
    'accept-language',
    'accept-ranges',
    'accept',
    'access-control-allow-origin',
    'age',
    'allow',
    'authorization',
    'cache-control',
    'content-disposition',
    'content-encoding',
    'content-language',
    'content-length',
    'content-location',
    'content-range',
    'content-type',
    'cookie',
    'date',
    'etag',
    'expect',
    'expires',
    'from',
    'host',
    'if-match',
    'if-modified-since',
    'if-none-match',
    'if-range',
    'if-unmodified-since',
    'last-modified',
    'link',
    'location',
    'max-forwards',
    'proxy-authenticate',
    'proxy-authorization',
    'range',
    'referer',
    'refresh',
    'retry-after',
    'server',
    'set-cookie',
    'strict-transport-security',
    'transfer-encoding',
    'user-agent',
    'vary',
    'via',
    'www-authenticate',
  ].map(name => [name, ''] as const),
];

/** The table size both sides begin with, and the largest we allow, in bytes. */
const TABLE_BYTES = 4096;
/** What an entry counts besides its text. */
const ENTRY_OVERHEAD = 32;
/** A header list longer than this is an attack. */
const MAX_LIST_BYTES = 64 * 1024;

export class HpackDecoder {
  /** Newest first. */
  readonly #table: Field[] = [];
  #size = 0;
  #limit = TABLE_BYTES;

  /** The fields of a whole header block; a later one of the same name wins. @throws ConnectionError */
  decode(block: Buffer): Map<string, string> {
    const headers = new Map<string, string>();
    const cursor = { block, at: 0 };
    let bytes = 0;
    while (cursor.at < block.byteLength) {
      const first = block[cursor.at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        this.#resize(readInteger(cursor, 5));
        continue;
      }
      const [name, value] = this.#field(cursor, first);
      bytes += name.length + value.length + ENTRY_OVERHEAD;
      if (bytes > MAX_LIST_BYTES) throw new ConnectionError(ERROR.ENHANCE_YOUR_CALM, 'too many headers');
      headers.set(name, value);
    }
    return headers;
  }

  #field(cursor: Cursor, first: number): Field {
    if ((first & 0x80) !== 0) return this.#lookup(readInteger(cursor, 7));
    const indexed = (first & 0x40) !== 0;
    const nameIndex = readInteger(cursor, indexed ? 6 : 4);
    const name = nameIndex === 0 ? readString(cursor) : this.#lookup(nameIndex)[0];
    const field: Field = [name, readString(cursor)];
    if (indexed) this.#insert(field);
    return field;
  }

  #lookup(index: number): Field {
    const field = index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1];
    if (field === undefined) throw new ConnectionError(ERROR.COMPRESSION_ERROR, `no header ${index}`);
    return field;
  }

  #insert(field: Field): void {
    this.#table.unshift(field);
    this.#size += sizeOf(field);
    this.#evict();
  }

  #resize(limit: number): void {
    if (limit > TABLE_BYTES)
      throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'a table larger than allowed');
    this.#limit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const oldest = this.#table.pop();
      if (oldest === undefined) break;
      this.#size -= sizeOf(oldest);
    }
  }
}

interface Cursor {
  readonly block: Buffer;
  at: number;
}

function sizeOf([name, value]: Field): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

/** An integer that begins in the low `bits` of the next byte (RFC 7541, 5.1). */
function readInteger(cursor: Cursor, bits: number): number {
  const full = (1 << bits) - 1;
  let value = readByte(cursor) & full;
  if (value < full) return value;
  for (let shift = 0; ; shift += 7) {
    const byte = readByte(cursor);
    value += (byte & 0x7f) << shift;
    if (shift > 21) throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'an integer too large');
    if ((byte & 0x80) === 0) return value;
  }
}

function readByte(cursor: Cursor): number {
  const byte = cursor.block[cursor.at++];
  if (byte === undefined) throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'a header block cut short');
  return byte;
}

function readString(cursor: Cursor): string {
  const coded = ((cursor.block[cursor.at] ?? 0) & 0x80) !== 0;
  const length = readInteger(cursor, 7);
  const bytes = cursor.block.subarray(cursor.at, cursor.at + length);
  if (bytes.byteLength < length) throw new ConnectionError(ERROR.COMPRESSION_ERROR, 'a string cut short');
  cursor.at += length;
  return coded ? decodeHuffman(bytes) : bytes.toString('latin1');
}

/** A header block that any decoder reads in any state. Values are text with one byte per character. */
export function encodeHeaders(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(encodeField));
}

function encodeField([name, value]: Field): Buffer {
  const exact = STATIC.findIndex(field => field[0] === name && field[1] === value);
  if (exact !== -1) return Buffer.from([0x80 | (exact + 1)]);
  return Buffer.concat([Buffer.from([0]), encodeString(name), encodeString(value)]);
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let rest = bytes.byteLength;
  if (rest < 0x7f) length.push(rest);
  else {
    length.push(0x7f);
    for (rest -= 0x7f; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
