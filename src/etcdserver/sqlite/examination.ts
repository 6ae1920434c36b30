/**
 * What is looked at before a store starts, and before anything in its directory is changed: whether the files hold
 * everything that was acknowledged, as it was written.
 *
 *     what                            covered by
 *     write-ahead log                 SQLite's checksum of every page in it, up to the end that was acknowledged
 *     an end that is missing          the record of what was acknowledged (acknowledged.ts)
 *     database file: structure        SQLite's integrity check: every page, every index against its table
 *     database file: contents         a checksum in every row
 *     database file: emptied, older   the record of what was acknowledged
 *     tables and their names          compared with those that this version makes
 *     shared memory (-shm)            nothing: SQLite makes it anew at each start
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../../base/errors.ts';
import { type Acknowledged, NOTHING_YET, readAcknowledged } from './acknowledged.ts';
import { checksumOf } from './checksum.ts';
import { corrupt, type DatabaseError, sqliteCode, writesLost } from './database-error.ts';
import { CHECKSUMS_SINCE, COLUMNS, MIGRATIONS, NEWEST_REVISION, versionOf } from './schema.ts';
import { logProblem } from './write-ahead-log.ts';

/** Lets SQL compute the checksum of a row. */
export function withChecksums(db: DatabaseSync): DatabaseSync {
  db.function('checksum_of', { varargs: true, useBigIntArguments: true, deterministic: true }, (...cells) =>
    checksumOf(cells as Parameters<typeof checksumOf>[0]),
  );
  return db;
}

/**
 * @param acceptLoss what was acknowledged and is lost is no reason to refuse; damage still is.
 * @throws DatabaseError
 */
export function examine(path: string, acceptLoss: boolean): void {
  const acknowledged = acceptLoss ? NOTHING_YET : readAcknowledged(path);
  if (acknowledged === 'damaged') throw lost(path, undefined, `${path}-ack is damaged`);
  if (isEmpty(path)) {
    const used = acknowledged === undefined ? !isEmpty(`${path}-wal`) : acknowledged.revision > 0n;
    if (used) throw lost(path, acknowledged, `${path} is missing or empty`);
    return;
  }
  // The very first start was cut off while it made the file.
  if (acknowledged?.revision === 0n && !isEmpty(`${path}-journal`)) return;
  const problem = acknowledged && logProblem(`${path}-wal`, acknowledged.log);
  if (problem !== undefined) throw lost(path, acknowledged, `${path}-wal ${problem}`);
  try {
    examineDatabase(path, acknowledged);
  } catch (error) {
    // SQLite's general error: a statement that does not fit what is in the file.
    if (sqliteCode(error) === 1) throw corrupt(path, messageOf(error), error);
    throw error;
  }
}

function examineDatabase(path: string, acknowledged: Acknowledged | undefined): void {
  using db = reader(path);
  const version = versionOf(db, path);
  if (acknowledged === undefined && version >= CHECKSUMS_SINCE) {
    throw lost(path, undefined, `${path}-ack is missing`);
  }
  checkStructure(db, path, version);
  if (version >= CHECKSUMS_SINCE) checkRows(db, path);
  // A file of version 0 has no tables yet.
  const left = version === 0 ? 0n : newest(db);
  if (acknowledged !== undefined && acknowledged.revision > left) {
    throw writesLost(path, `${path} is older than what was acknowledged`, acknowledged.revision, left);
  }
}

/** Changes nothing, and leaves the log where it is. */
function reader(path: string): DatabaseSync {
  return withChecksums(new DatabaseSync(path, { readOnly: true }));
}

function checkStructure(db: DatabaseSync, path: string, version: number): void {
  const found = db
    .prepare('PRAGMA integrity_check(5)')
    .all()
    .map(row => String(row['integrity_check']));
  if (found.length !== 1 || found[0] !== 'ok') throw corrupt(path, found.join('; '));

  using wanted = withChecksums(new DatabaseSync(':memory:'));
  for (const step of MIGRATIONS.slice(0, version)) wanted.exec(step);
  if (tablesOf(db) !== tablesOf(wanted)) throw corrupt(path, 'its tables are not those of a store');
}

function tablesOf(db: DatabaseSync): string {
  return JSON.stringify(
    db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name').all(),
  );
}

function checkRows(db: DatabaseSync, path: string): void {
  for (const [table, columns] of Object.entries(COLUMNS)) {
    const wrong = db
      .prepare(`SELECT count(*) AS rows FROM ${table} WHERE checksum IS NOT checksum_of(${columns})`)
      .get()?.['rows'];
    if (wrong !== 0) throw corrupt(path, `${String(wrong)} rows of ${table} have a wrong checksum`);
  }
}

function newest(db: DatabaseSync): bigint {
  return BigInt(db.prepare(NEWEST_REVISION).get()?.['revision'] as number);
}

function lost(path: string, acknowledged: Acknowledged | undefined, why: string): DatabaseError {
  return writesLost(path, why, acknowledged?.revision, readable(path));
}

/** The newest revision that is left; undefined when nothing can be read. */
function readable(path: string): bigint | undefined {
  try {
    using db = reader(path);
    return newest(db);
  } catch {
    return undefined;
  }
}

/** Also when there is no such file. */
function isEmpty(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0;
}
