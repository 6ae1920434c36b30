/**
 * The peers of this host, live from the store. An interruption of the store changes nothing: what is known stays
 * in use, and when contact is back the store says what was missed. A store that comes back without its data ends no
 * lease either: peers that it does not know any more stay for as long as a lease lasts. Their hosts write them again as
 * soon as they notice; one that is cut off from the store may take hours, and its containers stay reachable meanwhile.
 *
 * Consumers get the newest state, however much happened since they last looked.
 */
import { together } from '../../base/abort.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { Watchable } from '../../base/watchable.ts';
import type { StoreError, StoreEvent, StoreUpdate } from '../../store/store.ts';
import type { Lease, RejectedLease } from '../lease/lease.ts';
import type { Registry } from '../registry.ts';
import { Retention } from '../retention.ts';
import type { PeerChanges, PeerEvent, Self } from './peer-entry.ts';
import type { VtepMacsOf } from './peer-index.ts';
import { PeerSet } from './peer-set.ts';

export type { PeerChanges, PeerEvent, Self } from './peer-entry.ts';

export type TrackerEvent =
  | PeerEvent
  /** No contact to the store, and again when there is another reason for it. */
  | { readonly type: 'interrupted'; readonly error: StoreError }
  | { readonly type: 'resumed' }
  /** The store has lost its history, and with it these peers; they are kept for the time of a lease. */
  | { readonly type: 'forgotten'; readonly keys: readonly string[] };

export interface TrackerOptions extends Self {
  /** Called with each event once. */
  readonly onEvent?: (event: TrackerEvent) => void;
  /** The VTEP MAC addresses of a lease; none unless given. */
  readonly vtepMacsOf?: VtepMacsOf;
  readonly clock?: Clock;
}

export class PeerTracker {
  readonly #registry: Registry;
  readonly #report: (event: TrackerEvent) => void;
  readonly #set: PeerSet;
  readonly #version = new Watchable(0);
  #context: Self;
  #isLoaded = false;
  /** Of what the store has forgotten. */
  readonly #retention: Retention;

  constructor(registry: Registry, options: TrackerOptions) {
    this.#registry = registry;
    this.#retention = new Retention(options.clock ?? systemClock);
    this.#report = options.onEvent ?? (() => undefined);
    this.#context = options;
    this.#set = new PeerSet(options, this.#report, options.vtepMacsOf);
  }

  /** Another configuration, or other attributes of this host. */
  update(change: Partial<Self>): void {
    this.#context = { ...this.#context, ...change };
    this.#set.judge(this.#context);
    this.#changed();
  }

  /** Follows the store until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#follow(until),
      until => this.#retention.run(until, () => this.#giveUp()),
    );
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

  /** Keys of peers that the store has forgotten, and that stay in use. */
  kept(): Iterable<string> {
    return this.#set.kept();
  }

  /** Public addresses that several peers have. */
  sharedAddresses(): ReturnType<PeerSet['sharedAddresses']> {
    return this.#set.sharedAddresses();
  }

  /** Leases of another machine under the id of this host. */
  duplicateIdentities(): ReturnType<PeerSet['duplicateIdentities']> {
    return this.#set.duplicateIdentities();
  }

  /** Leases of others that publish an address of this host. */
  leasesAtOwnAddress(): ReturnType<PeerSet['leasesAtOwnAddress']> {
    return this.#set.leasesAtOwnAddress();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { store, subnetsPrefix } = this.#registry;
    for await (const update of store.observe(subnetsPrefix, { signal })) this.#take(update);
  }

  #giveUp(): void {
    this.#set.forgetKept();
    this.#changed();
  }

  #take(update: StoreUpdate): void {
    switch (update.type) {
      case 'snapshot':
        this.#set.replace(
          update.kvs.map(kv => this.#registry.decode(kv)),
          update,
        );
        if (update.unrelated) this.#noteForgotten();
        this.#isLoaded = true;
        return this.#changed();
      case 'events':
        this.#takeEvents(update.events);
        return this.#changed();
      case 'interrupted':
        return this.#report({ type: 'interrupted', error: update.error });
      case 'resumed':
        return this.#report({ type: 'resumed' });
    }
  }

  /**
   * Only what became of each key counts. What is gone goes first: a host that changes its subnet makes one key and
   * deletes the other in one transaction, and the two may overlap.
   */
  #takeEvents(events: readonly StoreEvent[]): void {
    const last = new Map(events.map(event => [event.type === 'put' ? event.kv.key : event.key, event]));
    for (const [key, { type }] of last) if (type === 'delete') this.#set.delete(this.#registry.keyOf(key));
    for (const event of last.values()) {
      if (event.type === 'put') this.#set.put(this.#registry.decode(event.kv));
    }
  }

  #noteForgotten(): void {
    const keys = [...this.#set.kept()];
    if (keys.length === 0) return;
    this.#retention.begin(this.#registry.ttl);
    this.#report({ type: 'forgotten', keys });
  }

  #changed(): void {
    this.#version.set(this.#version.value + 1);
  }
}
