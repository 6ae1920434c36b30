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
 * The loop is level-triggered: an event (a notice about our key, a new configuration, a renewal that is due) only marks
 * what is stale, and one step reads and acts. Failures of the store are retried without end; they change nothing about
 * the lease, except that after its time it counts as unconfirmed.
 */
import { backoff, type Clock, systemClock } from '../../base/clock.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { Watchable } from '../../base/watchable.ts';
import { StoreError } from '../../store/store.ts';
import { type Acquisition, acquire } from '../allocate/acquire.ts';
import type { NetworkConfig } from '../config/config.ts';
import { PATIENCE } from '../lease/claim.ts';
import { isLease, isReservation, type Lease, type LeaseAttributes, type Subnet } from '../lease/lease.ts';
import { KeyWatch, untilFreed } from '../lease/lease-watch.ts';
import type { Registry } from '../registry.ts';
import { ConflictBackoff } from './conflict-backoff.ts';
import { HeldLease } from './held-lease.ts';
import { failureByLoss, type HolderEvent, type HolderState, waitingEvent } from './holder-state.ts';
import { LeaseStatus } from './lease-status.ts';
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

export class LeaseHolder {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #renewal: Renewal;
  readonly #status: LeaseStatus;
  readonly #avoid = new Set<string>();
  readonly #wakeup: Wakeup;
  readonly #conflictBackoff: ConflictBackoff;

  #config: NetworkConfig;
  #attributes: OwnAttributes;
  #previous: Subnet | undefined;

  #held: HeldLease | undefined;
  /** The lease, if any, has to be chosen anew. */
  #seeking = true;
  /** Our key may have changed in the store. */
  #isStale = false;
  #watch: KeyWatch | undefined;

