/**
 * The part of etcd that the Store contract rests on, in memory: keys with revisions, a history that can be
 * compacted, transactions, and leases that expire by an injected clock. Any number of connections
 * (`memory.ts`) share one database, as agents share one cluster.
 *
 * Fidelity matters more than speed here: what etcd refuses is refused with the same code, all writes of a
 * transaction have one revision, and the keys of an expiring lease go in one revision.
 */
import { bytesEqual } from '../base/bytes.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import {
  type Compare,
  type KeyValue,
  type Revision,
  StoreError,
  type StoreEvent,
  type StoreLeaseId,
  type Transaction,
  type TransactionResult,
  type TxnOperation,
} from '../store/store.ts';

/** All changes of one revision. */
export interface MemoryCommit {
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

/** What an observer of a database receives: a commit, or that the contents were replaced as a whole. */
export type Notice = { readonly type: 'commit'; readonly commit: MemoryCommit } | { readonly type: 'reset' };

interface Grant {
  readonly ttl: number;
  /** On the monotonic clock, in milliseconds. */
  deadline: number;
  readonly keys: Set<string>;
  readonly ended: AbortController;
}

export class MemoryDatabase implements Disposable {
  readonly #clock: Clock;
  readonly #keys = new Map<string, KeyValue>();
  readonly #grants = new Map<StoreLeaseId, Grant>();
  readonly #observers = new Set<(notice: Notice) => void>();
  #history: MemoryCommit[] = [];
  // An empty etcd is at revision 1.
  #revision: Revision = 1n;
  #compacted: Revision = 0n;
  #clusterId = 1n;
  #nextLease: StoreLeaseId = 7_587_869_000_000_001n;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Another number after every reset, as another cluster has another id. */
  get clusterId(): bigint {
    return this.#clusterId;
  }

  get revision(): Revision {
    return this.#revision;
  }

  get(key: string): KeyValue | undefined {
    this.#expire();
    return this.#keys.get(key);
  }

