/** A checksum over the keys and their history: two stores with the same one hold the same. */
import { crc32 } from 'node:zlib';
import { positionOf } from '../sqlite/schema.ts';
import type { Mvcc } from './mvcc.ts';

/** Rows, and bytes of them, read at once. */
const PAGE = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;

/** Of every change that is kept, up to and with `revision`. */
export function hashKeys(mvcc: Mvcc, revision: bigint): number {
  let hash = 0;
  const end = positionOf(revision + 1n);
  for (let from = 0n; ; ) {
    const { rows, complete } = mvcc.history(from, PAGE, PAGE_BYTES);
    for (const row of rows) {
      if (row.position >= end) return hash;
      hash = crc32(
        `${row.position} ${row.createRevision} ${row.version} ${row.lease} ${row.key.byteLength} `,
        hash,
      );
      hash = crc32(row.key, hash);
      hash = row.value === undefined ? crc32('-', hash) : crc32(row.value, hash);
    }
    const last = rows.at(-1);
    if (complete || last === undefined) return hash;
    from = last.position + 1n;
  }
}
