/** What goes wrong with the database file, in our words and with a way on. */
import { dirname } from 'node:path';
import { isCode, messageOf, TulleError } from '../../base/errors.ts';

export type DatabaseErrorCode =
  /** The file is damaged, or is no database of ours. */
  | 'CORRUPT_DATABASE'
  /** Acknowledged writes are missing from the files. */
  | 'WRITES_LOST'
  /** Written by a newer Tulle. */
  | 'NEWER_SCHEMA'
  /** Another process has it open. */
  | 'DATABASE_IN_USE'
  /** The disk is full, or refuses to be read or written. */
  | 'DISK_FAILED'
  /** What was to be restored or written over is already there. */
  | 'EXISTS';

/** The database file of the store. */
export class DatabaseError extends TulleError<DatabaseErrorCode> {}

/** SQLite's result codes (sqlite.org/rescode.html) by what they mean for us. */
const SQLITE = { busy: 5, corrupt: 11, notADatabase: 26 };

/** "I/O error, short read": the disk works, and the file ends in the middle of a page. */
const SHORT_READ = 522;

/** SQLite's primary result code, of an error that is SQLite's; a file that is cut short counts as a damaged one. */
export function sqliteCode(error: unknown): number | undefined {
  if (!isCode(error, 'ERR_SQLITE_ERROR')) return undefined;
  const { errcode = 0 } = error as { errcode?: number };
  return errcode === SHORT_READ ? SQLITE.corrupt : errcode & 0xff;
}

/** Gives SQLite's errors our name and a way on. @throws DatabaseError */
export function translating<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw translated(path, error);
  }
}

/** The same for an error that was caught; what is not SQLite's stays as it is. */
export function translated(path: string, error: unknown): Error {
  switch (sqliteCode(error)) {
    case undefined:
      return error instanceof Error ? error : new Error(String(error));
    case SQLITE.corrupt:
    case SQLITE.notADatabase:
      return corrupt(path, messageOf(error), error);
    case SQLITE.busy:
      return new DatabaseError('DATABASE_IN_USE', `${path} is open in another process`, {
        cause: error,
        context: { path },
        hint: 'stop the other store, or choose another --data-dir',
      });
    default:
      return diskFailed(path, error);
  }
}

export function diskFailed(path: string, cause: unknown): DatabaseError {
  return new DatabaseError('DISK_FAILED', `${path} cannot be read or written`, {
    cause,
    context: { path },
    hint: 'check the free space, the permissions and the health of the disk',
  });
}

export function corrupt(path: string, what: string, cause?: unknown): DatabaseError {
  return new DatabaseError('CORRUPT_DATABASE', `${path} is damaged: ${what}`, {
    cause,
    context: { path },
    hint: 'keep the file, and restore a backup or snapshot into a new directory: tulle store restore FILE --data-dir DIR',
  });
}

/**
 * @param acknowledged the newest revision that was acknowledged; undefined when it is unknown
 * @param left the newest revision that can still be read; undefined: nothing can
 */
export function writesLost(
  path: string,
  why: string,
  acknowledged: bigint | undefined,
  left: bigint | undefined,
): DatabaseError {
  const was =
    acknowledged === undefined
      ? 'what was acknowledged is not known'
      : `revision ${acknowledged} was acknowledged`;
  const is =
    left === undefined ? 'nothing is left that can be read' : `what is left ends at revision ${left}`;
  return new DatabaseError('WRITES_LOST', `${why}; ${was}, and ${is}`, {
    context: { path },
    hint: `restore a snapshot into a new directory: tulle store restore FILE --data-dir DIR; or continue with what is left: tulle store accept-loss --data-dir ${dirname(path)}`,
  });
}
