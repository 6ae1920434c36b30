/**
 * One kind of entry on one device: what is wanted, what the kernel is known to hold, who wants what, what the
 * kernel refused and when to try again, and which differences are not of our making.
 */
import { isCode } from '../../base/errors.ts';
import { Delta } from '../reconcile/delta.ts';
import { type EntryClaim, EntryOwners } from '../reconcile/entry-owners.ts';
import { KnownEntries } from '../reconcile/known-entries.ts';
import { Retries } from '../reconcile/retries.ts';
import {
  type Device,
  type Entry,
  type EntryKind,
  type Key,
  type TableEnvironment,
  THIS_DEVICE,
} from './entry.ts';
import { type EntryFailure, type EntryReport, TableEntry } from './table-entry.ts';
import { EntryWrite, type TableWriter, type Write } from './write.ts';

/** What a table is made of. @typeParam Change what its writer sends. */
export interface EntryTableOptions<Value extends Entry, Change> {
  readonly kind: EntryKind<Value, Change>;
  readonly writer: TableWriter<Change>;
  /** Name of the device. */
  readonly link: string;
  readonly environment: TableEnvironment;
  /** Decides whose value is desired where several paths want the entry; shared with tables of other links, or its own. */
  readonly owners?: EntryOwners<Value>;
}

