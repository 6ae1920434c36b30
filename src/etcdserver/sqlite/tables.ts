/**
 * The keys in SQLite: every statement about `current` and `history`, prepared once. No rules live here; mvcc.ts
 * knows what the rows mean. Every row that is read with its value is checked against its checksum.
 */
import type { StatementSync } from 'node:sqlite';
import type { AnswerSize } from '../kv/answer-size.ts';
import { type KeyRange, keyText } from '../kv/range.ts';
import { RangeStatement } from '../kv/range-statement.ts';
import { type Cell, checksumOf, isSound } from './checksum.ts';
import type { Database } from './database.ts';
import { corrupt } from './database-error.ts';
import { COLUMNS, into, type MetaName, NEWEST_REVISION, positionOf, revisionOf } from './schema.ts';

/** A key's state, with the names of mvccpb.KeyValue. */
export interface Kv {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  readonly lease: bigint;
}

/** One row of the history; a deletion has no `value`. */
export interface HistoryRow extends Omit<Kv, 'value'> {
  readonly position: bigint;
  readonly value: Uint8Array | undefined;
}

export interface HistoryPage {
  readonly rows: readonly HistoryRow[];
  /** There are no more. */
  readonly complete: boolean;
}

const NO_LIMIT = -1n;
const CURRENT = `${COLUMNS.current}, checksum`;
const HISTORY = `${COLUMNS.history}, checksum`;

export class Tables {
  readonly #path: string;
  readonly #get: StatementSync;
  readonly #list: RangeStatement;
  readonly #listKeys: RangeStatement;
  readonly #count: RangeStatement;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #leaseKeys: StatementSync;
  readonly #append: StatementSync;
  readonly #keyAt: StatementSync;
  readonly #nextKey: StatementSync;
  readonly #since: StatementSync;
  readonly #between: StatementSync;
  readonly #forgetBefore: StatementSync;
  readonly #forget: StatementSync;
  readonly #newestRevision: StatementSync;
  readonly #getMeta: StatementSync;
  readonly #setMeta: StatementSync;

