/** A checksum over the keys and their history: two stores with the same one hold the same. */
import { crc32 } from 'node:zlib';
import type { Mvcc } from './mvcc.ts';
import { positionOf } from './schema.ts';

/** Rows read at once. */
const PAGE = 1000;

/** Of every change that is kept, up to and with `revision`. */
export function hashKeys(mvcc: Mvcc, revision: bigint): number {
  let hash = 0;
  const end = positionOf(revision + 1n);
  for (let from = 0n; ; ) {
    const rows = mvcc.history(from, PAGE);
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
    if (rows.length < PAGE || last === undefined) return hash;
    from = last.position + 1n;
  }
}
