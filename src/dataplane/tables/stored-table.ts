/**
 * The table of one link whose entries are in a store (store.ts): read when the link comes into place, when something was
 * lost, and when a read failed, with backoff. A store that does not answer delays nothing but its own entries.
 */
import { messageOf } from '../../base/errors.ts';
import { Retries } from '../reconcile/retries.ts';
import type { ObjectType, RepairCause } from '../report.ts';
import type { Device, Entry, EntryKind, TableEnvironment } from './entry.ts';
import type { StoreChange, StoreLoss, TableStore } from './store.ts';
import { EntryTable } from './table.ts';
import { type EntryFailure, type EntryReport, TableEntry } from './table-entry.ts';
import type { TableWriter, Write } from './write.ts';

export interface StoredTableOptions<Value extends Entry> {
  readonly kind: EntryKind<Value, StoreChange<Value>>;
  /** Name of the device. */
  readonly link: string;
  readonly environment: Omit<TableEnvironment, 'onStale'>;
  /** undefined: there is none, and every entry fails. */
  readonly store: TableStore<Value> | undefined;
}

/** The only read that may be refused. */
const READ = 'read';

export class StoredTable<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  readonly #options: StoredTableOptions<Value>;
  readonly #table: EntryTable<Value>;
  readonly #reads: Retries;
  #stale: (Pick<StoreLoss, 'reason' | 'isEmpty'> & { readonly cause: RepairCause }) | undefined;

  constructor(options: StoredTableOptions<Value>) {
    const { kind, link, environment, store } = options;
    this.kind = kind;
    this.#options = options;
    this.#reads = new Retries(environment.clock, environment.random);
    this.#table = new EntryTable<Value>({
      kind,
      link,
      environment: { ...environment, onStale: reason => this.markStale({ reason, isEmpty: false }) },
      writer: { write: changes => this.#write(store, changes as readonly StoreChange<Value>[]) },
    });
  }

  get object(): ObjectType {
    return this.kind.object;
  }

  /** Why it is to be read now, if it is. */
  get staleReason(): string | undefined {
    return this.#reads.isDue(READ, this.#options.environment.clock.monotonic())
      ? this.#stale?.reason
      : undefined;
  }

  get wanted(): number {
    return this.#table.wanted;
  }

  get failed(): number {
    return this.#reads.size > 0 ? this.#table.wanted : this.#table.failed;
  }

  get inSync(): boolean {
    return this.#stale === undefined && this.#table.inSync;
  }

  get nextRetry(): number | undefined {
    return this.#stale === undefined ? this.#table.nextRetry : this.#reads.next;
  }

  isDue(): boolean {
    return this.#stale === undefined ? this.#table.isDue() : this.staleReason !== undefined;
  }

  isDoneFor(network: string): boolean {
    return this.#stale === undefined && this.#table.isDoneFor(network);
  }

  *failures(): Generator<EntryFailure> {
    for (const [, reason] of this.#table.wanted === 0 ? [] : this.#reads.reasons()) {
      yield { text: `${this.object} entries dev ${this.#options.link}: ${reason}`, network: undefined };
    }
    yield* this.#table.failures();
  }

  entry(value: Value): TableEntry<Value> {
    return new TableEntry(this, value);
  }

  add(value: Value): void {
    this.#table.add(value);
  }

  remove(value: Value): void {
    this.#table.remove(value);
  }

  removeAll(): void {
    this.#table.removeAll();
  }

  inspect(value: Value): EntryReport {
    const report = this.#table.inspect(value);
    const reason = this.#reads.reason(READ);
    return reason === undefined ? report : { ...report, state: 'failed', reason };
  }

  /** The device is gone or new. */
  forgetActual(): void {
    this.#table.forgetActual();
    this.#reads.clear();
    this.#stale = this.#options.store && { reason: 'the link was set up', isEmpty: false, cause: 'start' };
  }

  /** Nothing is written before it is read again. */
  markStale({ reason, isEmpty }: Omit<StoreLoss, 'link'>): void {
    if (this.#options.store === undefined) return;
    // Always a new one: a read that is under way does not dispel it.
    this.#stale = { cause: this.#stale?.cause ?? 'drift', reason, isEmpty };
    this.#reads.clear();
  }

  /** Compares everything with the store. A failure is noted, and the read is due again later. */
  async read({ name, index }: Device): Promise<void> {
    const stale = this.#stale;
    const { store } = this.#options;
    if (stale === undefined || store === undefined) return;
    let found: readonly Value[];
    try {
      found = stale.isEmpty ? [] : await store.read({ name, index });
    } catch (error) {
      this.#reads.failed(READ, `cannot be read: ${messageOf(error)}`);
      return;
    }
    this.#reads.clear();
    const { known } = this.#table;
    known.beginDump();
    for (const value of found) known.found(value, stale.cause);
    known.endDump(stale.cause);
    if (this.#stale === stale) this.#stale = undefined;
  }

  additions(device: Device): Iterable<Write> {
    return this.#stale === undefined ? this.#table.additions(device) : [];
  }

  removals(device: Device): Iterable<Write> {
    return this.#stale === undefined ? this.#table.removals(device) : [];
  }

  async #write(
    store: TableStore<Value> | undefined,
    changes: readonly StoreChange<Value>[],
  ): ReturnType<TableWriter<StoreChange<Value>>['write']> {
    try {
      return (await store?.write(changes)) ?? [];
    } catch (error) {
      const refusal = new Error(messageOf(error), { cause: error });
      this.markStale({ reason: refusal.message, isEmpty: false });
      return changes.map(() => refusal);
    }
  }
}
