/** Databases of a store with keys in them, in directories that are gone afterwards. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Mvcc } from '../../src/etcdserver/mvcc/mvcc.ts';
import type { Database } from '../../src/etcdserver/sqlite/database.ts';
import { Tables } from '../../src/etcdserver/sqlite/tables.ts';

export const bytes = (text: string) => Uint8Array.from(Buffer.from(text));

export async function withDirectory(body: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'tt-database-'));
  try {
    await body(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Puts `k<from>` to `k<count - 1>`, one per commit, as a client would do it. */
export function fill(database: Database, count: number, from = 0): void {
  const mvcc = new Mvcc(new Tables(database));
  for (let index = from; index < count; index++) {
    database.begin();
    const writer = mvcc.write();
    writer.put(bytes(`k${index}`), bytes(`value ${index}`), 0n);
    mvcc.finish(writer);
    database.commit();
    database.reached(mvcc.revision);
  }
}

/** '' when there is no such key. */
export const read = (database: Database, key: string) =>
  Buffer.from(new Tables(database).get(bytes(key))?.value ?? []).toString();

/** What a killed store leaves, or a machine that loses power: the files as they are. @returns `copy`. */
export function copyOf(path: string, copy: string): string {
  for (const part of ['', '-wal', '-ack']) copyFileSync(path + part, copy + part);
  return copy;
}
