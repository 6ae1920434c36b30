/** The L2 networks of this host as networks for containers. */
import { formatProblem } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Watchable } from '../../base/watchable.ts';
import type { GivenAddress } from '../../ipam/address-book.ts';
import type { ReserveRequest } from '../../ipam/choose-address.ts';
import { StoreError } from '../../store/store.ts';
import { isSegmentName } from '../../subnet/segment/segment.ts';
import { SegmentError } from '../../subnet/segment/segment-error.ts';
import type { SegmentRegistry } from '../../subnet/segment/segment-registry.ts';
import type { AttachedEndpoint } from '../segment/endpoints/local-endpoints.ts';
import type { SegmentScope } from '../segment/segment-scope.ts';
import type { Segments } from '../segment/segments.ts';
import { AttachmentError, type ContainerNetwork, type NetworkWish } from './attachments.ts';
import type { Deadline } from './deadline.ts';
import { differenceError, differencesFrom, makeSegment } from './make-segment.ts';
import { type NetworkSource, noNetwork, notReady, reservationError } from './network-source.ts';

export interface SegmentNetworksParts {
  readonly segments: Pick<Segments, 'scope' | 'scopes' | 'watch' | 'containers' | 'noUnderlay'>;
  readonly registry: SegmentRegistry;
  /** Grows after every comparison of the data plane with the kernel. */
  readonly rounds: Watchable<number>;
  /** What this host has an address in, or a route to. */
  readonly taken: () => Promise<readonly Prefix[]>;
}

export class SegmentNetworks implements NetworkSource {
  readonly #segments: SegmentNetworksParts['segments'];
  readonly #parts: SegmentNetworksParts;

  constructor(parts: SegmentNetworksParts) {
    this.#parts = parts;
    this.#segments = parts.segments;
  }

  find(name: string): ContainerNetwork | undefined {
    const scope = this.#segments.scope(name);
    return scope && networkOf(scope);
  }

  networks(): readonly ContainerNetwork[] {
    return this.#segments.scopes.flatMap(scope => networkOf(scope) ?? []);
  }

  idOf(name: string): string | undefined {
    return this.#segments.scope(name)?.snapshot.segment.id;
  }

  /** Joins the network of the cluster, or makes it. @throws AttachmentError, StoreError */
  async ensure(wish: NetworkWish, deadline: Deadline): Promise<ContainerNetwork> {
    const { name } = wish;
    const { soon, late } = deadline;
    if (!isSegmentName(name)) throw new AttachmentError('INVALID_WISH', `no network can be called ${name}`);
    const { watch } = this.#segments;
    for await (const snapshot of until(watch.changes(late), late)) {
      const found = snapshot.segments.get(name);
      if (found !== undefined) {
        const differences = differencesFrom(found.segment, wish);
        if (differences.length === 0) return this.#settled(name, deadline);
        throw differenceError(name, differences);
      }
      const isConnected = watch.isConnected.until(Boolean, soon).then(Boolean, () => false);
      if (!(await isConnected)) break;
      // Who made it first, this host or another one, shows with the next state of the store.
      await makeSegment(this.#parts, wish);
    }
    throw new StoreError('UNAVAILABLE', `the store does not answer, and this host knows no network ${name}`);
  }

  /** What stands in its way may stay; without that its bridge is being made. */
  #settled(name: string, { soon, late }: Deadline): Promise<ContainerNetwork> {
    const { obstacle } = this.#segments.scope(name) ?? {};
    const isHindered = obstacle !== undefined || this.#segments.noUnderlay !== undefined;
    return this.ready(name, isHindered ? soon : late);
  }

  async ready(name: string, signal: AbortSignal): Promise<ContainerNetwork> {
    const { rounds } = this.#parts;
    for await (const _ of rounds.changes(signal)) {
      const scope = this.#segments.scope(name);
      if (scope?.bridge !== undefined) return networkOf(scope) as ContainerNetwork;
      const { snapshot } = this.#segments.watch;
      if (snapshot !== undefined && !snapshot.segments.has(name)) throw noNetwork(name);
    }
    throw notReady(name, this.#obstacleTo(name));
  }

  #obstacleTo(name: string): { readonly reason: string; readonly hint: string } {
    const obstacle = this.#segments.scope(name)?.obstacle;
    const hint = 'tulle status shows what is missing; try again when it is there';
    if (obstacle !== undefined) return { reason: formatProblem(obstacle), hint };
    return this.#segments.noUnderlay ?? { reason: 'its bridge is not there yet', hint };
  }

  async reserve(name: string, request: ReserveRequest, signal: AbortSignal): Promise<Ip> {
    // What the last run knew of the store is there in a moment.
    if (this.#segments.watch.snapshot === undefined) await this.#segments.watch.changes(signal).next();
    try {
      return await this.#segments.containers.addresses.reserve(name, request);
    } catch (error) {
      throw reservationError(error);
    }
  }

  async release(name: string, ip: Ip): Promise<void> {
    await unlessNotFound(this.#segments.containers.addresses.release(name, ip));
  }

  async held(name: string): Promise<readonly GivenAddress[]> {
    return (await unlessNotFound(this.#segments.containers.addresses.held(name))) ?? [];
  }

  async holder(name: string, ip: Ip): Promise<GivenAddress | undefined> {
    return unlessNotFound(this.#segments.containers.addresses.holder(name, ip));
  }

  attaching(name: string, hostLink: string, endpoints: readonly AttachedEndpoint[]): Disposable {
    return this.#segments.containers.endpoints.reserve(name, hostLink, endpoints);
  }
}

function networkOf({ plan, snapshot: { segment } }: SegmentScope): ContainerNetwork | undefined {
  if (plan === undefined) return undefined;
  const { name, subnets, gateways, internal } = segment;
  const { mtu, links } = plan;
  return { name, kind: 'segment', subnets, networks: subnets, gateways, internal, bridge: links.bridge, mtu };
}

async function* until<T>(
  changes: AsyncIterable<T | undefined>,
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  for await (const value of changes) {
    if (value !== undefined) yield value;
    if (signal.aborted) return;
  }
}

/** What is gone has nothing to be released. @throws StoreError */
async function unlessNotFound<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof SegmentError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