  constructor(registry: Registry, options: HolderOptions) {
    this.#registry = registry;
    this.#clock = options.clock ?? systemClock;
    this.#wakeup = new Wakeup(this.#clock);
    this.#conflictBackoff = new ConflictBackoff(this.#clock);
    this.#random = options.random ?? Math.random;
    this.#renewal = new Renewal({ margin: options.renewMargin ?? 0, random: this.#random });
    this.#config = options.config;
    this.#attributes = options.attributes;
    this.#previous = options.previous ?? options.known?.subnet;
    if (options.known !== undefined) this.#hold(options.known, 0n);
    this.#status = new LeaseStatus({
      look: () =>
        this.#held && {
          lease: this.#held.lease,
          confirmed: !this.#seeking,
          published: this.#held.isPublished(this.#attributes),
        },
      otherWriter: () => this.#conflictBackoff.otherWriter,
      renewal: this.#renewal,
      clock: this.#clock,
      report: options.onEvent ?? (() => undefined),
    });
  }

  get state(): Watchable<HolderState> {
    return this.#status.state;
  }

  /** Another configuration, which may need another subnet, or other attributes to publish. */
  update({
    config = this.#config,
    attributes = this.#attributes,
  }: {
    readonly config?: NetworkConfig;
    readonly attributes?: OwnAttributes;
  }): void {
    // The same values again cause no retry and no new claim.
    if (config === this.#config && attributes === this.#attributes) return;
    if (config !== this.#config) this.#seeking = true;
    this.#config = config;
    this.#attributes = attributes;
    this.#conflictBackoff.reset();
    this.#wakeup.wake();
  }

  /** Another part of the agent has an answer from the store: what failed is tried again at once. */
  storeAnswers(): void {
    this.#wakeup.wake();
  }

  /** Gets the lease and holds it until `signal` aborts. The lease then stays in the store until its time is over. */
  async run(signal: AbortSignal): Promise<void> {
    let delays = backoff(RETRY.first, RETRY.cap, this.#random);
    try {
      while (!signal.aborted) {
        try {
          await this.#step(signal);
          delays = backoff(RETRY.first, RETRY.cap, this.#random);
          this.#status.succeeded();
          await this.#wakeup.pause(this.#nextTime() - this.#clock.monotonic(), signal);
        } catch (error) {
          if (signal.aborted) break;
          if (!(error instanceof StoreError)) throw error;
          this.#status.failed(error);
          const delay = delays.next().value;
          const left = (this.#renewal.deadline ?? Number.POSITIVE_INFINITY) - this.#clock.monotonic();
          await this.#wakeup.pause(left > 0 ? Math.min(delay, left) : delay, signal);
        }
      }
    } finally {
      await this.#watch?.[Symbol.asyncDispose]();
    }
  }

  /** Gives the lease back, after `run` has ended; a reservation stays. @throws StoreError */
  async release(): Promise<Lease | undefined> {
    const lease = this.#held?.lease;
    await this.#held?.giveBack();
    this.#drop();
    this.#status.refresh();
    return lease;
  }

  async #step(signal: AbortSignal): Promise<void> {
    while ((this.#held === undefined || this.#seeking) && !(await this.#acquire(signal))) {
      await untilFreed(this.#registry, this.#wakeup, signal);
      signal.throwIfAborted();
      // A lease under this id that is gone may be back in a moment: its holder lives, and this host is a copy of it.
      if (this.#conflictBackoff.otherWriter !== undefined) await this.#clock.sleep(PATIENCE, signal);
    }
    if (this.#clock.monotonic() >= this.#renewal.due) await this.#renew();
    if (this.#isStale && this.#conflictBackoff.isOver) {
      this.#isStale = false;
      try {
        await this.#look();
      } catch (error) {
        this.#isStale = true;
        throw error;
      }
    }
    if (!this.#isStale) await this.#publish();
    // A change meanwhile does not wait for the next renewal.
    if (this.#held === undefined || this.#seeking) this.#wakeup.wake();
  }

  #nextTime(): number {
    const due = Math.min(this.#renewal.due, this.#conflictBackoff.conflictEnds);
    return this.#isStale ? Math.min(due, this.#conflictBackoff.until) : due;
  }

  /** False when the network is full, or another host has our identity. */
  async #acquire(signal: AbortSignal): Promise<boolean> {
    const applicant = {
      config: this.#config,
      attributes: this.#attributes,
      ...(this.#previous === undefined ? {} : { previous: this.#previous }),
      avoid: this.#avoid,
    };
    const sent = this.#clock.monotonic();
    this.#seeking = false;
    let result: Acquisition;
    try {
      result = await acquire(this.#registry, applicant, signal, this.#clock);
    } catch (error) {
      this.#seeking = true;
      throw error;
    }
    this.#status.succeeded();
    if (result.outcome !== 'acquired') {
      this.#drop();
      this.#seeking = true;
      if (result.outcome === 'conflict')
        this.#conflictBackoff.recordDuplicate(result.lease, result.lease.attributes);
      this.#status.report(...waitingEvent(result));
      return false;
    }
    const { lease, origin } = result;
    this.#conflictBackoff.reset();
    this.#previous = lease.subnet;
    const former = this.#held;
    this.#hold(lease, lease.storeLease);
    if (isReservation(lease)) this.#renewal.stop();
    else this.#renewal.confirmed(sent, this.#registry.ttl);
    await this.#watchKey(lease.key);
    this.#status.report({ type: 'acquired', lease, origin });
    // A store that bounds what one host has would refuse one that has moved often.
    if (former?.storeLease !== lease.storeLease) await former?.revoke();
    return true;
  }

  async #renew(): Promise<void> {
    if ((await this.#held?.renew()) !== true) this.#isStale = true;
    else if (this.#conflictBackoff.otherWriter === undefined) this.#conflictBackoff.reset();
  }

  /** Reads our key again, which may be another host's or gone. */
  async #look(): Promise<void> {
    const held = this.#held;
    const event = await held?.look(this.#attributes);
    if (held === undefined || event === undefined) return;
    const { type, lease } = event;
    if (type === 'claimed' && event.by.hostId === this.#attributes.hostId)
      this.#conflictBackoff.recordDuplicate(lease, event.by);
    else if (type === 'overwritten') this.#conflictBackoff.recordOverwrite(lease, event.found);
    if (type !== 'lost') return this.#status.report(event);

    if (event.by !== undefined && event.by.attributes.hostId === undefined) this.#avoid.add(lease.key);
    await held.revoke();
    this.#drop();
    this.#status.report(event, failureByLoss(event));
  }

  /** Writes our value where the store has another. */
  async #publish(): Promise<void> {
    const held = this.#held;
    if (held?.differsFrom(this.#attributes)) {
      if (await held.publish(this.#attributes)) {
        this.#status.report({ type: 'published', lease: held.lease });
      } else {
        this.#isStale = true;
        this.#wakeup.wake();
      }
    }
    this.#status.refresh();
  }

  #hold(lease: Lease, storeLease: bigint): void {
    const parts = { renewal: this.#renewal, clock: this.#clock };
    this.#held = new HeldLease(this.#registry, lease, storeLease, parts);
  }

  #drop(): void {
    this.#held = undefined;
    this.#renewal.stop();
  }

  async #watchKey(key: string): Promise<void> {
    if (this.#watch?.key === key) return;
    await this.#watch?.[Symbol.asyncDispose]();
    this.#watch = new KeyWatch(this.#registry, key, {
      seen: found => {
        const known = this.#held?.lease;
        if (known === undefined || found?.modRevision === known.modRevision) return;
        this.#isStale = true;
        // A deletion and a claim are no conflict.
        if (found === undefined || (isLease(found) && found.attributes.claim))
          this.#conflictBackoff.interrupt();
        this.#wakeup.wake();
      },
      resumed: () => this.#wakeup.wake(),
    });
  }
}
