/** Whether a database file is ours, and how one of an older Tulle becomes one of this version. */
import type { DatabaseSync } from 'node:sqlite';
import { corrupt, DatabaseError } from './database-error.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

/** 0 for a new file. @throws DatabaseError for a file of another program or a newer Tulle. */
export function versionOf(db: DatabaseSync, path: string): number {
  const read = (pragma: string) => Number(db.prepare(`PRAGMA ${pragma}`).get()?.[pragma]);
  const version = read('user_version');
  const id = read('application_id');
  if (id !== APPLICATION_ID && (id !== 0 || version !== 0 || read('schema_version') !== 0)) {
    throw corrupt(path, 'it is a SQLite database of another program');
  }
  if (version > SCHEMA_VERSION) {
    throw new DatabaseError(
      'NEWER_SCHEMA',
      `${path} has schema version ${version}, this Tulle knows up to ${SCHEMA_VERSION}`,
      { context: { path }, hint: 'start the Tulle that wrote it, or a newer one' },
    );
  }
  return version;
}

/** Makes the tables, or brings them up to date. @throws DatabaseError */
export function migrate(db: DatabaseSync, path: string): void {
  const version = versionOf(db, path);
  if (version === SCHEMA_VERSION) return;
  db.exec('BEGIN IMMEDIATE');
  for (const step of MIGRATIONS.slice(version)) db.exec(step);
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}
