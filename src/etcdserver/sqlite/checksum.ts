/** The checksum of a row: it finds a damaged one, which SQLite would return as it is. */
import { crc32 } from 'node:zlib';

/** A value of a row, as SQLite keeps it. */
export type Cell = bigint | string | Uint8Array | null;

/** Cells up to this many bytes are copied together: one call for a small row is quicker than one for each cell. */
const SMALL = 1024;
/** Six cells, as many as a row has at most, and their lengths. */
const row = Buffer.alloc(6 * (SMALL + 4));
const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
/** In place of a length. */
const NULL = 0xffff_ffff;

/** CRC-32 of the first `count` cells and their lengths, as a signed number of 32 bits. */
export function checksumOf(cells: readonly Cell[], count = cells.length): bigint {
  let sum = 0;
  let at = 0;
  for (let index = 0; index < count; index++) {
    const cell = cells[index] ?? null;
    if (typeof cell === 'bigint') {
      view.setBigInt64(at, cell);
      at += 8;
      continue;
    }
    const bytes = typeof cell === 'string' ? Buffer.from(cell) : cell;
    view.setUint32(at, bytes?.byteLength ?? NULL);
    at += 4;
    if (bytes === null) continue;
    if (bytes.byteLength <= SMALL) {
      row.set(bytes, at);
      at += bytes.byteLength;
      continue;
    }
    sum = crc32(bytes, crc32(row.subarray(0, at), sum));
    at = 0;
  }
  return BigInt(crc32(row.subarray(0, at), sum) | 0);
}

/** Whether the last cell is the checksum of the others. */
export function isSound(cells: readonly Cell[]): boolean {
  return checksumOf(cells, cells.length - 1) === cells.at(-1);
}