  constructor(database: Pick<Database, 'path' | 'prepare'>) {
    this.#path = database.path;
    const arrays = (sql: string) => {
      const statement = database.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };
    this.#get = arrays(`SELECT ${CURRENT} FROM current WHERE key = ?`);
    this.#list = new RangeStatement(
      database,
      `SELECT ${CURRENT} FROM current WHERE RANGE ORDER BY key LIMIT ?`,
    );
    this.#listKeys = new RangeStatement(
      database,
      "SELECT key, create_revision, mod_revision, version, lease, x'' FROM current WHERE RANGE ORDER BY key LIMIT ?",
    );
    this.#count = new RangeStatement(database, 'SELECT count(*) FROM current WHERE RANGE');
    this.#put = database.prepare(
      `INSERT INTO current (${CURRENT}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
       create_revision = excluded.create_revision, mod_revision = excluded.mod_revision,
       version = excluded.version, lease = excluded.lease, value = excluded.value,
       checksum = excluded.checksum`,
    );
    this.#remove = database.prepare('DELETE FROM current WHERE key = ?');
    this.#leaseKeys = arrays('SELECT key FROM current WHERE lease = ? AND lease <> 0 ORDER BY key');
    this.#append = database.prepare(`INSERT INTO history (${HISTORY}) VALUES (?, ?, ?, ?, ?, ?, ?)`);
    this.#keyAt = arrays(
      `SELECT ${HISTORY} FROM history WHERE key = ? AND position < ? ORDER BY position DESC LIMIT 1`,
    );
    this.#nextKey = arrays('SELECT key FROM history WHERE key > ? ORDER BY key LIMIT 1');
    this.#since = arrays(`SELECT ${HISTORY} FROM history WHERE position >= ? ORDER BY position LIMIT ?`);
    this.#between = arrays(
      'SELECT position, key, value IS NULL FROM history WHERE position >= ? AND position < ? ORDER BY position LIMIT ?',
    );
    this.#forgetBefore = database.prepare('DELETE FROM history WHERE key = ? AND position < ?');
    this.#forget = database.prepare('DELETE FROM history WHERE position = ?');
    this.#newestRevision = arrays(NEWEST_REVISION);
    this.#getMeta = arrays('SELECT value FROM meta WHERE name = ?');
    this.#setMeta = database.prepare(`INSERT OR REPLACE ${into('meta')}`);
  }

  get(key: Uint8Array): Kv | undefined {
    const row: unknown = this.#get.get(key);
    return row === undefined ? undefined : this.#kvOf(row as Cell[]);
  }

  /**
   * In key order; at most `limit`, 0n for all. Without values when `keysOnly`.
   * @param size adds each key as it is read, and may throw.
   */
  list(range: KeyRange, limit: bigint, keysOnly: boolean, size?: AnswerSize): Kv[] {
    const most = limit === 0n ? NO_LIMIT : limit;
    const statement = keysOnly ? this.#listKeys : this.#list;
    const read = keysOnly ? kvOf : (row: Cell[]) => this.#kvOf(row);
    // Row by row is slower, and only an answer that may be refused needs it.
    if (size === undefined) return statement.all(range, most).map(read);
    return Array.from(statement.each(range, most), row => {
      const kv = read(row);
      size.add(kv);
      return kv;
    });
  }

  count(range: KeyRange): bigint {
    return this.#count.all(range)[0]?.[0] as bigint;
  }

  put(kv: Kv): void {
    const { key, createRevision, modRevision, version, lease, value } = kv;
    const sum = checksumOf([key, createRevision, modRevision, version, lease, value]);
    this.#put.run(key, createRevision, modRevision, version, lease, value, sum);
  }

  remove(key: Uint8Array): void {
    this.#remove.run(key);
  }

  /** In key order. */
  keysOfLease(lease: bigint): Uint8Array[] {
    const rows: unknown = this.#leaseKeys.all(lease);
    return (rows as Cell[][]).map(row => row[0] as Uint8Array);
  }

  append(row: HistoryRow): void {
    const { position, key, createRevision, version, lease, value = null } = row;
    const sum = checksumOf([position, key, createRevision, version, lease, value]);
    this.#append.run(position, key, createRevision, version, lease, value, sum);
  }

  /** The newest row of `key` before `position`; undefined also when that is a deletion. */
  keyAt(key: Uint8Array, position: bigint): Kv | undefined {
    const found: unknown = this.#keyAt.get(key, position);
    if (found === undefined) return undefined;
    const { value, position: at, ...row } = this.#historyRowOf(found as Cell[]);
    return value === undefined ? undefined : { ...row, value, modRevision: revisionOf(at) };
  }

  /** The first key after `key` that the history knows. */
  nextKey(key: Uint8Array): Uint8Array | undefined {
    const row: unknown = this.#nextKey.get(key);
    return row === undefined ? undefined : ((row as Cell[])[0] as Uint8Array);
  }

  /** Rows from `position` on in order, until they hold `bytes` of keys and values or there are `limit`. */
  since(position: bigint, limit: number, bytes: number): HistoryPage {
    const rows: HistoryRow[] = [];
    let held = 0;
    const found: unknown = this.#since.iterate(position, limit);
    for (const cells of found as Iterable<Cell[]>) {
      const row = this.#historyRowOf(cells);
      rows.push(row);
      held += row.key.byteLength + (row.value?.byteLength ?? 0);
      if (held >= bytes) return { rows, complete: false };
    }
    return { rows, complete: rows.length < limit };
  }

  /**
   * Deletes what a compaction at `compacted` makes superfluous because of the changes from position `from` to the
   * end of that revision: earlier states of the keys that changed, and deletions. Looks at `limit` changes at most.
   * @returns the position to go on from, or undefined when nothing is left to do.
   */
  sweep(from: bigint, compacted: bigint, limit: number): bigint | undefined {
    const found: unknown = this.#between.all(from, positionOf(compacted + 1n), limit);
    const rows = found as [bigint, Uint8Array, bigint][];
    for (const [position, key, deleted] of rows) {
      this.#forgetBefore.run(key, position);
      if (deleted === 1n) this.#forget.run(position);
    }
    const last = rows.at(-1);
    return rows.length < limit || last === undefined ? undefined : last[0] + 1n;
  }

  /** The newest revision that changed something; an empty store is at 1, as etcd's. */
  newestRevision(): bigint {
    const row: unknown = this.#newestRevision.get();
    return (row as Cell[])[0] as bigint;
  }

  getMeta(name: MetaName): bigint | undefined {
    const row: unknown = this.#getMeta.get(name);
    return row === undefined ? undefined : ((row as Cell[])[0] as bigint);
  }

  setMeta(name: MetaName, value: bigint): void {
    this.#setMeta.run(name, value);
  }

  /** @throws DatabaseError when the row is damaged. */
  #kvOf(row: Cell[]): Kv {
    if (!isSound(row)) throw this.#damaged(row[0]);
    return kvOf(row);
  }

  /** @throws DatabaseError when the row is damaged. */
  #historyRowOf(row: Cell[]): HistoryRow {
    if (!isSound(row)) throw this.#damaged(row[1]);
    const position = row[0] as bigint;
    return {
      position,
      key: row[1] as Uint8Array,
      createRevision: row[2] as bigint,
      modRevision: revisionOf(position),
      version: row[3] as bigint,
      lease: row[4] as bigint,
      value: (row[5] as Uint8Array | null) ?? undefined,
    };
  }

  #damaged(key: Cell | undefined): Error {
    const name = key instanceof Uint8Array ? JSON.stringify(keyText(key)) : 'a key';
    return corrupt(this.#path, `the checksum of ${name} is wrong`);
  }
}

function kvOf(row: Cell[]): Kv {
  return {
    key: row[0] as Uint8Array,
    createRevision: row[1] as bigint,
    modRevision: row[2] as bigint,
    version: row[3] as bigint,
    lease: row[4] as bigint,
    value: row[5] as Uint8Array,
  };
}