  /** In the byte order of the keys, as etcd does. */
  list(prefix: string): KeyValue[] {
    this.#expire();
    return [...this.#keys.values()]
      .filter(kv => kv.key.startsWith(prefix))
      .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  }

  /** @throws StoreError LEASE_LOST, or PROTOCOL when a key is empty, put twice, or put and deleted. Nothing is changed then. */
  transact(transaction: Transaction): TransactionResult {
    this.#expire();
    const ok = transaction.compare.every(compare => this.#holds(compare));
    const operations = (ok ? transaction.success : transaction.failure) ?? [];
    this.#check(operations);
    const events: StoreEvent[] = [];
    const found = operations.flatMap(operation => {
      if (operation.op === 'get') return [[this.#keys.get(operation.key)].filter(kv => kv !== undefined)];
      if (operation.op === 'list') return [this.list(operation.prefix)];
      if (operation.op === 'put') events.push(this.#put(operation));
      else if (this.#keys.has(operation.key)) events.push(this.#delete(operation.key));
      return [];
    });
    this.#commit(events);
    return { ok, revision: this.#revision, found };
  }

  grant(ttl: number): StoreLeaseId {
    const id = this.#nextLease++;
    const grant = {
      ttl,
      deadline: this.#deadline(ttl),
      keys: new Set<string>(),
      ended: new AbortController(),
    };
    this.#grants.set(id, grant);
    // Ends with the grant; the rejection is only the end of its sleep.
    void this.#expireInTime(id, grant).catch(() => undefined);
    return id;
  }

  /** The full time again, in seconds; undefined when there is no such lease. */
  keepAlive(id: StoreLeaseId): number | undefined {
    this.#expire();
    const grant = this.#grants.get(id);
    if (grant === undefined) return undefined;
    grant.deadline = this.#deadline(grant.ttl);
    return grant.ttl;
  }

  timeToLive(id: StoreLeaseId): { readonly remaining: number; readonly granted: number } | undefined {
    this.#expire();
    const grant = this.#grants.get(id);
    if (grant === undefined) return undefined;
    return { remaining: Math.floor((grant.deadline - this.#clock.monotonic()) / 1000), granted: grant.ttl };
  }

  revoke(id: StoreLeaseId): void {
    const grant = this.#grants.get(id);
    if (grant === undefined) return;
    this.#grants.delete(id);
    grant.ended.abort();
    this.#commit([...grant.keys].map(key => this.#delete(key)));
  }

  /** Calls `observer` for everything that happens from now on; returns the function that ends it. */
  subscribe(observer: (notice: Notice) => void): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /** The commits after `revision`, or undefined when they are not known any more. */
  since(revision: Revision): readonly MemoryCommit[] | undefined {
    if (revision < this.#compacted || revision > this.#revision) return undefined;
    return this.#history.filter(commit => commit.revision > revision);
  }

  /** Fault: forgets the history up to now. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#history = [];
  }

  /** Fault: another, empty cluster answers at the same address; leases and revisions begin anew. */
  reset(): void {
    for (const grant of this.#grants.values()) grant.ended.abort();
    this.#grants.clear();
    this.#keys.clear();
    this.#history = [];
    this.#revision = 1n;
    this.#compacted = 0n;
    this.#clusterId++;
    for (const observer of this.#observers) observer({ type: 'reset' });
  }

  [Symbol.dispose](): void {
    for (const grant of this.#grants.values()) grant.ended.abort();
    this.#observers.clear();
  }

  #holds(compare: Compare): boolean {
    const kv = this.#keys.get(compare.key);
    if (compare.target === 'value') {
      // etcd: a key that does not exist has no value to compare, so that every such condition fails.
      if (kv === undefined) return false;
      const order = bytesEqual(kv.value, compare.operand) ? 0 : Buffer.compare(kv.value, compare.operand);
      return satisfies(order, compare.is);
    }
    const actual = {
      version: kv?.version ?? 0n,
      create: kv?.createRevision ?? 0n,
      mod: kv?.modRevision ?? 0n,
      lease: kv?.lease ?? 0n,
    }[compare.target];
    return satisfies(actual < compare.operand ? -1 : actual > compare.operand ? 1 : 0, compare.is);
  }

  #check(operations: readonly TxnOperation[]): void {
    const puts = operations.filter(operation => operation.op === 'put');
    for (const { lease } of puts) {
      if (lease !== undefined && lease !== 0n && !this.#grants.has(lease)) {
        throw new StoreError('LEASE_LOST', 'requested lease not found', { op: 'txn' });
      }
    }
    if (operations.some(operation => operation.op !== 'list' && operation.key === '')) {
      throw new StoreError('PROTOCOL', 'key is not provided', { op: 'txn' });
    }
    const put = new Set(puts.map(({ key }) => key));
    const deleted = operations.some(operation => operation.op === 'delete' && put.has(operation.key));
    if (put.size < puts.length || deleted) {
      throw new StoreError('PROTOCOL', 'duplicate key given in txn request', { op: 'txn' });
    }
  }

  #put(put: { readonly key: string; readonly value: Uint8Array; readonly lease?: StoreLeaseId }): StoreEvent {
    const before = this.#keys.get(put.key);
    const revision = this.#revision + 1n;
    const kv: KeyValue = {
      key: put.key,
      value: put.value.slice(),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0n) + 1n,
      lease: put.lease ?? 0n,
    };
    if (before !== undefined) this.#grants.get(before.lease)?.keys.delete(put.key);
    this.#grants.get(kv.lease)?.keys.add(put.key);
    this.#keys.set(put.key, kv);
    return { type: 'put', kv };
  }

  #delete(key: string): StoreEvent {
    const kv = this.#keys.get(key);
    if (kv !== undefined) this.#grants.get(kv.lease)?.keys.delete(key);
    this.#keys.delete(key);
    return { type: 'delete', key, modRevision: this.#revision + 1n };
  }

  #commit(events: readonly StoreEvent[]): void {
    if (events.length === 0) return;
    this.#revision++;
    const commit = { revision: this.#revision, events };
    this.#history.push(commit);
    for (const observer of this.#observers) observer({ type: 'commit', commit });
  }

  #deadline(ttl: number): number {
    return this.#clock.monotonic() + ttl * 1000;
  }

  async #expireInTime(id: StoreLeaseId, grant: Grant): Promise<void> {
    for (;;) {
      const left = grant.deadline - this.#clock.monotonic();
      if (left <= 0) return this.revoke(id);
      await this.#clock.sleep(left, grant.ended.signal);
    }
  }

  /** A reader must not see a lease whose time is over, even before its timer has fired. */
  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [id, grant] of this.#grants) if (grant.deadline <= now) this.revoke(id);
  }
}

function satisfies(order: number, is: Compare['is']): boolean {
  switch (is) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '>':
      return order > 0;
  }
}
