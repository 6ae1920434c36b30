/**
 * One kind of entry on one device: what is wanted, what the kernel is believed to hold, who wants what, what the
 * kernel refused and when to try again, and which differences are not of our making.
 *
 * What we believe comes from dumps, from acknowledgements of our own writes, and from the kernel's notifications.
 * The last two come through different sockets, so a notification may be older than an acknowledgement that was
 * read before it. It is therefore only noted here. `believe` weighs the notes later, when the notification socket
 * has been read empty: a note on an entry we have not written meanwhile is true; one on an entry we have written
 * may be either, and only a dump can tell.
 */
import type { Clock } from '../base/clock.ts';
import { isCode } from '../base/errors.ts';
import type { NetlinkError } from '../netlink/errors.ts';
import type { Change } from '../netlink/rtnetlink.ts';
import { Claims } from './claims.ts';
import { Delta } from './delta.ts';
import type { Device, Entry, EntryKind } from './entry.ts';
import { type Repair, type RepairCause, repairOf } from './report.ts';
import { Retries } from './retries.ts';
import { Stake, type StakeReport } from './stake.ts';

/** A change that is to be sent, and what to do with the kernel's answer. */
export interface Write {
  readonly change: Change;
  settle(error: NetlinkError | undefined): void;
}

export interface TableEnvironment {
  readonly clock: Clock;
  readonly random: () => number;
  readonly onRepair: (repair: Repair) => void;
  /** Only a dump can tell what is in the kernel. */
  readonly onDoubt: (reason: string) => void;
}

/** What tables of different entries have in common. */
export type AnyTable = Pick<
  Table<Entry>,
  | 'wanted'
  | 'failed'
  | 'inSync'
  | 'nextRetry'
  | 'isDue'
  | 'failures'
  | 'releaseAll'
  | 'believe'
  | 'forgetActual'
  | 'additions'
  | 'removals'
>;

/** The answers that mean "it is not there", by which a removal has succeeded. */
const GONE = ['ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL'];

