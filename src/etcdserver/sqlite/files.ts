/** The files of a store: where they are, whose, and whether a running store still has the ones that are there. */
import { chmodSync, closeSync, fsyncSync, openSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isCode } from '../../base/errors.ts';
import { DatabaseError } from './database-error.ts';

/** The name of the database inside the data directory. */
export const DATABASE_FILE = 'store.db';

/** The database of a data directory. Of a link it is the target: SQLite has its log and its index beside that. */
export function databaseIn(dataDir: string): string {
  const path = join(dataDir, DATABASE_FILE);
  try {
    return realpathSync(path);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return path;
    throw error;
  }
}

/** @throws SQLite's "busy" when another process has the lock. */
export function lock(path: string): DatabaseSync {
  keepPrivate(`${path}-lock`);
  const db = new DatabaseSync(`${path}-lock`, { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** The whole registry is in these files, and the hashes of passwords: for the owner only. */
export function keepPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    // Not through a descriptor: closing one would end the locks that this process has on the file.
    chmodSync(path, 0o600);
  }
}

/** The log's contents are safe on the disk only when its name is. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * Files that a process has open. One that is removed, or has another one put in its place, goes on taking writes, and
 * all of it ends with the process.
 */
export class OpenFiles {
  readonly #identities: ReadonlyMap<string, string | undefined>;

  constructor(paths: readonly string[]) {
    this.#identities = new Map(paths.map(path => [path, identityOf(path)]));
  }

  /** Why nothing that is written now would be there after the process; undefined when it would. */
  get removal(): DatabaseError | undefined {
    for (const [path, identity] of this.#identities) {
      if (identityOf(path) === identity) continue;
      return new DatabaseError('DISK_FAILED', `${path} was removed or replaced while the store has it open`, {
        context: { path },
        hint: 'do not stop the store: save what it has with `tulle store snapshot FILE` first',
      });
    }
    return undefined;
  }
}

/** Undefined when there is no such file. */
function identityOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}
