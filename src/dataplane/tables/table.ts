/**
 * One kind of entry on one device: what is wanted, what the kernel is known to hold, who wants what, what the
 * kernel refused and when to try again, and which differences are not of our making.
 */
import { isCode } from '../../base/errors.ts';
import type { NetlinkError } from '../../netlink/errors.ts';
import { Delta } from '../reconcile/delta.ts';
import { Drift } from '../reconcile/drift.ts';
import { EntryOwners } from '../reconcile/entry-owners.ts';
import { PendingEvents } from '../reconcile/pending-events.ts';
import { Retries } from '../reconcile/retries.ts';
import type { RepairCause } from '../report.ts';
import type { Device, Entry, EntryKind, Key, TableEnvironment } from './entry.ts';
import { type EntryReport, TableEntry } from './table-entry.ts';
import { EntryWrite, type Write } from './write.ts';

export class EntryTable<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  readonly #link: string;
  readonly #environment: TableEnvironment;
  readonly #delta: Delta<Value>;
  /** Decides whose value is desired where several paths want the entry. */
  readonly #owners = new EntryOwners<Value>();
  readonly #pending = new PendingEvents<Value>();
  readonly #drift: Drift<Value>;
  readonly #retries: Retries;
  /** Writes whose answers have not been read yet. */
  #unsettled = 0;

  constructor(kind: EntryKind<Value>, link: string, environment: TableEnvironment) {
    this.kind = kind;
    this.#link = link;
    this.#environment = environment;
    this.#delta = new Delta<Value>((desired, actual) => kind.same(desired, actual));
    this.#drift = new Drift(kind, link, environment.onRepair);
    this.#retries = new Retries(environment.clock, environment.random);
  }

  get wanted(): number {
    return this.#delta.desiredSize;
  }

  get failed(): number {
    return this.#retries.size;
  }

  get inSync(): boolean {
    return this.#delta.differingSize === 0;
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

  /** Refusals, in words. */
  *failures(): Generator<string> {
    for (const [key, reason] of this.#retries.reasons()) yield `${this.#textOf(key)}: ${reason}`;
  }

  entry(value: Value): TableEntry<Value> {
    return new TableEntry(this, value);
  }

  /** A path wants the entry; whose is programmed is decided among all that do. */
  add(value: Value): void {
    const key = this.kind.key(value);
    const before = this.#delta.desired(key);
    this.#want(key, before, this.#owners.add(key, before, value));
  }

  /** The path wants it no more. */
  remove(value: Value): void {
    const key = this.kind.key(value);
    const before = this.#delta.desired(key);
    this.#want(key, before, this.#owners.remove(key, before, value.owner));
  }

  removeAll(): void {
    this.#delta.clearDesired();
    this.#owners.clear();
    this.#drift.clear();
    this.#retries.clear();
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
      desired: this.kind.text(this.#link, value),
      ...(found === undefined ? {} : { actual: this.kind.text(this.#link, found) }),
    };
    const holder = this.#delta.desired(key);
    if (holder !== undefined && !this.kind.same(holder, value)) {
      const entry = `${this.kind.object} ${this.kind.name(value)}`;
      const reason = `${entry} is claimed by ${holder.owner?.peer ?? 'nobody'} too, whose lease is newer`;
      return { ...report, state: 'failed', reason };
    }
    const reason = this.#retries.reason(key);
    if (reason !== undefined) return { ...report, state: 'failed', reason };
    const isThere = found !== undefined && this.kind.same(value, found);
    return { ...report, state: isThere ? 'ok' : 'pending' };
  }

  /** Takes an event: the entry is so, or was so and is gone. True when it contradicts what is known. */
  observe(value: Value, gone: boolean): boolean {
    const key = this.kind.key(value);
    const now = gone ? undefined : value;
    const contradicts = !this.#agrees(key, now);
    // While answers to our own writes are awaited, what agrees with the belief now may contradict it then.
    const isKnown = (this.#delta.desired(key) ?? this.#delta.actual(key)) !== undefined;
    const mayContradict = this.#unsettled > 0 && isKnown;
    if (contradicts || mayContradict) this.#pending.set(key, now);
    else this.#pending.delete(key);
    return contradicts;
  }

  /**
   * Compares the pending events with what is known, and returns how many entries others have changed. The socket of the announcements must have been
   * read empty after the last acknowledgement.
   */
  processPending(): number {
    let changed = 0;
    for (const { key, value, isAmbiguous } of this.#pending) {
      if (this.#agrees(key, value)) continue;
      changed++;
      if (isAmbiguous) this.#environment.onStale(`${this.#textOf(key)} was changed twice`);
      else this.#learn(key, value, 'drift');
    }
    this.#pending.clear();
    return changed;
  }

  /** Takes it that the kernel holds this in the place of a desired entry, until a dump or an event says otherwise. */
  assumeActual(key: Key, value: Value): void {
    if (this.#delta.desired(key) !== undefined && this.#delta.actual(key) === undefined) {
      this.#delta.setActual(key, value);
    }
  }

  /** Believes that the kernel holds nothing: the device is gone or new. */
  forgetActual(): void {
    this.#pending.clear();
    this.#drift.clear();
    this.#retries.clear();
    this.#delta.clearActual();
  }

  /** A dump begins, perhaps once more: what was found until now does not count. No write is under way. */
  beginDump(): void {
    this.#unsettled = 0;
    this.#delta.beginReading();
  }

  /** Believes one entry of a dump. What differs and did not before was changed by others, or long ago (`start`). */
  found(value: Value, cause: RepairCause): void {
    this.#learn(this.kind.key(value), value, cause);
  }

  /** Whether the dump that is being read had an entry under this key already. */
  isFound(key: Key): boolean {
    return this.#delta.isRead(key);
  }

  /** Whether the kernel holds the wanted entry, or did until others changed it. */
  isHeld(key: Key): boolean {
    const isThere = this.#delta.actual(key) !== undefined && !this.#delta.differs(key);
    return isThere || this.#drift.causeOf(key) === 'drift';
  }

  /** Believes that the kernel holds nothing but what was found. */
  endDump(cause: RepairCause): void {
    for (const key of this.#delta.unread()) this.#learn(key, undefined, cause);
  }

  /** Writes that put wanted entries in place. What is put in place while they are read is left out. */
  *additions(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (desired === undefined || !this.#retries.isDue(key, now)) continue;
      const impossible = this.kind.impossible?.(device);
      const obstacle = impossible ?? (actual && this.kind.conflict?.(desired, actual));
      const isNew = this.#retries.reason(key) === undefined;
      if (obstacle !== undefined && (isNew || impossible !== undefined)) {
        this.#retries.failed(key, obstacle);
        continue;
      }
      // An obstacle may have vanished unannounced: to try costs less than to look, and overwrites nothing.
      const known = obstacle === undefined ? actual : undefined;
      const prelude = known && this.kind.prelude?.(device, desired, known);
      if (prelude !== undefined) yield { change: prelude, settle: () => undefined };
      this.#unsettled++;
      yield new EntryWrite(this, this.kind.write(device, desired, known), key, desired);
    }
  }

  /** Writes that remove what nobody wants. */
  *removals(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (actual === undefined || desired !== undefined || !this.#retries.isDue(key, now)) continue;
      if (this.kind.ours(actual)) {
        this.#unsettled++;
        yield new EntryWrite(this, this.kind.remove(device, actual), key, undefined);
      } else this.#delta.setActual(key, undefined);
    }
  }

  /** The kernel has taken a write: it holds this now. */
  written(key: Key, value: Value | undefined): void {
    this.#unsettled--;
    this.#pending.wrote(key);
    this.#delta.setActual(key, value);
    this.#retries.succeeded(key);
    this.#drift.repaired(key, value);
  }

  /** The kernel has refused a write. */
  refused(key: Key, error: NetlinkError): void {
    this.#unsettled--;
    this.#pending.wrote(key);
    const before = this.#retries.reason(key);
    // What was in the way still is.
    const isStillBlocked = this.#isBlocked(key) && isCode(error, 'EEXIST');
    this.#retries.failed(key, before !== undefined && isStillBlocked ? before : error.message);
    // What is known of the kernel is wrong, or it would have agreed. Reading it once is enough.
    if (before !== error.message && !isStillBlocked) this.#environment.onStale(error.message);
  }

  #isBlocked(key: Key): boolean {
    const [desired, actual] = [this.#delta.desired(key), this.#delta.actual(key)];
    return (
      desired !== undefined && actual !== undefined && this.kind.conflict?.(desired, actual) !== undefined
    );
  }

  /** Others have made the kernel hold this, or nothing. */
  #learn(key: Key, value: Value | undefined, cause: RepairCause): void {
    if (this.#retries.size > 0 && !this.#agrees(key, value)) {
      // The cause of a refusal may be gone.
      this.#retries.succeeded(key);
    }
    const relevant = value !== undefined && this.#isRelevant(key, value) ? value : undefined;
    const outcome = this.#delta.setActual(key, relevant);
    if (outcome === 'same') {
      this.#retries.succeeded(key);
      this.#drift.delete(key);
      return;
    }
    // At the start nothing has been programmed: what is missing is new rather than lost. Later, what has been
    // waiting to be programmed is of our own making.
    if (cause === 'start' ? value === undefined : outcome === 'still differs') return;
    this.#drift.set(key, cause, value);
  }

  #agrees(key: Key, value: Value | undefined): boolean {
    const actual = this.#delta.actual(key);
    if (actual === undefined || value === undefined) {
      return actual === undefined && (value === undefined || !this.#isRelevant(key, value));
    }
    return this.kind.same(actual, value);
  }

  /** Entries that are neither wanted nor ours are none of our business. */
  #isRelevant(key: Key, value: Value): boolean {
    return this.kind.ours(value) || this.#delta.desired(key) !== undefined;
  }

  #want(key: Key, before: Value | undefined, value: Value | undefined): void {
    this.#delta.setDesired(key, value);
    if (before !== undefined && value !== undefined && this.kind.same(value, before)) return;
    // Refusals and drift were those of the former value.
    this.#retries.succeeded(key);
    this.#drift.delete(key);
  }

  #textOf(key: Key): string {
    const value = this.#delta.desired(key) ?? this.#delta.actual(key);
    return value === undefined ? `${this.kind.object} ${key}` : this.kind.text(this.#link, value);
  }
}
