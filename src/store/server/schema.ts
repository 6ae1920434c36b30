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
 */

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
];

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
