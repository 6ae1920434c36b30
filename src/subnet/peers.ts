/**
 * The peers of this host, live from the store. An interruption of the store changes nothing: what is known stays
 * in use, and when contact is back the store says what was missed. Consumers get the newest state, however
 * much happened since they last looked.
 */
import { Latest } from '../base/latest.ts';
import type { StoreError, StoreUpdate } from '../store/store.ts';
import type { Lease, RejectedLease } from './lease.ts';
import { type PeerChanges, type PeerEvent, PeerSet, type Self } from './peer-set.ts';
import type { Registry } from './registry.ts';

export type { PeerChanges, PeerEvent, Self } from './peer-set.ts';

export type TrackerEvent =
  | PeerEvent
  | { readonly type: 'interrupted'; readonly error: StoreError }
  | { readonly type: 'resumed' };

export interface TrackerOptions extends Self {
  /** What is worth telling a person, each thing once. */
  readonly onEvent?: (event: TrackerEvent) => void;
}

export class PeerTracker {
  readonly #registry: Registry;
  readonly #report: (event: TrackerEvent) => void;
  readonly #set: PeerSet;
  readonly #version = new Latest(0);
  #context: Self;
  #isLoaded = false;

  constructor(registry: Registry, options: TrackerOptions) {
    this.#registry = registry;
    this.#report = options.onEvent ?? (() => undefined);
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
    const { store, subnetsPrefix } = this.#registry;
    for await (const update of store.observe(subnetsPrefix, { signal })) this.#take(update);
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

  #take(update: StoreUpdate): void {
    switch (update.type) {
      case 'snapshot':
        this.#set.replace(update.kvs.map(kv => this.#registry.decode(kv)));
        this.#isLoaded = true;
        return this.#changed();
      case 'events':
        for (const event of update.events) {
          if (event.type === 'put') this.#set.put(this.#registry.decode(event.kv));
          else this.#set.delete(this.#registry.keyOf(event.key));
        }
        return this.#changed();
      case 'interrupted':
        return this.#report({ type: 'interrupted', error: update.error });
      case 'resumed':
        return this.#report({ type: 'resumed' });
    }
  }

  #changed(): void {
    this.#version.set(this.#version.value + 1);
  }
}
