/**
 * Publishes what this host has on the L2 networks: that it is a member, and the addresses of its containers, all of them
 * on one store lease that is kept alive here.
 *
 *     const presence = new SegmentPresence(registry, watch, { hostId });
 *     void presence.run(signal);
 *     presence.setMember(blue, { hostId, addresses, mac });     null: nothing is on the bridge any more
 *     presence.setEndpoints(blue, [...]);                       all that is seen on the bridge, each time it changes
 *     await presence.add(blue, [...]);                          what was given: refused when another container has it
 *     presence.remove(blue, ip);
 *
 * It is level-triggered: what the store says differs from what is wanted, and is written. So a store that was away, that
 * lost its data or the lease, and a key that was deleted by hand, are all the same. Conflicts that show only then (the
 * address was given out here while this host was cut off) are reported, and stay until one of the two is gone.
 */
import { together } from '../../base/abort.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { Watchable } from '../../base/watchable.ts';
import type { StoreError } from '../../store/store.ts';
import { COPIED_DISK } from '../holder/holder-state.ts';
import { KeysLease } from '../publish/keys-lease.ts';
import { publishInTurns } from '../publish/publish-loop.ts';
import {
  allWanted,
  type EndpointConflict,
  findSegment,
  mapOf,
  NOTHING_WANTED,
  nameOfConflict,
  type WantedPresence,
} from './presence-plan.ts';
import { SegmentPublisher } from './publisher.ts';
import type { Segment, SegmentEndpoint, SegmentMember, SegmentSnapshot } from './segment.ts';
import { SegmentError } from './segment-error.ts';
import { duplicateAddress, notFound, type SegmentRegistry } from './segment-registry.ts';
import type { SegmentWatch } from './segment-watch.ts';

export interface PresenceState {
  /** Why something is not published; absent when all is, but for conflicts. */
  readonly failure?: StoreError;
  readonly conflicts: readonly EndpointConflict[];
}

