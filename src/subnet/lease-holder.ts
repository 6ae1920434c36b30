/**
 * Holds this host's lease for as long as the host runs.
 *
 *          +---------------- lost: expired, deleted, taken <---------------+
 *          v                                                               |
 *     [ seeking ] --acquire()--> [ held ] --keep-alive, every third of the TTL--> [ held ]
 *       |     ^                    |  ^
 *      full   | something freed    |  | attributes changed: guarded write on the same store lease
 *       v     |                    v  |
 *     [ waiting ]                [ publishing ]
 *
 * The loop is level-triggered: what happens (a notice about our key, a new configuration, a renewal that is due)
 * only marks what is in doubt, and one step reads and acts. Failures of the store are retried for ever; they
 * change nothing about the lease, except that after its time it counts as unconfirmed.
 */
import { bytesEqual } from '../base/bytes.ts';
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { Doorbell } from '../base/doorbell.ts';
import { Latest } from '../base/latest.ts';
import { StoreError, type StoreLeaseId } from '../store/store.ts';
import { acquire } from './acquire.ts';
import { encodeAttributes } from './attributes.ts';
import type { NetworkConfig } from './config.ts';
import {
  fullTrouble,
  type HolderEvent,
  type HolderState,
  type LeaseTrouble,
  type LossCause,
  lossTrouble,
  storeTrouble,
} from './holder-state.ts';
import { isHeldBy, isLease, isReservation, type Lease, type LeaseAttributes, type Subnet } from './lease.ts';
import { KeyWatch, watchFreed } from './lease-watch.ts';
import type { Registry } from './registry.ts';
import { Renewal } from './renewal.ts';

export type OwnAttributes = LeaseAttributes & { readonly hostId: string };

export interface HolderOptions {
  readonly config: NetworkConfig;
  readonly attributes: OwnAttributes;
  /** The subnet of the last run, from subnet.env. */
  readonly previous?: Subnet;
  /** The lease as last seen, when the store may be away: in use, unconfirmed, until the store answers. */
  readonly known?: Lease;
  readonly onEvent?: (event: HolderEvent) => void;
  /** Milliseconds that must be left when the lease is renewed; it is renewed every third of its time anyway. */
  readonly renewMargin?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Milliseconds between tries while the store does not answer. */
const RETRY = { first: 250, cap: 15_000 } as const;
/** Milliseconds between writes while somebody else writes to our key as us. */
const REWRITE_CAP = 60_000;
/** Milliseconds after which a full network is looked at even without a notice that something was freed. */
const FULL_RECHECK = 60_000;

export class LeaseHolder {
  readonly state: Latest<HolderState>;
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #report: (event: HolderEvent) => void;
  readonly #renewal: Renewal;
  readonly #avoid = new Set<string>();

  #config: NetworkConfig;
  #attributes: OwnAttributes;
  #previous: Subnet | undefined;

  /** The lease as it is in the store, to the best of our knowledge. */
  #lease: Lease | undefined;
  /** The store lease we keep alive; 0n for a reservation. */
  #storeLease: StoreLeaseId = 0n;
  #storeLeaseGone = false;
  /** The lease, if any, has to be chosen anew. */
  #seeking = true;
  /** Our key may not be as we know it. */
  #inDoubt = false;
  #overwrites = 0;
  #trouble: LeaseTrouble | undefined;
  #failing = false;

  readonly #bell: Doorbell;
  #watch: KeyWatch | undefined;

