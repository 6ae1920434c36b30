/**
 * The heart of `tulle store`: keys with revisions, as etcd 3.4 defines them, on SQLite.
 *
 * How the store works
 * -------------------
 * One process, one thread, one SQLite connection; so every request sees a state that no other request is changing,
 * and linearizability needs no locks. (SQLite in a worker thread was measured too: moving a request to another
 * thread and back costs more than the put itself, and an fsync of the log takes about 0.1 ms.)
 *
 *     gRPC, HTTP -> services -> CommitQueue -> Mvcc, Lessor, AuthStore -> Tables -> SQLite
 *                                   |
 *                                   +-> after COMMIT: WatchHub -> watch streams, then the answers
 *
 * - **Group commit.** Requests that arrive in the same turn of the event loop share one SQLite transaction and one
 *   fsync (commit-queue.ts). Each keeps its own result or error; none is answered before COMMIT. A read in such a
 *   group waits too: it may have seen a write that a power cut could still undo.
 * - **Revisions.** Every request that changes something makes one revision; the changes of a transaction are
 *   numbered within it. A change goes to two tables: `current` (what is) and `history` (what was, schema.ts).
 *   A read of now, a read of an old revision and the replay for a watch are each a seek in one B-tree.
 * - **Nothing is buffered for watchers.** A live event is handed to the stream when the stream takes it; a watcher
 *   that is behind reads the history again when its stream drains (watch-hub.ts).
 * - **Checks first.** A request is checked against the state before it writes, so it fails whole or not at all. An
 *   error in the middle is a defect or a failing disk: the group is rolled back and memory is read again.
 * - **Nothing damaged is served.** Rows have checksums, and what was acknowledged is recorded beside the database
 *   (examination.ts).
 * - **Time stands still while the store is down.** A lease keeps the time it had left (lessor.ts).
 */

import { refusal } from '../errors.ts';
import type { AnswerSize } from '../kv/answer-size.ts';
import { compareKeys, type KeyRange } from '../kv/range.ts';
import { positionOf, SUB_BITS } from '../sqlite/schema.ts';
import type { HistoryPage, Kv, Tables } from '../sqlite/tables.ts';

export interface RangeQuery {
  readonly range: KeyRange;
  /** 0n or less: now. */
  readonly revision: bigint;
  /** 0n or less: all. */
  readonly limit: bigint;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** What the answer may hold; absent: anything. */
  readonly size?: AnswerSize;
}

export interface RangeResult {
  /** In key order. */
  readonly kvs: Kv[];
  /** Keys in the whole range, whatever the limit. */
  readonly count: bigint;
}

export interface KeyChange {
  readonly type: 'put' | 'delete';
  /** Of a deletion: the key and the revision of the deletion, the rest empty. */
  readonly kv: Kv;
  /** The state before, when there was one. */
  readonly previous: Kv | undefined;
}

/** Everything that changed with one revision, in order. */
export interface Commit {
  readonly revision: bigint;
  readonly changes: readonly KeyChange[];
}

const EMPTY = new Uint8Array();
/** History rows that one step of a compaction looks at: a few milliseconds of work. */
const SWEEP_STEP = 500;
/** Less than any revision: nothing was ever compacted. */
const NEVER = -1n;