export interface PresenceOptions {
  readonly hostId: string;
  /** Seconds without the host after which the store lets go of what it has; a day unless given. */
  readonly ttl?: number;
  /** Called once for each conflict. */
  readonly onConflict?: (conflict: EndpointConflict) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export class SegmentPresence {
  readonly state = new Watchable<PresenceState>({ conflicts: [] });
  readonly #watch: SegmentWatch;
  readonly #options: PresenceOptions;
  readonly #clock: Clock;
  readonly #wakeup: Wakeup;
  readonly #lease: KeysLease;
  readonly #publisher: SegmentPublisher;
  /** By id of the network. */
  readonly #wanted = new Map<string, WantedPresence>();
  #isWithdrawn = false;
  #isSuspended = false;
  /** One write after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(registry: SegmentRegistry, watch: SegmentWatch, options: PresenceOptions) {
    this.#watch = watch;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#wakeup = new Wakeup(this.#clock);
    this.#lease = new KeysLease(registry.store, {
      ttl: options.ttl ?? 86_400,
      clock: this.#clock,
      random: options.random ?? Math.random,
    });
    this.#publisher = new SegmentPublisher(registry, this.#lease, options.hostId, this.#clock);
  }

  setMember(segment: Segment, member: SegmentMember | null): void {
    this.#want(segment, { member });
  }

  /** What is seen of containers on the bridge. What the store has of this host beside all that is wanted is released. */
  setEndpoints(segment: Segment, endpoints: readonly SegmentEndpoint[]): void {
    this.#want(segment, { endpoints: mapOf(endpoints) });
  }

  /** What was given to containers by a former run: as if by `add`, but for conflicts, which are reported. */
  restore(segment: Segment, endpoints: readonly SegmentEndpoint[]): void {
    this.#want(segment, { given: mapOf(endpoints) });
  }

  /**
   * Further addresses of a container: `published`, or `pending` while the store does not answer.
   *
   * @throws SegmentError DUPLICATE_ADDRESS with the owner, NOT_FOUND, NOT_READY; StoreError when it refuses. Nothing is
   *   wanted then
   */
  async add(segment: Segment, endpoints: readonly SegmentEndpoint[]): Promise<'published' | 'pending'> {
    return this.#alone(async () => {
      if (this.#isSuspended) throw isCopied(segment.name);
      const snapshot = this.#watch.snapshot;
      const found = snapshot && findSegment(snapshot, segment);
      if (snapshot !== undefined && found === undefined) throw notFound(segment.name);
      for (const endpoint of endpoints) {
        const owner = this.#ownerOf(segment, found, endpoint);
        if (owner !== undefined) throw duplicateAddress(segment.name, owner);
      }
      const result =
        found === undefined || !this.#watch.isConnected.value
          ? 'pending'
          : await this.#publisher.claimNow(found, endpoints);
      const given = new Map([...(this.#wanted.get(segment.id)?.given ?? []), ...mapOf(endpoints)]);
      this.#want(segment, { given });
      return result;
    });
  }

  remove(segment: Segment, ip: Ip): void {
    const given = new Map(this.#wanted.get(segment.id)?.given);
    if (!given.delete(ip.key)) return;
    this.#want(segment, { given });
  }

  /** Leaves what the store has of a network as it is: this agent has nothing to do with it any more. */
  forget({ id }: Segment): void {
    this.#wanted.delete(id);
  }

  /** Publishes until `signal` aborts; what is published stays, for as long as the store lease lasts. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#wakeAt(this.#watch.changes(until)),
      until => this.#wakeAt(this.#watch.isConnected.changes(until)),
      until => this.#publish(until),
    );
  }

  /** While another host has the identity of this one, all that the store has under it is left to that host. */
  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended;
    this.#wakeup.wake();
  }

  /** Takes back all that is published, at once; nothing is published any more. @throws StoreError */
  async withdraw(): Promise<void> {
    this.#isWithdrawn = true;
    await this.#alone(() => this.#lease.revoke());
  }

  async #wakeAt(changes: AsyncIterable<unknown>): Promise<void> {
    for await (const _ of changes) this.#wakeup.wake();
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const loop = {
      step: async () => {
        const state = await this.#alone(() => this.#step());
        this.#tell(state);
        return state.failure;
      },
      onFailure: (failure: StoreError) => this.#tell({ failure, conflicts: this.state.value.conflicts }),
      due: () => this.#publisher.due,
      lease: this.#lease,
      wakeup: this.#wakeup,
      clock: this.#clock,
      random: this.#options.random,
    };
    await publishInTurns(loop, signal);
  }

  /** @returns what stays unpublished, and why. @throws StoreError */
  async #step(): Promise<PresenceState> {
    const snapshot = this.#watch.snapshot;
    if (snapshot === undefined || this.#isWithdrawn || this.#isSuspended) return { conflicts: [] };
    this.#publisher.sees(snapshot.revision);
    if (this.#lease.due <= this.#clock.monotonic()) await this.#lease.renew();
    const conflicts: EndpointConflict[] = [];
    let failure: StoreError | undefined;
    for (const found of snapshot.segments.values()) {
      const wanted = this.#wanted.get(found.segment.id);
      if (wanted === undefined) continue;
      const left = await this.#publisher.reconcile(found, wanted);
      conflicts.push(...left.conflicts);
      failure ??= left.refusal;
    }
    return { conflicts, ...defined({ failure }) };
  }

  /** Who has an address that a container is to get, as far as this host knows. */
  #ownerOf(
    { id }: Segment,
    found: SegmentSnapshot | undefined,
    { ip, container, hostId }: SegmentEndpoint,
  ): SegmentEndpoint | undefined {
    const wanted = this.#wanted.get(id);
    const own = wanted && allWanted(wanted).get(ip.key);
    if (own !== undefined) return own.container === container ? undefined : own;
    const stored = found?.endpoints.get(ip.key);
    return stored?.hostId === hostId ? undefined : stored;
  }

  #want({ id }: Segment, change: Partial<WantedPresence>): void {
    const before = this.#wanted.get(id) ?? NOTHING_WANTED;
    this.#wanted.set(id, { ...before, ...change });
    this.#wakeup.wake();
  }

  #tell(state: PresenceState): void {
    const known = new Set(this.state.value.conflicts.map(nameOfConflict));
    for (const conflict of state.conflicts) {
      if (!known.has(nameOfConflict(conflict))) this.#options.onConflict?.(conflict);
    }
    this.state.set(state);
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

const isCopied = (name: string) =>
  new SegmentError(
    'NOT_READY',
    `another host has the identity of this one, and with it its addresses of the network ${name}`,
    { hint: COPIED_DISK },
  );
