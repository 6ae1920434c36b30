/**
 * What a table is known to hold: from dumps, from events, and from the answers to our own writes. Differences that are
 * not of our making are drift, and are reported when they are repaired.
 */
import type { RepairCause } from '../report.ts';
import type { Entry, EntryKind, Key, TableEnvironment } from '../tables/entry.ts';
import type { Delta } from './delta.ts';
import { Drift } from './drift.ts';
import { PendingEvents } from './pending-events.ts';
import type { Retries } from './retries.ts';

export interface KnownEntriesOptions<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  /** Name of the device. */
  readonly link: string;
  readonly environment: TableEnvironment;
  readonly delta: Delta<Value>;
  readonly retries: Retries;
  /** The table holds nothing under this key, though not by a write of ours. */
  readonly onGone: (key: Key) => void;
  readonly textOf: (key: Key) => string;
  readonly text: (value: Value) => string;
}

export class KnownEntries<Value extends Entry> {
  readonly #options: KnownEntriesOptions<Value>;
  readonly #kind: EntryKind<Value>;
  readonly #delta: Delta<Value>;
  readonly #retries: Retries;
  readonly #pending = new PendingEvents<Value>();
  readonly #drift: Drift<Value>;
  /** Writes whose answers have not been read yet. */
  #unsettled = 0;

  constructor(options: KnownEntriesOptions<Value>) {
    const { kind, link, environment, delta, retries } = options;
    this.#options = options;
    this.#kind = kind;
    this.#delta = delta;
    this.#retries = retries;
    this.#drift = new Drift({
      object: kind.object,
      link,
      text: options.text,
      onRepair: environment.onRepair,
    });
  }

  /** Takes an event: the entry is so, or was so and is gone. True when it contradicts what is known. */
  observe(value: Value, gone: boolean): boolean {
    const key = this.#kind.key(value);
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
      if (isAmbiguous) this.#options.environment.onStale(`${this.#options.textOf(key)} was changed twice`);
      else this.#learn(key, value, 'drift');
    }
    this.#pending.clear();
    return changed;
  }

  /** A dump begins, perhaps once more: what was found until now does not count. No write is under way. */
  beginDump(): void {
    this.#unsettled = 0;
    this.#delta.beginReading();
  }

  /** Believes one entry of a dump. What differs and did not before was changed by others, or long ago (`start`). */
  found(value: Value, cause: RepairCause): void {
    this.#learn(this.#kind.key(value), value, cause);
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

  /** A write is about to be sent. */
  writing(): void {
    this.#unsettled++;
  }

  /** A write was answered. */
  answered(key: Key): void {
    this.#unsettled--;
    this.#pending.wrote(key);
  }

  /** We have made the table hold this, or nothing. */
  repaired(key: Key, value: Value | undefined): void {
    this.#drift.repaired(key, value);
  }

  /** Something else is wanted now: the drift was that of the former value. */
  restated(key: Key): void {
    this.#drift.delete(key);
  }

  /** Nothing is wanted any more. */
  forgetDrift(): void {
    this.#drift.clear();
  }

  /** Nothing of what was known counts. */
  forget(): void {
    this.#pending.clear();
    this.#drift.clear();
  }

  /** Others have made the kernel hold this, or nothing. */
  #learn(key: Key, value: Value | undefined, cause: RepairCause): void {
    if (this.#retries.size > 0 && !this.#agrees(key, value)) {
      // The cause of a refusal may be gone.
      this.#retries.succeeded(key);
    }
    const relevant = value !== undefined && this.#isRelevant(key, value) ? value : undefined;
    const outcome = this.#delta.setActual(key, relevant);
    if (relevant === undefined) this.#options.onGone(key);
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
    return this.#kind.same(actual, value);
  }

  /** Entries that are neither wanted nor ours are none of our business. */
  #isRelevant(key: Key, value: Value): boolean {
    return this.#kind.ours(value) || this.#delta.desired(key) !== undefined;
  }
}
