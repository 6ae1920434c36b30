/** What goes wrong with the database file, in our words and with a way on. */
import { isCode, messageOf, TulleError } from '../../base/errors.ts';

export type DatabaseErrorCode =
  /** The file is damaged, or is no database of ours. */
  | 'CORRUPT_DATABASE'
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
const SQLITE = { busy: 5, full: 13, ioError: 10, corrupt: 11, notADatabase: 26, cannotOpen: 14, readOnly: 8 };

/** Gives SQLite's errors our name and a way on. @throws DatabaseError */
export function guarded<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!isCode(error, 'ERR_SQLITE_ERROR')) throw error;
    const result = ((error as { errcode?: number }).errcode ?? 0) & 0xff;
    const options = { cause: error, context: { path } };
    if (result === SQLITE.corrupt || result === SQLITE.notADatabase)
      throw corrupt(path, messageOf(error), error);
    if (result === SQLITE.busy) {
      throw new DatabaseError('DATABASE_IN_USE', `${path} is open in another process`, {
        ...options,
        hint: 'stop the other store, or choose another --data-dir',
      });
    }
    throw diskFailed(path, error);
  }
}

export function diskFailed(path: string, cause: unknown): DatabaseError {
  return new DatabaseError('DISK_FAILED', `${path} cannot be read or written`, {
    cause,
    context: { path },
    hint: 'look at the free space, the permissions and the health of the disk',
  });
}

export function corrupt(path: string, what: string, cause?: unknown): DatabaseError {
  return new DatabaseError('CORRUPT_DATABASE', `${path} is damaged: ${what}`, {
    cause,
    context: { path },
    hint: 'keep the file, and restore a backup or snapshot into a new directory: tulle store restore FILE --data-dir DIR',
  });
}