export class Mvcc {
  readonly #tables: Tables;
  #revision = 0n;
  /** As in etcd the first compaction may be one at 0. */
  #compacted = NEVER;
  /** Where the running compaction has got to; undefined when all history is swept. */
  #sweepFrom: bigint | undefined;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.reload();
  }

  /** The newest revision, changes of the running group included. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Reads at earlier revisions are refused; 0n when nothing was ever compacted. */
  get compactedRevision(): bigint {
    return this.#compacted === NEVER ? 0n : this.#compacted;
  }

  /** Takes the state from the tables again, after a rollback. */
  reload(): void {
    this.#compacted = this.#tables.getMeta('compacted_revision') ?? NEVER;
    this.#revision = this.#tables.newestRevision();
    const swept = this.#tables.getMeta('swept_revision') ?? 0n;
    this.#sweepFrom = swept < this.#compacted ? positionOf(swept + 1n) : undefined;
  }

  /** @throws RpcError when the revision is compacted or has not been yet, or the answer is too large. */
  range(query: RangeQuery, now = this.#revision): RangeResult {
    const { range, revision, keysOnly, countOnly, size } = query;
    if (revision > now) throw refusal('futureRevision');
    if (revision > 0n && revision < this.#compacted) throw refusal('compacted');
    const limit = query.limit > 0n ? query.limit : 0n;
    if (revision > 0n && revision < now) return this.#rangeAt(query, limit);

    if (range.single) {
      const kv = this.#tables.get(range.start);
      if (kv === undefined) return { kvs: [], count: 0n };
      if (!countOnly && !keysOnly) size?.add(kv);
      return { kvs: countOnly ? [] : [kv], count: 1n };
    }
    if (countOnly) return { kvs: [], count: this.#tables.count(range) };
    const kvs = this.#tables.list(range, limit, keysOnly, size);
    const complete = limit === 0n || BigInt(kvs.length) < limit;
    return { kvs, count: complete ? BigInt(kvs.length) : this.#tables.count(range) };
  }

  /** Two seeks per key that the history knows in the range. */
  #rangeAt({ range, revision, countOnly, size }: RangeQuery, limit: bigint): RangeResult {
    const kvs: Kv[] = [];
    let count = 0n;
    const before = positionOf(revision + 1n);
    for (const key of this.#keysEver(range)) {
      const kv = this.#tables.keyAt(key, before);
      if (kv === undefined) continue;
      if (!countOnly && (limit === 0n || count < limit)) {
        size?.add(kv);
        kvs.push(kv);
      }
      count++;
    }
    return { kvs, count };
  }

  *#keysEver({ start, end, single }: KeyRange): Generator<Uint8Array> {
    if (end !== undefined && compareKeys(start, end) >= 0) return;
    yield start;
    if (single) return;
    for (
      let key = this.#tables.nextKey(start);
      key !== undefined && (end === undefined || compareKeys(key, end) < 0);
      key = this.#tables.nextKey(key)
    ) {
      yield key;
    }
  }

  /** The state of `key` when `revision` was the newest; undefined when it did not exist or that is compacted. */
  stateAt(key: Uint8Array, revision: bigint): Kv | undefined {
    return revision < this.#compacted ? undefined : this.#tables.keyAt(key, positionOf(revision + 1n));
  }

  /** Changes from `position` on in the order they happened: at most `limit`, and about `bytes` at most. */
  history(position: bigint, limit: number, bytes: number): HistoryPage {
    return this.#tables.since(position, limit, bytes);
  }

  keysOfLease(lease: bigint): Uint8Array[] {
    return this.#tables.keysOfLease(lease);
  }

  /** A writer whose changes all belong to the next revision. The caller ends it with `finish`. */
  write(): MvccWriter {
    return new MvccWriter(this, this.#tables);
  }

  /** Makes the writer's changes the newest revision; undefined when it changed nothing. */
  finish(writer: MvccWriter): Commit | undefined {
    if (!writer.changed) return undefined;
    this.#revision = writer.revision;
    return { revision: writer.revision, changes: writer.changes };
  }

  /**
   * History before `revision` is no longer answered from now on; `sweep` deletes it.
   * @throws RpcError when it is already compacted, or in the future.
   */
  compact(revision: bigint): void {
    if (revision <= this.#compacted) throw refusal('compacted');
    if (revision > this.#revision) throw refusal('futureRevision');
    this.#sweepFrom ??= positionOf((this.#tables.getMeta('swept_revision') ?? 0n) + 1n);
    this.#compacted = revision;
    this.#tables.setMeta('compacted_revision', revision);
  }

  /** Whether a compaction has rows left to delete. */
  get sweeping(): boolean {
    return this.#sweepFrom !== undefined;
  }

  /** One small step of the running compaction: requests are served between two steps. */
  sweep(): void {
    if (this.#sweepFrom === undefined) return;
    this.#sweepFrom = this.#tables.sweep(this.#sweepFrom, this.#compacted, SWEEP_STEP);
    if (this.#sweepFrom === undefined) this.#tables.setMeta('swept_revision', this.#compacted);
  }
}

/** Makes the changes of one revision. Sees its own changes. */
export class MvccWriter {
  readonly revision: bigint;
  readonly changes: KeyChange[] = [];
  readonly #mvcc: Mvcc;
  readonly #tables: Tables;

  constructor(mvcc: Mvcc, tables: Tables) {
    this.revision = mvcc.revision + 1n;
    this.#mvcc = mvcc;
    this.#tables = tables;
  }

  get changed(): boolean {
    return this.changes.length > 0;
  }

  /** The revision a reader in this transaction sees: the next one once something has changed. */
  get visibleRevision(): bigint {
    return this.changed ? this.revision : this.revision - 1n;
  }

  range(query: RangeQuery): RangeResult {
    return this.#mvcc.range(query, this.visibleRevision);
  }

  get(key: Uint8Array): Kv | undefined {
    return this.#tables.get(key);
  }

  /** @returns the state before. */
  put(key: Uint8Array, value: Uint8Array, lease: bigint): Kv | undefined {
    const previous = this.#tables.get(key);
    const kv: Kv = {
      key,
      value,
      createRevision: previous?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (previous?.version ?? 0n) + 1n,
      lease,
    };
    this.#tables.put(kv);
    this.#record({ type: 'put', kv, previous }, value);
    return previous;
  }

  /** @returns what was deleted, in key order. */
  deleteRange(range: KeyRange): Kv[] {
    const one = range.single ? this.#tables.get(range.start) : undefined;
    const found = range.single ? (one === undefined ? [] : [one]) : this.#tables.list(range, 0n, false);
    for (const previous of found) {
      const kv: Kv = {
        key: previous.key,
        value: EMPTY,
        createRevision: 0n,
        modRevision: this.revision,
        version: 0n,
        lease: 0n,
      };
      this.#tables.remove(previous.key);
      this.#record({ type: 'delete', kv, previous }, undefined);
    }
    return found;
  }

  #record(change: KeyChange, value: Uint8Array | undefined): void {
    const sub = BigInt(this.changes.length);
    if (sub >> SUB_BITS !== 0n) throw refusal('tooManyOps');
    this.changes.push(change);
    this.#tables.append({ ...change.kv, value, position: positionOf(this.revision, sub) });
  }
}