export class Table<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  readonly #link: string;
  readonly #environment: TableEnvironment;
  readonly #delta: Delta<Value>;
  /** Decides which of several claims is the one desired. */
  readonly #claims = new Claims<Value>();
  /** Notes from notifications, to be weighed. */
  readonly #noted = new Map<string, Value | undefined>();
  /** Keys written since the notes were weighed last. */
  readonly #written = new Set<string>();
  /** Differences that are not of our making, until they are repaired: what was found, in words. */
  readonly #drifted = new Map<string, { readonly cause: RepairCause; readonly found: string | undefined }>();
  readonly #retries: Retries;

  constructor(kind: EntryKind<Value>, link: string, environment: TableEnvironment) {
    this.kind = kind;
    this.#link = link;
    this.#environment = environment;
    this.#delta = new Delta<Value>((desired, actual) => kind.same(desired, actual));
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

  /** What a peer can do about an entry it wants. */
  stake(key: string, value: Value): Stake<Value> {
    return new Stake(this, key, value);
  }

  /** States that a peer wants the entry; whether it gets it is decided among all that do. */
  claim(key: string, value: Value): void {
    this.#want(key, this.#claims.add(key, this.#delta.desired(key), value));
  }

  /** Takes a peer's claim back. */
  release(key: string, peer: string | undefined): void {
    this.#want(key, this.#claims.remove(key, this.#delta.desired(key), peer));
  }

  releaseAll(): void {
    this.#delta.clearDesired();
    this.#claims.clear();
    this.#drifted.clear();
    this.#retries.clear();
  }

  desired(key: string): Value | undefined {
    return this.#delta.desired(key);
  }

  actual(key: string): Value | undefined {
    return this.#delta.actual(key);
  }

  /** How a claim stands. */
  inspect(key: string, value: Value): StakeReport {
    const found = this.#delta.actual(key);
    const report = {
      desired: this.kind.text(this.#link, value),
      ...(found === undefined ? {} : { actual: this.kind.text(this.#link, found) }),
    };
    const holder = this.#delta.desired(key);
    if (holder !== undefined && !this.kind.same(holder, value)) {
      const reason = `${this.kind.object} ${key} is claimed by ${holder.claim?.peer ?? 'nobody'} too, and that is newer`;
      return { ...report, state: 'failed', reason };
    }
    const reason = this.#retries.reason(key);
    if (reason !== undefined) return { ...report, state: 'failed', reason };
    const isThere = found !== undefined && this.kind.same(value, found);
    return { ...report, state: isThere ? 'ok' : 'pending' };
  }

  /** Notes what a notification says: undefined for "gone". True when it contradicts what is believed. */
  note(key: string, value: Value | undefined): boolean {
    if (this.#agrees(key, value)) {
      this.#noted.delete(key);
      return false;
    }
    this.#noted.set(key, value);
    return true;
  }

  /**
   * Weighs the notes, and returns how many entries others have changed. The notification socket must have been read
   * empty after the last acknowledgement.
   */
  believe(): number {
    let changed = 0;
    for (const [key, value] of this.#noted) {
      if (this.#agrees(key, value)) continue;
      changed++;
      if (this.#written.has(key)) this.#environment.onDoubt(`${this.kind.object} ${key} was changed twice`);
      else this.#drift(key, value);
    }
    this.forgetNotes();
    return changed;
  }

  /** Forgets the notes: a dump that starts now says more. */
  forgetNotes(): void {
    this.#noted.clear();
    this.#written.clear();
  }

  /** Believes that the kernel holds nothing: the device is gone or new. */
  forgetActual(): void {
    this.forgetNotes();
    this.#drifted.clear();
    this.#retries.clear();
    this.#delta.replaceActual([]);
  }

  /** Believes a dump. What differs and did not before was changed by others, or long ago (`start`). */
  believeDump(entries: Iterable<readonly [string, Value]>, cause: RepairCause): void {
    const pending = new Set(Array.from(this.#delta.differences(), ({ key }) => key));
    const refused = Array.from(this.#retries.keys(), key => [key, this.#delta.actual(key)] as const);
    const relevant: (readonly [string, Value])[] = [];
    for (const entry of entries) if (this.#isRelevant(...entry)) relevant.push(entry);
    this.#delta.replaceActual(relevant);
    // Where the kernel has changed since the refusal, its cause may be gone.
    for (const [key, before] of refused) if (!this.#agrees(key, before)) this.#retries.succeeded(key);
    for (const key of this.#drifted.keys()) if (!this.#delta.differs(key)) this.#drifted.delete(key);
    for (const { key, actual: found } of this.#delta.differences()) {
      // At the start nothing has been programmed: what is missing is new rather than lost. Later, what has been
      // waiting to be programmed is of our own making.
      if (cause === 'start' ? found === undefined : pending.has(key)) continue;
      this.#drifted.set(key, { cause, found: found && this.kind.text(this.#link, found) });
    }
  }

  /** Writes that put wanted entries in place. What is put in place while they are read is left out. */
  *additions(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (desired === undefined || !this.#retries.isDue(key, now)) continue;
      const obstacle = actual && this.kind.inTheWay?.(desired, actual);
      if (obstacle === undefined) yield this.#addition(device, key, desired, actual);
      else this.#blocked(key, obstacle);
    }
  }

  /** Writes that remove what nobody wants. */
  *removals(device: Device): Generator<Write> {
    const now = this.#environment.clock.monotonic();
    for (const { key, desired, actual } of this.#delta.differences()) {
      if (actual === undefined || desired !== undefined || !this.#retries.isDue(key, now)) continue;
      if (this.kind.ours(actual)) yield this.#removal(device, key, actual);
      else this.#delta.setActual(key, undefined);
    }
  }

  #addition(device: Device, key: string, desired: Value, actual: Value | undefined): Write {
    return {
      change: this.kind.write(device, desired, actual),
      settle: error => {
        this.#written.add(key);
        if (error === undefined) this.#done(key, desired);
        else this.#refused(key, error);
      },
    };
  }

  #removal(device: Device, key: string, actual: Value): Write {
    return {
      change: this.kind.remove(device, actual),
      settle: error => {
        this.#written.add(key);
        if (error === undefined || isCode(error, ...GONE)) this.#done(key, undefined);
        else this.#refused(key, error);
      },
    };
  }

  #done(key: string, value: Value | undefined): void {
    this.#delta.setActual(key, value);
    this.#retries.succeeded(key);
    const drift = this.#drifted.get(key);
    if (drift === undefined) return;
    this.#drifted.delete(key);
    const wanted = value && this.kind.text(this.#link, value);
    const { cause, found } = drift;
    const { object } = this.kind;
    const peer = value?.claim?.peer;
    this.#environment.onRepair(repairOf({ cause, object, link: this.#link, peer, found, wanted }));
  }

  #blocked(key: string, obstacle: string): void {
    // On a second try it is worth a look whether the obstacle is still there: routes may vanish unannounced.
    if (this.#retries.reason(key) !== undefined) this.#environment.onDoubt(obstacle);
    this.#retries.failed(key, obstacle);
  }

  #refused(key: string, error: NetlinkError): void {
    this.#retries.failed(key, error.message);
    // The kernel is not as we believe it to be, or it would have agreed.
    this.#environment.onDoubt(error.message);
  }

  #drift(key: string, value: Value | undefined): void {
    const wasPending = this.#delta.differs(key);
    this.#delta.setActual(key, value !== undefined && this.#isRelevant(key, value) ? value : undefined);
    if (!this.#delta.differs(key)) {
      this.#drifted.delete(key);
      this.#retries.succeeded(key);
    } else if (!wasPending) {
      this.#drifted.set(key, { cause: 'drift', found: value && this.kind.text(this.#link, value) });
    }
  }

  #agrees(key: string, value: Value | undefined): boolean {
    const actual = this.#delta.actual(key);
    if (actual === undefined || value === undefined) {
      return actual === undefined && (value === undefined || !this.#isRelevant(key, value));
    }
    return this.kind.same(actual, value);
  }

  /** Entries that are neither wanted nor ours are none of our business. */
  #isRelevant(key: string, value: Value): boolean {
    return this.kind.ours(value) || this.#delta.desired(key) !== undefined;
  }

  #want(key: string, value: Value | undefined): void {
    const before = this.#delta.desired(key);
    this.#delta.setDesired(key, value);
    if (before !== undefined && value !== undefined && this.kind.same(value, before)) return;
    // A new wish has no history.
    this.#retries.succeeded(key);
    this.#drifted.delete(key);
  }

  #textOf(key: string): string {
    const value = this.#delta.desired(key) ?? this.#delta.actual(key);
    return value === undefined ? key : this.kind.text(this.#link, value);
  }
}
