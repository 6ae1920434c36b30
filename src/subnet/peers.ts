/**
 * The peers of this host, live from the store. An interruption of the store changes nothing: what is known stays
 * in use, and when contact is back the store says what was missed. Consumers get the newest state, however
 * much happened since they last looked.
 *
 * A store that is behind what it was (restored from a backup, or started empty) has forgotten leases that never
 * ended. Their holders write them again as soon as they notice; until then their peers spare them.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { Latest } from '../base/latest.ts';
import type { Revision, StoreError, StoreUpdate } from '../store/store.ts';
import type { Lease, RejectedLease } from './lease.ts';
import { type PeerChanges, type PeerEvent, PeerSet, type Self } from './peer-set.ts';
import type { Registry } from './registry.ts';

export type { PeerChanges, PeerEvent, Self } from './peer-set.ts';

export type TrackerEvent =
  | PeerEvent
  | { readonly type: 'interrupted'; readonly error: StoreError }
  | { readonly type: 'resumed' }
  /** The store went back in time, and has forgotten these keys; they are spared for a while. */
  | { readonly type: 'forgotten'; readonly keys: readonly string[] };

export interface TrackerOptions extends Self {
  /** What is worth telling a person, each thing once. */
  readonly onEvent?: (event: TrackerEvent) => void;
  readonly clock?: Clock;
}

/** How long, in milliseconds, a peer may take to write its lease again after the store has forgotten it. */
export const SPARE_TIME = 60_000;

export class PeerTracker {
  readonly #registry: Registry;
  readonly #report: (event: TrackerEvent) => void;
  readonly #set: PeerSet;
  readonly #version = new Latest(0);
  readonly #clock: Clock;
  /** Peers in use that the store has forgotten. */
  readonly #spared = new Map<string, Lease>();
  /** When they are given up, on the monotonic clock. */
  readonly #sparedUntil = new Latest<number | undefined>(undefined);
  #revision: Revision = 0n;
  #context: Self;
  #isLoaded = false;

  constructor(registry: Registry, options: TrackerOptions) {
    this.#registry = registry;
    this.#report = options.onEvent ?? (() => undefined);
    this.#clock = options.clock ?? systemClock;
    this.#context = options;
    this.#set = new PeerSet(options, this.#report);
  }

  /** Another configuration, or other attributes of this host. */
  update(change: Partial<Self>): void {
    const { config, self } = { ...this.#context, ...change };
    this.#context = { config, self };
    this.#set.judge(this.#context);
    this.#changed();
  }

  /** Follows the store until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#giveUpSpared(signal)]);
  }

  /**
   * What is different since the last time, for one consumer; first all peers, as soon as they are known, even when
   * there are none. Ends when `signal` aborts.
   */
  async *changes(signal: AbortSignal): AsyncGenerator<PeerChanges, void> {
    let isFirst = true;
    for await (const _ of this.#version.changes(signal)) {
      if (!this.#isLoaded) continue;
      const changes = this.#set.take();
      if (isFirst || changes.changed.length > 0 || changes.removed.length > 0) yield changes;
      isFirst = false;
    }
  }

  peers(): Iterable<Lease> {
    return this.#set.peers();
  }

  /** Keys whose present value is not in use, and why. */
  rejected(): Iterable<RejectedLease> {
    return this.#set.rejected();
  }

  /** Public addresses that several peers have. */
  sharedAddresses(): ReturnType<PeerSet['sharedAddresses']> {
    return this.#set.sharedAddresses();
  }

  /** Leases of others that publish an address of this host. */
  claimsOfOwnAddress(): ReturnType<PeerSet['claimsOfOwnAddress']> {
    return this.#set.claimsOfOwnAddress();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { store, subnetsPrefix } = this.#registry;
    for await (const update of store.observe(subnetsPrefix, { signal })) this.#take(update);
  }

  #take(update: StoreUpdate): void {
    switch (update.type) {
      case 'snapshot':
        this.#takeSnapshot(
          update.kvs.map(kv => this.#registry.decode(kv)),
          update.revision,
        );
        return this.#changed();
      case 'events':
        for (const event of update.events) {
          const key = this.#registry.keyOf(event.type === 'put' ? event.kv.key : event.key);
          this.#spared.delete(key);
          if (event.type === 'put') this.#set.put(this.#registry.decode(event.kv));
          else this.#set.delete(key);
        }
        this.#revision = update.revision;
        return this.#changed();
      case 'interrupted':
        return this.#report({ type: 'interrupted', error: update.error });
      case 'resumed':
        return this.#report({ type: 'resumed' });
    }
  }

  #takeSnapshot(all: readonly (Lease | RejectedLease)[], revision: Revision): void {
    const wentBack = revision < this.#revision;
    this.#revision = revision;
    this.#isLoaded = true;
    for (const { key } of all) this.#spared.delete(key);
    if (wentBack) {
      const found = new Set(all.map(({ key }) => key));
      for (const lease of this.#set.peers()) if (!found.has(lease.key)) this.#spared.set(lease.key, lease);
    }
    if (wentBack && this.#spared.size > 0) {
      this.#sparedUntil.set(this.#clock.monotonic() + SPARE_TIME);
      this.#report({ type: 'forgotten', keys: [...this.#spared.keys()] });
    }
    this.#set.replace([...all, ...this.#spared.values()]);
  }

  async #giveUpSpared(signal: AbortSignal): Promise<void> {
    for await (const until of this.#sparedUntil.changes(signal)) {
      if (until === undefined) continue;
      await this.#clock.sleep(until - this.#clock.monotonic(), signal).catch(() => undefined);
      // The store may have gone back once more meanwhile, which gives everybody more time.
      if (signal.aborted || this.#sparedUntil.value !== until) continue;
      for (const key of this.#spared.keys()) this.#set.delete(key);
      this.#spared.clear();
      this.#changed();
    }
  }

  #changed(): void {
    this.#version.set(this.#version.value + 1);
  }
}
