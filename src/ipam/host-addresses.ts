/**
 * The addresses that containers of this host get on L2 networks.
 *
 *     const addresses = new HostAddresses({ registry, watch, presence, directory, host });
 *     void addresses.run(signal);
 *     await addresses.connect('blue', { container: 'web', mac });      the next free one of this host's ranges
 *     await addresses.connect('blue', { container: 'db', mac, ips });  these
 *     await addresses.disconnect('blue', 'web');
 *
 * Each host gives out addresses of its own ranges, so that it needs nobody for that: cut off from the store it goes on,
 * and publishes later. A further range is leased when all are full. A host keeps its ranges until it leaves (`leave`): they
 * are without expiry, and only an administrator takes them from a host that will not come back
 * (`tulle network release`).
 */
import { together } from '../base/abort.ts';
import type { Family, Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import { StoreError } from '../store/store.ts';
import type { SegmentSnapshot } from '../subnet/segment/segment.ts';
import { notFound } from '../subnet/segment/segment-registry.ts';
import type { GivenAddress } from './address-book.ts';
import type { ReserveRequest } from './choose-address.ts';
import type { Connection, ConnectRequest, HostAddressesOptions } from './connection.ts';
import { SegmentAddresses } from './segment-addresses.ts';

export class HostAddresses {
  readonly #options: HostAddressesOptions;
  /** By id of the network. */
  readonly #networks = new Map<string, SegmentAddresses>();
  /** Ids of networks that this host has left; what the store still has of it is about to go. */
  readonly #left = new Set<string>();
  /** One change after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: HostAddressesOptions) {
    this.#options = options;
  }

  /** Follows the networks until `signal` aborts: what the last run gave out is published, what is gone is forgotten. */
  async run(signal: AbortSignal): Promise<void> {
    const { watch } = this.#options;
    const follow = async (changes: AsyncIterable<unknown>) => {
      for await (const _ of changes) await this.#alone(() => this.#settleAll());
    };
    await together(
      signal,
      until => follow(watch.changes(until)),
      until => follow(watch.isConnected.changes(until)),
    );
    await this.#alone(async () => {
      for (const network of this.#networks.values()) await network.close();
    });
  }

  /**
   * Gives a container its addresses, one of each family of the network; one that has some already keeps them.
   *
   * @throws IpamError; SegmentError DUPLICATE_ADDRESS with the owner of an address that was asked for, NOT_FOUND,
   * EXHAUSTED_RANGES; StoreError when the store refuses, or is away and needed
   */
  async connect(name: string, request: ConnectRequest): Promise<Connection> {
    return this.#alone(async () => {
      const found = this.#found(name);
      return (await this.#open(found)).connect(request, found);
    });
  }

  /** Frees the addresses of a container; none is nothing to do. @throws SegmentError NOT_FOUND */
  async disconnect(name: string, container: string): Promise<readonly Ip[]> {
    return this.#alone(async () => (await this.#open(this.#found(name))).disconnect(container));
  }

  /**
   * Gives an engine an address, which it holds until it releases it. Out of ranges of this host nobody is asked.
   *
   * @throws IpamError; SegmentError DUPLICATE_ADDRESS with the owner, NOT_FOUND, EXHAUSTED_RANGES; StoreError when the
   * store refuses, or is away and needed
   */
  async reserve(name: string, request: ReserveRequest): Promise<Ip> {
    return this.#alone(async () => {
      const found = this.#found(name);
      return (await this.#open(found)).reserve(request, found);
    });
  }

  /** Takes an address back from the engine that holds it; none is nothing to do. @throws SegmentError NOT_FOUND */
  async release(name: string, ip: Ip): Promise<void> {
    await this.#alone(async () => (await this.#open(this.#found(name))).release(ip));
  }

  /** What `tulle network connect` has given out, to be compared with the containers that run. @throws SegmentError NOT_FOUND */
  async given(name: string): Promise<readonly GivenAddress[]> {
    return (await this.#given(name)).filter(({ engine }) => engine === undefined);
  }

  /** What engines hold. @throws SegmentError NOT_FOUND */
  async held(name: string): Promise<readonly GivenAddress[]> {
    return (await this.#given(name)).filter(({ engine }) => engine !== undefined);
  }

  /**
   * The ranges of a family, the first one leased now where there is none: what Docker's own IPAM is given.
   * @throws SegmentError, StoreError
   */
  async ranges(name: string, family: Family): Promise<readonly Prefix[]> {
    return this.#alone(async () => (await this.#open(this.#found(name))).ranges(family));
  }

  /** Gives back all that this host has on any network. @throws StoreError */
  async leaveAll(): Promise<void> {
    for (const name of this.#options.watch.snapshot?.segments.keys() ?? []) await this.leave(name);
  }

  /** Gives back all that this host has on a network. @throws StoreError, SegmentError NOT_FOUND */
  async leave(name: string): Promise<void> {
    await this.#alone(async () => {
      const found = this.#found(name);
      await (await this.#open(found)).leave();
      this.#left.add(found.segment.id);
      this.#networks.delete(found.segment.id);
    });
  }

  /** Who has an address. @throws SegmentError NOT_FOUND */
  async holder(name: string, ip: Ip): Promise<GivenAddress | undefined> {
    return this.#alone(async () => (await this.#open(this.#found(name))).holder(ip));
  }

  async #given(name: string): Promise<readonly GivenAddress[]> {
    return this.#alone(async () => (await this.#open(this.#found(name))).given());
  }

  async #settleAll(): Promise<void> {
    const segments = this.#options.watch.snapshot?.segments;
    if (segments === undefined) return;
    const ids = new Set<string>();
    for (const found of segments.values()) {
      ids.add(found.segment.id);
      if (!this.#left.has(found.segment.id)) await (await this.#open(found)).settle(found);
    }
    for (const [id, network] of this.#networks) {
      if (ids.has(id)) continue;
      this.#networks.delete(id);
      await network.forget();
    }
    for (const id of this.#left) if (!ids.has(id)) this.#left.delete(id);
  }

  async #open(found: SegmentSnapshot): Promise<SegmentAddresses> {
    const { id } = found.segment;
    const present = this.#networks.get(id);
    if (present !== undefined) return present;
    const network = await SegmentAddresses.open(this.#options, found.segment);
    this.#networks.set(id, network);
    this.#left.delete(id);
    await network.settle(found);
    return network;
  }

  /** @throws SegmentError NOT_FOUND; StoreError before the store has answered for the first time */
  #found(name: string): SegmentSnapshot {
    const { snapshot } = this.#options.watch;
    if (snapshot === undefined) throw new StoreError('UNAVAILABLE', 'the store has not answered yet');
    const found = snapshot.segments.get(name);
    if (found === undefined) throw notFound(name);
    return found;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
