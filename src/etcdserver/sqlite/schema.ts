/**
 * The tables, and how a database of an older Tulle becomes one of this version.
 *
 *     current           the newest state of every key that exists: what almost every read wants
 *     history           every change since the last compaction, in order; value NULL is a deletion
 *     history_by_key    finds the state of one key at an old revision
 *     leases            granted seconds, the wall-clock time of expiry (milliseconds since the epoch), and the owner
 *     meta              one row per number of the store itself: cluster and member id, compacted revision, ...
 *     users, roles, ... who may do what
 *
 * A position in the history is `revision * 2^24 + sub`, where `sub` counts the changes within a transaction: one
 * integer primary key, in the order of time.
 *
 * Every row has a checksum of its other columns (checksum.ts), for SQLite has none of what it keeps.
 */
import type { DatabaseSync } from 'node:sqlite';
import { corrupt, DatabaseError } from './database-error.ts';

/** Number of bits of a history position that count the changes within one revision. */
export const SUB_BITS = 24n;

export function positionOf(revision: bigint, sub = 0n): bigint {
  return (revision << SUB_BITS) | sub;
}

export function revisionOf(position: bigint): bigint {
  return position >> SUB_BITS;
}

/** Marks the file as ours (SQLite's application_id): "TulS". */
export const APPLICATION_ID = 0x54756c53;

/** The columns of each table that its checksum covers, in their order. A step that adds one computes them anew. */
export const COLUMNS = {
  current: 'key, create_revision, mod_revision, version, lease, value',
  history: 'position, key, create_revision, version, lease, value',
  leases: 'id, granted, expires_at, owner',
  meta: 'name, value',
  users: 'name, salt, hash',
  roles: 'name',
  user_roles: 'user, role',
  permissions: 'role, key, range_end, type',
} as const;

export type Table = keyof typeof COLUMNS;

/** The end of a statement that inserts a row; the values are bound in the order of COLUMNS. */
export function into(table: Table): string {
  const parameters = COLUMNS[table].split(', ').map((_, index) => `?${index + 1}`);
  return `INTO ${table} (${COLUMNS[table]}, checksum) VALUES (${parameters.join(', ')}, checksum_of(${parameters.join(', ')}))`;
}

/** The newest revision that changed something; an empty store is at 1, as etcd's. */
export const NEWEST_REVISION = `
  SELECT max(
    1,
    coalesce((SELECT max(position) FROM history), 0) >> ${SUB_BITS},
    -- The newest change may be a deletion that is compacted.
    coalesce((SELECT value FROM meta WHERE name = 'compacted_revision'), 0)
  ) AS revision`;

/** Step n makes a database of version n + 1 out of one of version n; version 0 is an empty file. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE current (
    key BLOB PRIMARY KEY,
    create_revision INTEGER NOT NULL,
    mod_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX current_by_lease ON current (lease) WHERE lease <> 0;

  CREATE TABLE history (
    position INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB
  ) STRICT;
  CREATE INDEX history_by_key ON history (key, position);

  CREATE TABLE leases (
    id INTEGER PRIMARY KEY,
    granted INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE users (name TEXT PRIMARY KEY, salt BLOB, hash BLOB) STRICT, WITHOUT ROWID;
  CREATE TABLE roles (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE user_roles (
    user TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (user, role)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE permissions (
    role TEXT NOT NULL REFERENCES roles ON DELETE CASCADE,
    key BLOB NOT NULL,
    range_end BLOB NOT NULL,
    type INTEGER NOT NULL,
    PRIMARY KEY (role, key, range_end)
  ) STRICT, WITHOUT ROWID;
  `,
  'ALTER TABLE leases ADD COLUMN owner TEXT',
  Object.entries(COLUMNS)
    .map(
      ([table, columns]) => `
        ALTER TABLE ${table} ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
        UPDATE ${table} SET checksum = checksum_of(${columns});`,
    )
    .join('\n'),
];

/** The first version with checksums, and with a record of what was acknowledged beside the database. */
export const CHECKSUMS_SINCE = 3;

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Names of the numbers in `meta`. */
export type MetaName =
  | 'cluster_id'
  | 'member_id'
  /** History before this revision is gone. */
  | 'compacted_revision'
  /** Rows of history that the compaction made superfluous are deleted up to this revision. */
  | 'swept_revision'
  /** Wall clock, milliseconds since the epoch, when the store last was alive. */
  | 'alive_at'
  /** 1 while the NOSPACE alarm is raised. */
  | 'alarm_nospace'
  /** 1 while the CORRUPT alarm is raised. */
  | 'alarm_corrupt'
  | 'auth_enabled'
  | 'auth_revision';

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
      `${path} has schema version ${version}, this version of Tulle supports up to ${SCHEMA_VERSION}`,
      { context: { path }, hint: 'use the version of Tulle that wrote it, or a newer one' },
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
