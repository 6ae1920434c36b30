/**
 * Reading and writing of binary formats with checked bounds.
 *
 * `subarray` and `toString` clamp silently past the end of a buffer; these two classes never do: a read past
 * the end is a CodecError that names the format and the offset. What a Reader returns is always a copy, so a
 * decoded value never aliases the receive buffer it came from.
 *
 * Byte order is in the name: `u32` is the host's order (little-endian on every platform Tulle runs on),
 * `u32be` is the network's.
 */
import { endianness } from 'node:os';
import { CodecError } from './errors.ts';

/** Byte order of this host. */
export const HOST_IS_LITTLE = endianness() === 'LE';

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1, 'u8'));
  }
  u16(): number {
    return this.#view.getUint16(this.#advance(2, 'u16'), HOST_IS_LITTLE);
  }
  u16be(): number {
    return this.#view.getUint16(this.#advance(2, 'u16be'));
  }
  u32(): number {
    return this.#view.getUint32(this.#advance(4, 'u32'), HOST_IS_LITTLE);
  }
  u32be(): number {
    return this.#view.getUint32(this.#advance(4, 'u32be'));
  }
  i32(): number {
    return this.#view.getInt32(this.#advance(4, 'i32'), HOST_IS_LITTLE);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8, 'u64'), HOST_IS_LITTLE);
  }
  u64be(): bigint {
    return this.#view.getBigUint64(this.#advance(8, 'u64be'));
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.slice(start, start + length);
  }

  /** A reader over the next `length` bytes, without copying them. */
  sub(length: number, what: string): Reader {
    const start = this.#advance(length, what);
    return new Reader(this.#bytes.subarray(start, start + length), what);
  }

  /** A copy of everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  skip(length: number): void {
    this.#advance(length);
  }

  /** Goes to an offset, forth or back. */
  seek(offset: number): void {
    this.#offset = 0;
    this.#advance(offset);
  }

  #advance(length: number, want?: string): number {
    const start = this.#offset;
    const end = start + length;
    if (length < 0 || end > this.#bytes.byteLength) {
      throw new CodecError(this.#what, start, want ?? `${length} bytes`, `${this.remaining} bytes left`);
    }
    this.#offset = end;
    return start;
  }
}

/** A buffer that grows. Lengths of nested structures are written afterwards with `patchU16`. */
export class Writer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, HOST_IS_LITTLE);
    return this;
  }
  u16be(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
    return this;
  }
  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, HOST_IS_LITTLE);
    return this;
  }
  u32be(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
    return this;
  }
  i32(value: number): this {
    const at = this.#grow(4);
    this.#view.setInt32(at, value, HOST_IS_LITTLE);
    return this;
  }
  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, HOST_IS_LITTLE);
    return this;
  }
  u64be(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value);
    return this;
  }
  bytes(value: Uint8Array): this {
    const at = this.#grow(value.byteLength);
    this.#bytes.set(value, at);
    return this;
  }
  zeros(count: number): this {
    const start = this.#grow(count);
    this.#bytes.fill(0, start, start + count);
    return this;
  }

  /** Pads with zeros to a multiple of `size`. */
  align(size: number): this {
    const over = this.#length % size;
    return over === 0 ? this : this.zeros(size - over);
  }

  patchU16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, HOST_IS_LITTLE);
  }
  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, HOST_IS_LITTLE);
  }

  /** Takes back what was written from `length` on. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  /** Starts anew in the memory it has. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** What has been written, in place: valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what has been written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Makes room and returns where it begins. Called first: it may replace the buffer and its view. */
  #grow(count: number): number {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.byteLength) {
      const bigger = new Uint8Array(Math.max(end, this.#bytes.byteLength * 2));
      bigger.set(this.#bytes.subarray(0, start));
      this.#bytes = bigger;
      this.#view = new DataView(bigger.buffer);
    }
    this.#length = end;
    return start;
  }
}

/** What `write` writes, alone. */
export function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.finish();
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let index = 0; index < a.byteLength; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** `0a 00 ff` or any hex with white space, as in a test vector. */
export function parseHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(digits)) {
    throw new CodecError('hex', 0, 'pairs of hex digits', text.slice(0, 40));
  }
  return Uint8Array.from(digits.match(/../g) ?? [], pair => Number.parseInt(pair, 16));
}

export function formatHex(bytes: Uint8Array, separator = ''): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(separator);
}