export class EntryTable<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  readonly writer: TableWriter<unknown>;
  /** What the table holds, as far as it is known. */
  readonly known: KnownEntries<Value>;
  readonly #link: string;
  readonly #environment: TableEnvironment;
  readonly #delta: Delta<Value>;
  readonly #owners: EntryOwners<Value>;
  readonly #retries: Retries;

  constructor(options: EntryTableOptions<Value, unknown>) {
    const { kind, writer, link, environment, owners = new EntryOwners<Value>() } = options;
    this.kind = kind;
    this.writer = writer;
    this.#owners = owners;
    this.#link = link;
    this.#environment = environment;
    this.#delta = new Delta<Value>((desired, actual) => kind.same(desired, actual));
    this.#retries = new Retries(environment.clock, environment.random);
    this.known = new KnownEntries({
      kind,
      link,
      environment,
      text: value => this.text(value),
      delta: this.#delta,
      retries: this.#retries,
      onGone: key => owners.forget(key, this),
      textOf: key => this.#textOf(key),
    });
  }

  get wanted(): number {
    return this.#delta.desiredSize;
  }

  /** What was refused. */
  get refusals(): number {
    return this.#retries.size;
  }

  /** What was refused, and what another path wants otherwise. */
  get failed(): number {
    let sum = this.#retries.size;
    for (const _ of this.#losers()) sum++;
    return sum;
  }

  get inSync(): boolean {
    return this.#delta.differingSize === 0 && this.#losers().next().done === true;
  }

  /** When the next refused entry is to be tried again, on the monotonic clock; undefined when there is none. */
  get nextRetry(): number | undefined {
    return this.#retries.next;
  }

  /** Whether there is something to write now: a difference that was not refused, or is to be tried again. */
  isDue(): boolean {
    const { next } = this.#retries;
    return (
      this.#delta.differingSize > this.#retries.size ||
      (next !== undefined && next <= this.#environment.clock.monotonic())
    );
  }

  /** What failed. */
  *failures(): Generator<EntryFailure> {
    for (const [key, reason] of this.#retries.reasons()) {
      yield { text: `${this.#textOf(key)}: ${reason}`, network: this.#networkOf(key) };
    }
    for (const { value, winner } of this.#losers()) {
      const text = `${this.text(value)}: ${this.#lossOf(value, winner)}`;
      yield { text, network: value.owner?.network.name };
    }
  }

  /** Whether nothing that this network wants is still to be written. */
  isDoneFor(network: string): boolean {
    for (const { desired } of this.#delta.differences()) {
      if (desired?.owner?.network.name === network) return false;
    }
    return true;
  }

  /** An entry in the words of iproute2. */
  text(value: Value): string {
    const { nameOf } = this.#environment;
    return this.kind.text(value, index => (index === THIS_DEVICE ? this.#link : nameOf(index)));
  }

  entry(value: Value): TableEntry<Value> {
    return new TableEntry(this, value);
  }

  /** A path wants the entry; whose is programmed is decided among all that do. */
  add(value: Value): void {
    this.#owners.add(this.kind.key(value), this, value);
  }

  /** The path wants it no more. */
  remove(value: Value): void {
    this.#owners.remove(this.kind.key(value), this, value);
  }

  removeAll(): void {
    this.#delta.clearDesired();
    this.known.forgetDrift();
    this.#retries.clear();
    this.#owners.release(this);
  }

  /** What is programmed from now on. For the owners of the entries. */
  want(key: Key, value: Value | undefined): void {
    const before = this.#delta.desired(key);
    this.#delta.setDesired(key, value);
    if (before !== undefined && value !== undefined && this.kind.same(value, before)) return;
    // Refusals and drift were those of the former value.
    this.#retries.succeeded(key);
    this.known.restated(key);
  }

  desired(key: Key): Value | undefined {
    return this.#delta.desired(key);
  }

  actual(key: Key): Value | undefined {
    return this.#delta.actual(key);
  }

  /** Whether the kernel holds the entry as this path wants it. */
  inspect(value: Value): EntryReport {
    const key = this.kind.key(value);
    const found = this.#delta.actual(key);
    const report = {
      desired: this.text(value),
      ...(found === undefined ? {} : { actual: this.text(found) }),
    };
    const winner = this.#owners.winner(key, this);
    if (winner !== undefined && (winner.table !== this || !this.kind.same(winner.value, value))) {
      return { ...report, state: 'failed', reason: this.#lossOf(value, winner) };
    }
    const reason = this.#retries.reason(key);
    if (reason !== undefined) return { ...report, state: 'failed', reason };
    const isThere = found !== undefined && this.kind.same(value, found);
    return { ...report, state: isThere ? 'ok' : 'pending' };
  }

  /** The device is gone or new: the table holds nothing. */
  forgetActual(): void {
    this.known.forget();
    this.#retries.clear();
    this.#delta.clearActual();
  }

  /** The table of another link holds this in the place of a desired entry, as far as it is known. */
  displace(key: Key, found: Value): void {
    if (this.#delta.desired(key) === undefined || this.#delta.actual(key) !== undefined) return;
    this.#delta.setActual(key, this.kind.displaced?.(found) ?? found);
  }

  /** Writes that put wanted entries in place. What is put in place while they are read is left out. */
  *additions(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (desired === undefined || !this.#retries.isDue(key, now)) continue;
      const impossible = this.kind.impossible?.(device);
      const obstacle = impossible ?? (actual && this.#conflictWith(actual));
      const isNew = this.#retries.reason(key) === undefined;
      if (obstacle !== undefined && (isNew || impossible !== undefined)) {
        this.#retries.failed(key, obstacle);
        continue;
      }
      // An obstacle may have vanished unannounced: to try costs less than to look, and overwrites nothing.
      const known = obstacle === undefined ? actual : undefined;
      const prelude = known && this.kind.prelude?.(device, desired, known);
      if (prelude !== undefined) yield { writer: this.writer, change: prelude, settle: () => undefined };
      this.known.writing();
      yield new EntryWrite(this, this.kind.write(device, desired, known), key, desired);
    }
  }

  /** Writes that remove what is not desired. */
  *removals(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (actual === undefined || desired !== undefined || !this.#retries.isDue(key, now)) continue;
      if (this.kind.ours(actual)) {
        this.known.writing();
        yield new EntryWrite(this, this.kind.remove(device, actual), key, undefined);
      } else this.#delta.setActual(key, undefined);
    }
  }

  /** The kernel has taken a write: it holds this now. */
  written(key: Key, value: Value | undefined): void {
    this.known.answered(key);
    this.#delta.setActual(key, value);
    if (value === undefined) this.#owners.forget(key, this);
    this.#retries.succeeded(key);
    this.known.repaired(key, value);
  }

  /** The kernel has refused a write. */
  refused(key: Key, error: Error): void {
    this.known.answered(key);
    const before = this.#retries.reason(key);
    // What was in the way still is.
    const isStillBlocked = this.#isBlocked(key) && isCode(error, 'EEXIST');
    this.#retries.failed(key, before !== undefined && isStillBlocked ? before : error.message);
    // What is known of the kernel is wrong, or it would have agreed. Reading it once is enough.
    if (before !== error.message && !isStillBlocked) this.#environment.onStale(error.message);
  }

  /** Why the entry in the place of a wanted one stays. */
  #conflictWith(actual: Value): string | undefined {
    return this.kind.conflicts?.(actual) === true ? `${this.text(actual)} is in the way` : undefined;
  }

  #isBlocked(key: Key): boolean {
    const actual = this.#delta.actual(key);
    return (
      this.#delta.desired(key) !== undefined && actual !== undefined && this.kind.conflicts?.(actual) === true
    );
  }

  *#losers() {
    yield* this.#owners.losers(this, this.kind.same);
  }

  /** Why a path does not get what it wants. */
  #lossOf({ owner }: Value, { value }: EntryClaim<Value>): string {
    const holder = value.owner;
    const entry = `${this.kind.object} ${this.kind.name(value)}`;
    if (holder?.network !== owner?.network) {
      return `${entry} belongs to network ${holder?.network.name}, where peer ${holder?.peer} has it`;
    }
    if (holder?.peer !== owner?.peer)
      return `${entry} is claimed by ${holder?.peer} too, whose lease is newer`;
    return `${entry} is wanted for ${holder?.subnet} over ${holder?.link} too`;
  }

  #networkOf(key: Key): string | undefined {
    return this.#delta.desired(key)?.owner?.network.name;
  }

  #textOf(key: Key): string {
    const value = this.#delta.desired(key) ?? this.#delta.actual(key);
    return value === undefined ? `${this.kind.object} ${key}` : this.text(value);
  }
}
