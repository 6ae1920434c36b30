/**
 * Records of a ring buffer, as the kernel writes them (kernel/bpf/ringbuf.c):
 *
 *     length u32 (bit 31: not written yet, bit 30: thrown away) | offset of its page u32 | bytes, padded to 8
 *
 * Positions only grow; the place in the ring is the position modulo its size. The data is there twice, one after the
 * other, so that no record is in two pieces.
 */
import { CodecError } from '../base/errors.ts';

const HEADER = 8;
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;

export interface Ring {
  /** One number: how far this process has read; the kernel reads it. */
  readonly consumer: BigUint64Array;
  /** One number: how far the kernel has reserved. */
  readonly producer: BigUint64Array;
  /** Twice the bytes of the ring. */
  readonly data: Uint8Array;
}

/**
 * Takes up to `most` records out of the ring; none when there is none, or the next one is not written yet.
 *
 * @returns copies. @throws CodecError for what no kernel writes
 */
export function takeRecords({ consumer, producer, data }: Ring, most: number): Uint8Array[] {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const size = data.byteLength / 2;
  const records: Uint8Array[] = [];
  let position = Number(Atomics.load(consumer, 0));
  const end = Number(Atomics.load(producer, 0));
  while (position < end && records.length < most) {
    const at = position % size;
    const header = Atomics.load(words, at / 4);
    if ((header & BUSY) !== 0) break;
    const length = header & ~(BUSY | DISCARDED);
    const next = position + HEADER + Math.ceil(length / 8) * 8;
    if (length > size - HEADER || next > end)
      throw new CodecError('ring buffer', position, `a record up to ${end}`, `${length} bytes`);
    if ((header & DISCARDED) === 0) records.push(data.slice(at + HEADER, at + HEADER + length));
    position = next;
    Atomics.store(consumer, 0, BigInt(position));
  }
  return records;
}
