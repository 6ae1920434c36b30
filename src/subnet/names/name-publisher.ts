/**
 * Publishes how the containers of this host are called, on a store lease that is kept alive here.
 *
 *     const publisher = new NamePublisher(watch, { store, keys, host });
 *     void publisher.run(signal);
 *     publisher.set([{ network: 'blue', ip, names: ['web'] }]);       all of them, each time
 *
 * It is level-triggered: what the store says differs from what was stated, and is written. Until something was stated,
 * what the store has of this host stays, so that a restarted agent takes nothing back before it knows its containers.
 * Nothing of another host is ever overwritten: its names for an address that is used here too are a conflict.
 */
import { together } from '../../base/abort.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { parallel } from '../../base/parallel.ts';
import { remembered } from '../../base/remembered.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { Watchable } from '../../base/watchable.ts';
import { type Store, StoreError } from '../../store/store.ts';
import { KeysLease } from '../publish/keys-lease.ts';
import { publishInTurns } from '../publish/publish-loop.ts';
import type { PublishingHost } from '../publish/stored-json.ts';
import { UndoneWrites } from '../publish/undone-writes.ts';
import { WrittenKeys } from '../publish/written-keys.ts';
import type { NameKeys } from './name-key.ts';
import { encodeNames } from './name-value.ts';
import type { NameWatch, StoredNames } from './name-watch.ts';
import { type NamedAddress, namesToPublish, type OwnNamedAddress } from './names.ts';

/** Of one transaction; etcd takes 128 operations. */
const MOST_IN_BATCH = 60;
/** Transactions at the same time. */
const MOST_IN_FLIGHT = 4;

export interface NamePublisherOptions {
  readonly store: Store;
  readonly keys: NameKeys;
  readonly host: PublishingHost;
  /** Seconds without the host after which the store lets go of its names; a day unless given. */
  readonly ttl?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** Another host has names for an address of this one. */
export interface NameConflict {
  readonly own: NamedAddress;
  readonly owner: NamedAddress;
}

export interface NamePublisherState {
  /** Why something is not published; absent when all is, but for conflicts. */
  readonly failure?: StoreError;
  readonly conflicts: readonly NameConflict[];
  /** Addresses that are published, or are going to be. */
  readonly count: number;
}

/** A key that differs in the store from what it should be. */
interface NameChange {
  readonly key: string;
  /** Undefined: it is to be deleted. */
  readonly value: Uint8Array | undefined;
}

export class NamePublisher {
  readonly state = new Watchable<NamePublisherState>({ conflicts: [], count: 0 });
  readonly #watch: NameWatch;
  readonly #options: NamePublisherOptions;
  readonly #clock: Clock;
  readonly #wakeup: Wakeup;
  readonly #lease: KeysLease;
  readonly #written = new WrittenKeys();
  readonly #undone: UndoneWrites;
  /** By key; undefined until it was stated for the first time. */
  #wanted: ReadonlyMap<string, NamedAddress> | undefined;
  /** Under which key, and as what, an address is published. */
  readonly #published: (own: OwnNamedAddress) => { readonly key: string; readonly address: NamedAddress };
  #isUnknown: (network: string) => boolean = () => true;
  #isSuspended = false;
  #isWithdrawn = false;
  #step: Promise<unknown> = Promise.resolve();

