/**
 * The Store in memory: one connection to a MemoryDatabase, with the faults of a real one on request. It passes
 * the same suite as the etcd client (`contract.ts`), and makes in a test what takes minutes and luck with a
 * cluster: a partition of one host, a compaction at the worst moment, a write whose answer is lost.
 */

import {
  type ClusterStatus,
  type KeyValue,
  type Revision,
  type Store,
  StoreError,
  type StoreEvent,
  type StoreLeaseId,
  type StoreUpdate,
  type Transaction,
  type TransactionResult,
} from '../store/store.ts';
import { AsyncQueue } from './async-queue.ts';
import { MemoryDatabase, type Notice } from './memory-database.ts';

/** What becomes of one call: done; not done and refused; done, and its answer lost on the way. */
export type Interference = 'pass' | 'refuse' | 'lose answer';

export class MemoryStore implements Store {
  readonly database: MemoryDatabase;
  readonly #watchers = new Set<Watcher>();
  #fate: (op: string) => Interference = () => 'pass';
  #outage: StoreError | undefined;

  constructor(database: MemoryDatabase = new MemoryDatabase()) {
    this.database = database;
  }

  /** Fault: this connection reaches nothing until `heal()`; the others are not affected. */
  cut(error = new StoreError('UNAVAILABLE', 'connection cut')): void {
    this.#outage = error;
    for (const watcher of this.#watchers) watcher.interrupt(error);
  }

  heal(): void {
    this.#outage = undefined;
    for (const watcher of this.#watchers) watcher.resume();
  }

  /** Fault: `fate` decides each following call, by the name of the method. */
  interfere(fate: (op: string) => Interference): void {
    this.#fate = fate;
  }

  get(key: string): Promise<{ readonly kv: KeyValue | undefined; readonly revision: Revision }> {
    return this.#call('get', () => ({ kv: this.database.get(key), revision: this.database.revision }));
  }

  list(
    prefix: string,
    { createdAfter = 0n }: { readonly createdAfter?: Revision } = {},
  ): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: Revision }> {
    return this.#call('list', () => ({
      kvs: this.database.list(prefix).filter(kv => kv.createRevision > createdAfter),
      revision: this.database.revision,
    }));
  }

  put(key: string, value: Uint8Array, options: { readonly lease?: StoreLeaseId } = {}): Promise<Revision> {
    const put = { op: 'put', key, value, ...options } as const;
    return this.#call('put', () => this.database.transact({ compare: [], success: [put] }).revision);
  }

  delete(key: string): Promise<boolean> {
    return this.#call('delete', () => {
      const existed = this.database.get(key) !== undefined;
      this.database.transact({ compare: [], success: [{ op: 'delete', key }] });
      return existed;
    });
  }

  transact(transaction: Transaction): Promise<TransactionResult> {
    return this.#call('transact', () => this.database.transact(transaction));
  }

  async *observe(
    prefix: string,
    options: { readonly signal: AbortSignal; readonly exact?: boolean },
  ): AsyncGenerator<StoreUpdate, void> {
    const wanted = (key: string) => (options.exact === true ? key === prefix : key.startsWith(prefix));
    const watcher = new Watcher(this.database, prefix, wanted);
    this.#watchers.add(watcher);
    try {
      if (this.#outage === undefined) watcher.start();
      else watcher.interrupt(this.#outage);
      yield* watcher.updates.consume(options.signal);
    } finally {
      this.#watchers.delete(watcher);
      watcher.stop();
    }
  }

  grant(ttl: number): Promise<{ readonly id: StoreLeaseId; readonly ttl: number }> {
    return this.#call('grant', () => ({ id: this.database.grant(ttl), ttl }));
  }

  keepAlive(id: StoreLeaseId): Promise<number | undefined> {
    return this.#call('keepAlive', () => this.database.keepAlive(id));
  }

  revoke(id: StoreLeaseId): Promise<void> {
    return this.#call('revoke', () => this.database.revoke(id));
  }

  timeToLive(
    id: StoreLeaseId,
  ): Promise<{ readonly remaining: number; readonly granted: number } | undefined> {
    return this.#call('timeToLive', () => this.database.timeToLive(id));
  }

  status(): Promise<ClusterStatus> {
    return this.#call('status', () => ({
      endpoint: 'memory',
      version: '3.4.0',
      clusterId: this.database.clusterId,
      revision: this.database.revision,
      leaderless: false,
      databaseSize: 0n,
      alarms: [],
    }));
  }

  /** Closes this connection; the database lives on for the others. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#outage = new StoreError('UNAVAILABLE', 'the store is closed');
    for (const watcher of this.#watchers) watcher.updates.end();
  }

  async #call<T>(op: string, run: () => T): Promise<T> {
    // Like a real answer, this one comes later: callers that forget to wait are found out.
    await Promise.resolve();
    const fate = this.#fate(op);
    if (this.#outage !== undefined) throw this.#outage;
    if (fate === 'refuse') throw new StoreError('UNAVAILABLE', `${op}: refused on request`, { op });
    const answer = run();
    await Promise.resolve();
    if (fate === 'lose answer') throw new StoreError('UNAVAILABLE', `${op}: answer lost on request`, { op });
    return answer;
  }
}

/** One `observe` under way: follows the database, or remembers where it was while the connection is cut. */
class Watcher {
  readonly updates = new AsyncQueue<StoreUpdate>();
  readonly #database: MemoryDatabase;
  readonly #prefix: string;
  readonly #wanted: (key: string) => boolean;
  #seen: Revision | undefined;
  #clusterId: bigint | undefined;
  #interrupted = false;
  #unsubscribe: () => void = () => undefined;

  constructor(database: MemoryDatabase, prefix: string, wanted: (key: string) => boolean) {
    this.#database = database;
    this.#prefix = prefix;
    this.#wanted = wanted;
  }

  start(): void {
    this.#unsubscribe = this.#database.subscribe(notice => this.#take(notice));
    const same = this.#clusterId === this.#database.clusterId;
    const missed = same && this.#seen !== undefined ? this.#database.since(this.#seen) : undefined;
    if (missed === undefined) this.#snapshot();
    else for (const commit of missed) this.#take({ type: 'commit', commit });
  }

  stop(): void {
    this.#unsubscribe();
  }

  interrupt(error: StoreError): void {
    if (this.#interrupted) return;
    this.#interrupted = true;
    this.#unsubscribe();
    this.updates.push({ type: 'interrupted', error });
  }

  resume(): void {
    if (!this.#interrupted) return;
    this.#interrupted = false;
    this.updates.push({ type: 'resumed' });
    this.start();
  }

  #take(notice: Notice): void {
    if (notice.type === 'reset') return this.#snapshot();
    const { revision } = notice.commit;
    this.#seen = revision;
    const events = notice.commit.events.filter(event => this.#wanted(keyOf(event)));
    if (events.length > 0) this.updates.push({ type: 'events', revision, events });
  }

  #snapshot(): void {
    const kvs = this.#database.list(this.#prefix).filter(kv => this.#wanted(kv.key));
    const { revision } = this.#database;
    const isReplaced = this.#seen !== undefined && this.#clusterId !== this.#database.clusterId;
    this.#seen = revision;
    this.#clusterId = this.#database.clusterId;
    this.updates.push({ type: 'snapshot', revision, kvs, ...(isReplaced ? { unrelated: true } : {}) });
  }
}

const keyOf = (event: StoreEvent) => (event.type === 'put' ? event.kv.key : event.key);