  constructor(registry: Registry, options: HolderOptions) {
    this.#registry = registry;
    this.#clock = options.clock ?? systemClock;
    this.#bell = new Doorbell(this.#clock);
    this.#random = options.random ?? Math.random;
    this.#report = options.onEvent ?? (() => undefined);
    this.#renewal = new Renewal({ margin: options.renewMargin ?? 0, random: this.#random });
    this.#config = options.config;
    this.#attributes = options.attributes;
    this.#previous = options.previous ?? options.known?.subnet;
    this.#lease = options.known;
    this.state = new Latest(this.#describe());
  }

  /** Changes what is wanted: another configuration may mean another subnet, other attributes are published. */
  update(change: { readonly config?: NetworkConfig; readonly attributes?: OwnAttributes }): void {
    if (change.config !== undefined && change.config !== this.#config) this.#seeking = true;
    this.#config = change.config ?? this.#config;
    this.#attributes = change.attributes ?? this.#attributes;
    this.#overwrites = 0;
    this.#bell.ring();
  }

  /** Somebody has heard from the store: what failed is tried again at once. */
  storeAnswers(): void {
    this.#bell.ring();
  }

  /** Gets the lease and holds it until `signal` aborts. The lease then stays in the store until its time is over. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#bell.ring();
    signal.addEventListener('abort', wake, { once: true });
    let delays = backoff(RETRY.first, RETRY.cap, this.#random);
    try {
      while (!signal.aborted) {
        try {
          await this.#step(signal);
          delays = backoff(RETRY.first, RETRY.cap, this.#random);
          this.#succeed();
          await this.#bell.pause(this.#renewal.due - this.#clock.monotonic());
        } catch (error) {
          if (signal.aborted) break;
          if (!(error instanceof StoreError)) throw error;
          this.#fail(error);
          const delay = delays.next().value;
          const left = (this.#renewal.deadline ?? Number.POSITIVE_INFINITY) - this.#clock.monotonic();
          await this.#bell.pause(left > 0 ? Math.min(delay, left) : delay);
        }
      }
    } finally {
      signal.removeEventListener('abort', wake);
      await this.#watch?.[Symbol.asyncDispose]();
    }
  }

  /** Gives the lease back, after `run` has ended; a reservation stays. @throws StoreError */
  async release(): Promise<Lease | undefined> {
    const lease = this.#lease;
    // Revoking deletes the key only where it still hangs on this store lease: nobody else can be hurt.
    if (this.#storeLease !== 0n) await this.#registry.store.revoke(this.#storeLease);
    this.#drop();
    this.#publishState();
    return lease;
  }

  async #step(signal: AbortSignal): Promise<void> {
    while ((this.#lease === undefined || this.#seeking) && !(await this.#acquire(signal))) {
      await this.#untilFreed(signal);
      signal.throwIfAborted();
    }
    if (this.#clock.monotonic() >= this.#renewal.due) await this.#renew();
    if (this.#inDoubt) {
      this.#inDoubt = false;
      try {
        await this.#check(signal);
      } catch (error) {
        this.#inDoubt = true;
        throw error;
      }
    }
    if (this.#lease !== undefined) await this.#publish(this.#lease);
    // What came up meanwhile does not wait for the next renewal.
    if (this.#lease === undefined || this.#inDoubt || this.#seeking) this.#bell.ring();
  }

  /** False when the network is full. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    const applicant = {
      config: this.#config,
      attributes: this.#attributes,
      ...(this.#previous === undefined ? {} : { previous: this.#previous }),
      avoid: this.#avoid,
    };
    const sent = this.#clock.monotonic();
    this.#seeking = false;
    let result: Awaited<ReturnType<typeof acquire>>;
    try {
      result = await acquire(this.#registry, applicant, signal);
    } catch (error) {
      this.#seeking = true;
      throw error;
    }
    this.#succeed();
    if (result.outcome === 'full') {
      this.#drop();
      this.#seeking = true;
      this.#trouble = fullTrouble(result.reason);
      this.#publishState();
      this.#report({ type: 'waiting', reason: result.reason });
      return false;
    }
    const { lease, origin } = result;
    this.#lease = lease;
    this.#previous = lease.subnet;
    this.#storeLease = lease.storeLease;
    this.#storeLeaseGone = false;
    if (isReservation(lease)) this.#renewal.stop();
    else this.#renewal.confirmed(sent, this.#registry.ttl);
    await this.#watchKey(lease.key);
    // Whoever hears of it finds it in the state.
    this.#publishState();
    this.#report({ type: 'acquired', lease, origin });
    return true;
  }

  async #renew(): Promise<void> {
    const sent = this.#clock.monotonic();
    const ttl = await this.#registry.store.keepAlive(this.#storeLease);
    if (ttl !== undefined) {
      this.#overwrites = 0;
      return this.#renewal.confirmed(sent, ttl);
    }
    this.#storeLeaseGone = true;
    this.#inDoubt = true;
  }

  /** Reads our key and draws the conclusion. */
  async #check(signal: AbortSignal): Promise<void> {
    // The first time may be a mistake; a program that goes on is another host with our id, and not to be raced.
    if (this.#overwrites > 0) {
      await this.#clock.sleep(Math.min(REWRITE_CAP, 250 * 2 ** this.#overwrites), signal);
    }
    const lease = this.#lease;
    if (lease === undefined) return;
    const found = await this.#registry.get(lease.key);
    if (found === undefined) return this.#lose(lease, await this.#causeOfEnd());
    if (isLease(found) && !isHeldBy(found, this.#attributes)) return this.#lose(lease, 'taken', found);

    if (isLease(found) && isReservation(found)) {
      if (!isReservation(lease)) await this.#becomeReservation(found);
    } else if (found.modRevision !== lease.modRevision) {
      this.#overwrites++;
      this.#report({ type: 'overwritten', lease, found });
    }
    if (this.#storeLeaseGone && this.#storeLease !== 0n) {
      const sent = this.#clock.monotonic();
      const { id, ttl } = await this.#registry.store.grant(this.#registry.ttl);
      this.#storeLease = id;
      this.#storeLeaseGone = false;
      this.#renewal.confirmed(sent, ttl);
    }
    // A value that is no lease has none of our attributes, so that they are written again.
    const { createRevision, modRevision } = found;
    this.#lease = isLease(found) ? found : { ...lease, attributes: {}, createRevision, modRevision };
  }

  /** A store lease takes its key along; a key that is gone alone was deleted by somebody. */
  async #causeOfEnd(): Promise<LossCause> {
    if (this.#storeLease !== 0n) {
      this.#storeLeaseGone ||= (await this.#registry.store.keepAlive(this.#storeLease)) === undefined;
    }
    return this.#storeLeaseGone ? 'expired' : 'deleted';
  }

  async #becomeReservation(lease: Lease): Promise<void> {
    await this.#revoke();
    this.#storeLease = 0n;
    this.#renewal.stop();
    this.#report({ type: 'reserved', lease });
  }

  /** Makes the value in the store ours, when it is not. */
  async #publish(lease: Lease): Promise<void> {
    if (!this.#isPublished(lease) || lease.storeLease !== this.#storeLease) {
      try {
        const written = await this.#registry.replace(lease, this.#valueOf(lease), this.#storeLease);
        if (!written.ok) {
          this.#inDoubt = true;
          this.#overwrites++;
        } else {
          this.#lease = written.lease;
          this.#report({ type: 'published', lease: written.lease });
        }
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'LEASE_LOST') throw error;
        this.#storeLeaseGone = true;
        this.#inDoubt = true;
      }
    }
    this.#publishState();
  }

  #isPublished(lease: Lease): boolean {
    return bytesEqual(encodeAttributes(this.#valueOf(lease)), encodeAttributes(lease.attributes));
  }

  /** What our lease should say. */
  #valueOf({ attributes: { extra } }: Lease): OwnAttributes {
    return { ...this.#attributes, ...(extra === undefined ? {} : { extra }) };
  }

  async #lose(lease: Lease, cause: LossCause, by?: Lease): Promise<void> {
    if (by !== undefined && by.attributes.hostId === undefined) this.#avoid.add(lease.key);
    await this.#revoke();
    this.#drop();
    this.#trouble = lossTrouble(lease, cause, by);
    this.#publishState();
    this.#report({ type: 'lost', lease, cause, ...(by === undefined ? {} : { by }) });
  }

  #drop(): void {
    this.#lease = undefined;
    this.#storeLease = 0n;
    this.#storeLeaseGone = false;
    this.#renewal.stop();
  }

  /** What nobody uses any more ends by itself too; this only tidies up earlier. */
  async #revoke(): Promise<void> {
    if (this.#storeLease === 0n || this.#storeLeaseGone) return;
    await this.#registry.store.revoke(this.#storeLease).catch(() => undefined);
  }

  /** Returns when a subnet may be free, when something else is wanted, or when a minute is over. */
  async #untilFreed(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const watching = watchFreed(this.#registry, either, () => this.#bell.ring());
    await this.#bell.pause(FULL_RECHECK);
    stop.abort();
    await watching;
  }

  async #watchKey(key: string): Promise<void> {
    if (this.#watch?.key === key) return;
    await this.#watch?.[Symbol.asyncDispose]();
    this.#watch = new KeyWatch(this.#registry, key, {
      seen: revision => {
        if (revision === this.#lease?.modRevision) return;
        this.#inDoubt = true;
        this.#bell.ring();
      },
      resumed: () => this.#bell.ring(),
    });
  }

  #fail(error: StoreError): void {
    this.#trouble = storeTrouble(error);
    const first = !this.#failing;
    this.#failing = true;
    const before = this.state.value.ownership;
    this.#publishState();
    if (first) this.#report({ type: 'store-failed', error });
    if (this.#lease !== undefined && before === 'held' && this.state.value.ownership === 'unconfirmed') {
      this.#report({ type: 'unconfirmed', lease: this.#lease });
    }
  }

  #succeed(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#publishState();
    this.#report({ type: 'store-recovered' });
  }

  #publishState(): void {
    if (this.#lease !== undefined && !this.#failing) this.#trouble = undefined;
    this.state.set(this.#describe());
  }

  #describe(): HolderState {
    const lease = this.#lease;
    const { deadline } = this.#renewal;
    const late = deadline !== undefined && this.#clock.monotonic() >= deadline;
    return {
      ...(lease && {
        lease,
        ownership: this.#seeking || late ? 'unconfirmed' : 'held',
        published: this.#isPublished(lease),
      }),
      ...(deadline !== undefined && { deadline }),
      ...(this.#trouble && { trouble: this.#trouble }),
    };
  }
}