  constructor(watch: NameWatch, options: NamePublisherOptions) {
    const { store, ttl = 86_400, clock = systemClock, random = Math.random } = options;
    this.#watch = watch;
    this.#options = options;
    this.#clock = clock;
    this.#wakeup = new Wakeup(clock);
    this.#lease = new KeysLease(store, { ttl, clock, random });
    this.#undone = new UndoneWrites(clock);
    const { keys, host } = options;
    this.#published = remembered(({ network, ip, names }) => ({
      key: keys.of({ network, ip }),
      address: { network, ip, names: namesToPublish(names), ...host },
    }));
  }

  /** @param named none of them changes. @param isUnknown of which networks is not known yet what is on them: what the store has of this host there stays */
  set(named: readonly OwnNamedAddress[], isUnknown: (network: string) => boolean = () => false): void {
    const wanted = new Map<string, NamedAddress>();
    for (const one of named) {
      const { key, address } = this.#published(one);
      if (address.names.length > 0) wanted.set(key, address);
    }
    this.#wanted = wanted;
    this.#isUnknown = isUnknown;
    this.#tell();
  }

  /** While another host has the identity of this one, all that the store has under it is left to that host. */
  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended;
    this.#tell();
  }

  /** Takes back all that is published, at once; nothing is published any more. @throws StoreError */
  async withdraw(): Promise<void> {
    this.#isWithdrawn = true;
    await this.#step;
    await this.#lease.revoke();
  }

  /** Publishes until `signal` aborts; what is published stays, for as long as the store lease lasts. */
  async run(signal: AbortSignal): Promise<void> {
    const loop = {
      step: async () => {
        const step = this.#compare();
        this.#step = step.catch(() => undefined);
        return step;
      },
      onFailure: (failure: StoreError) => this.state.set({ ...this.state.value, failure }),
      due: () => this.#due,
      lease: this.#lease,
      wakeup: this.#wakeup,
      clock: this.#clock,
      random: this.#options.random,
    };
    await together(
      signal,
      until => this.#watch.version.follow(() => this.#wakeup.wake(), until),
      until => publishInTurns(loop, until),
    );
  }

  /** Whoever asks on this host knows it at once, the store as soon as it answers. */
  #tell(): void {
    const { hostId } = this.#options.host;
    const isUnknown = this.#isSuspended ? () => true : this.#isUnknown;
    if (this.#wanted !== undefined) this.#watch.state({ hostId, named: this.#wanted, isUnknown });
    this.#wakeup.wake();
  }

  get #due(): number {
    return this.#undone.until > this.#clock.monotonic() ? this.#undone.until : Number.POSITIVE_INFINITY;
  }

  /** @returns why something stays unpublished. @throws StoreError */
  async #compare(): Promise<StoreError | undefined> {
    const { revision, stored } = this.#watch;
    const wanted = this.#wanted;
    if (revision === undefined || wanted === undefined || this.#isSuspended || this.#isWithdrawn) return;
    this.#written.sees(revision);
    if (this.#lease.due <= this.#clock.monotonic()) await this.#lease.renew();
    const own = [...stored].filter(([, { named }]) => named.hostId === this.#options.host.hostId);
    if (wanted.size > 0) {
      await this.#lease.ensure([...new Set(own.map(([, { storeLease }]) => storeLease))]);
    }
    const changes: NameChange[] = own.flatMap(([key, present]) =>
      wanted.has(key) ||
      present.isForgotten ||
      this.#written.has(key) ||
      this.#isUnknown(present.named.network)
        ? []
        : [{ key, value: undefined }],
    );
    const conflicts: NameConflict[] = [];
    for (const [key, named] of wanted) {
      const present = stored.get(key);
      const isOther = present !== undefined && present.named.hostId !== named.hostId;
      if (isOther && !present.isForgotten) conflicts.push({ own: named, owner: present.named });
      else if (!this.#written.has(key) && !this.#isPublished(present, named)) {
        changes.push({ key, value: encodeNames(named) });
      }
    }
    const failure = await this.#writeAll(changes);
    this.state.set({ conflicts, count: wanted.size - conflicts.length, ...defined({ failure }) });
    return failure;
  }

  #isPublished(present: StoredNames | undefined, { names, hostName }: NamedAddress): boolean {
    if (present === undefined || present.isForgotten || present.storeLease !== this.#lease.id) return false;
    return present.named.names.join() === names.join() && present.named.hostName === hostName;
  }

  /** @returns what the store does not let this host write, the first of it. @throws StoreError */
  async #writeAll(changes: readonly NameChange[]): Promise<StoreError | undefined> {
    const values = new Map(
      changes.flatMap(({ key, value }) => (value === undefined ? [] : [[key, textOf(value)] as const])),
    );
    const isRepair = [...values].some(([key, value]) => this.#undone.isRepair(key, value));
    if (isRepair && this.#due !== Number.POSITIVE_INFINITY) return undefined;
    const batches: NameChange[][] = [];
    for (let first = 0; first < changes.length; first += MOST_IN_BATCH) {
      batches.push(changes.slice(first, first + MOST_IN_BATCH));
    }
    const refusals: StoreError[] = [];
    await parallel(batches, { limit: MOST_IN_FLIGHT }, batch => this.#write(batch, refusals));
    for (const { key, value } of changes) if (value === undefined) this.#undone.forget(key);
    this.#undone.record(values, isRepair);
    return refusals[0];
  }

  /** One that the store refuses, or that has changed meanwhile, keeps no other from being written. */
  async #write(batch: readonly NameChange[], refusals: StoreError[]): Promise<void> {
    try {
      const { ok, revision } = await this.#options.store.transact({
        compare: batch.map(({ key }) => ({
          key,
          target: 'mod',
          is: '=',
          operand: this.#watch.revisionOf(key),
        })),
        success: batch.map(({ key, value }) =>
          value === undefined
            ? ({ op: 'delete', key } as const)
            : ({ op: 'put', key, value, lease: this.#lease.id } as const),
        ),
      });
      if (ok) {
        for (const { key } of batch) this.#written.note(key, revision);
        return;
      }
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'FORBIDDEN') throw error;
      if (batch.length === 1) refusals.push(error);
    }
    // What has changed meanwhile is compared again when the watch says how.
    if (batch.length > 1) for (const one of batch) await this.#write([one], refusals);
  }
}

const textOf = (value: Uint8Array) => Buffer.from(value).toString('latin1');
