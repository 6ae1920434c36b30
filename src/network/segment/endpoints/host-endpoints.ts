/**
 * The endpoints of all L2 networks of this host: what is on their bridges is published, what uses an address of another
 * one is reported and kept from other hosts, and what may cross the tunnels is limited.
 *
 *     kernel: links, FDB ──┐                            ┌─> presence (the store)
 *     bridges: ARP, ND ────┼─> SegmentEndpoints (each) ─┼─> guard (nftables)
 *     connect, Docker ─────┘                            └─> warnings
 */
import { together } from '../../../base/abort.ts';
import { backoff, type Clock } from '../../../base/clock.ts';
import { isCode, messageOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';
import { Wakeup } from '../../../base/wakeup.ts';
import type { GuardKeeper } from '../../../firewall/bridge/guard-keeper.ts';
import type { Link } from '../../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../../netlink/route/rtnetlink.ts';
import type { SegmentPresence } from '../../../subnet/segment/presence.ts';
import type { SegmentHost, SegmentSnapshot } from '../../../subnet/segment/segment.ts';
import type { SegmentWatch } from '../../../subnet/segment/segment-watch.ts';
import type { Netns } from '../../../sys/netns.ts';
import type { HealthReporter } from '../../reports.ts';
import { duplicateWarnings } from './duplicate-warning.ts';
import { attachedBy } from './endpoint-alias.ts';
import type { AttachedEndpoint } from './local-endpoints.ts';
import { type Duplicate, SegmentEndpoints } from './segment-endpoints.ts';
import type { SegmentSite } from './segment-site.ts';

export interface HostEndpointsParts {
  readonly host: SegmentHost;
  readonly netns: Netns;
  readonly rtnetlink: Rtnetlink;
  readonly presence: Pick<SegmentPresence, 'setEndpoints' | 'state'>;
  readonly watch: Pick<SegmentWatch, 'snapshot' | 'changes'>;
  readonly guard: Pick<GuardKeeper, 'set'>;
  readonly health: HealthReporter;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds in which further changes are gathered. */
const SETTLE = 5;
const RETRY = { first: 200, cap: 10_000 };

export class HostEndpoints {
  readonly #parts: HostEndpointsParts;
  readonly #wakeup: Wakeup;
  /** By name of the network. */
  #sites: ReadonlyMap<string, SegmentSite> = new Map();
  readonly #open = new Map<string, SegmentEndpoints>();
  /** By index. */
  readonly #links = new Map<number, Link>();
  /** What is being attached, and what Docker says, by name of the network. */
  readonly #reserved = new Map<string, Set<AttachedEndpoint>>();
  readonly #containers = new Map<string, readonly AttachedEndpoint[]>();
  /** By name of the network: what was published last, as text. */
  readonly #published = new Map<string, string>();
  /** How the guard was stated last, as text. */
  #guarded = '';
  /** Links or entries of a bridge may have changed without an announcement. */
  #isStale = true;

  constructor(parts: HostEndpointsParts) {
    this.#parts = parts;
    this.#wakeup = new Wakeup(parts.clock);
  }

  /** States which L2 networks this host has, and where. */
  setSites(sites: readonly SegmentSite[]): void {
    this.#sites = new Map(sites.map(site => [site.segment.name, site]));
    this.#wakeup.wake();
  }

  /** States what Docker has attached to a network. */
  setContainers(name: string, containers: readonly AttachedEndpoint[]): void {
    this.#containers.set(name, containers);
    this.#wakeup.wake();
  }

  /** An endpoint that is being attached counts as attached until this is disposed of. */
  reserve(name: string, endpoints: readonly AttachedEndpoint[]): Disposable {
    const reserved = this.#reserved.get(name) ?? new Set();
    this.#reserved.set(name, reserved);
    for (const endpoint of endpoints) reserved.add(endpoint);
    return {
      [Symbol.dispose]: () => {
        for (const endpoint of endpoints) reserved.delete(endpoint);
        this.#wakeup.wake();
      },
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#wakeup.wake();
    signal.addEventListener('abort', wake, { once: true });
    try {
      await together(
        signal,
        until => this.#followKernel(until),
        until => wakeAt(this.#parts.watch.changes(until), wake),
        until => wakeAt(this.#parts.presence.state.changes(until), wake),
        until => this.#work(until),
      );
    } finally {
      for (const name of this.#open.keys()) this.#close(name);
    }
  }

  async #followKernel(signal: AbortSignal): Promise<void> {
    for await (const event of this.#parts.rtnetlink.watch(['link', 'neighbor'], signal)) this.#take(event);
  }

  #take(event: KernelEvent): void {
    if (event.type === 'fdb') {
      for (const endpoints of this.#open.values()) endpoints.announced(event.entry, event.gone);
    } else if (event.type === 'link') {
      if (event.gone) this.#links.delete(event.link.index);
      else this.#links.set(event.link.index, event.link);
      this.#wakeup.wake();
    } else if (event.type === 'overrun') {
      this.#isStale = true;
      this.#wakeup.wake();
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    while (!signal.aborted) {
      try {
        if (this.#isStale) await this.#readAgain();
        await this.#openSites();
        const due = this.#state();
        delays = backoff(RETRY.first, RETRY.cap);
        await this.#wakeup.pause(due - clock.monotonic());
        await clock.sleep(SETTLE, signal).catch(() => undefined);
      } catch (error) {
        if (signal.aborted) return;
        this.#isStale = true;
        logger.warn({ error: messageOf(error) }, 'endpoints of L2 networks cannot be followed');
        await clock.sleep(delays.next().value, signal).catch(() => undefined);
      }
    }
  }

  async #readAgain(): Promise<void> {
    this.#isStale = false;
    const links = await this.#parts.rtnetlink.links.list();
    this.#links.clear();
    for (const link of links) this.#links.set(link.index, link);
    for (const endpoints of this.#open.values()) await endpoints.readStations();
  }

  /** A bridge that was made anew is another one. */
  async #openSites(): Promise<void> {
    const byName = new Map([...this.#links.values()].map(link => [link.name, link.index]));
    for (const [name, { site, links }] of this.#open) {
      const same = this.#sites.get(name) === site && byName.get(site.bridge) === links.bridge;
      if (!same || byName.get(site.tunnel) !== links.tunnel) this.#close(name);
    }
    for (const [name, site] of this.#sites) {
      const [bridge, tunnel] = [byName.get(site.bridge), byName.get(site.tunnel)];
      if (this.#open.has(name) || bridge === undefined || tunnel === undefined) continue;
      try {
        const endpoints = new SegmentEndpoints({
          ...this.#parts,
          site,
          links: { bridge, tunnel },
          linkName: index => this.#links.get(index)?.name,
          onChange: () => this.#wakeup.wake(),
        });
        this.#open.set(name, endpoints);
        await endpoints.readStations();
      } catch (error) {
        this.#close(name);
        if (!isCode(error, 'ENODEV')) throw error;
      }
    }
  }

  #close(name: string): void {
    this.#open.get(name)?.[Symbol.dispose]();
    this.#open.delete(name);
    this.#published.delete(name);
  }

  /** States what there is now. @returns when there is more to do, on the monotonic clock */
  #state(): number {
    const { watch, presence } = this.#parts;
    const { segments } = watch.snapshot ?? {};
    // What the store has of this host from before must be known first, or it would be released.
    if (segments === undefined) return Number.POSITIVE_INFINITY;
    const duplicates = new Map<string, readonly Duplicate[]>();
    const dues: number[] = [];
    for (const [name, endpoints] of this.#open) {
      const snapshot = segments.get(name);
      if (snapshot === undefined) continue;
      this.#publish(name, endpoints, snapshot);
      dues.push(endpoints.probe());
      duplicates.set(name, endpoints.duplicates(presence.state.value.conflicts));
    }
    this.#guard(segments, duplicates);
    this.#parts.health.warn('endpoints', duplicateWarnings(duplicates));
    return Math.min(...dues);
  }

  #publish(name: string, endpoints: SegmentEndpoints, { segment, endpoints: stored }: SegmentSnapshot): void {
    const { host, presence } = this.#parts;
    endpoints.setAttached(this.#attachedTo(endpoints.site));
    if (!this.#published.has(name)) {
      endpoints.remember([...stored.values()].filter(({ hostId }) => hostId === host.hostId));
    }
    const published = endpoints.published(host);
    const text = JSON.stringify(published);
    if (this.#published.get(name) === text) return;
    this.#published.set(name, text);
    presence.setEndpoints(segment, published);
  }

  #attachedTo({ segment: { name }, bridge }: SegmentSite): readonly AttachedEndpoint[] {
    const links = [...this.#links.values()];
    const index = links.find(link => link.name === bridge)?.index;
    const connected = links
      .filter(({ master }) => master !== undefined && master === index)
      .flatMap(({ alias }) => attachedBy(alias, name));
    return [...(this.#containers.get(name) ?? []), ...connected, ...(this.#reserved.get(name) ?? [])];
  }

  #guard(
    segments: ReadonlyMap<string, SegmentSnapshot>,
    duplicates: ReadonlyMap<string, readonly Duplicate[]>,
  ): void {
    const guards = [...this.#open].map(([name, endpoints]) => {
      const { segment, tunnel, gatewayMac } = endpoints.site;
      const published = [...(segments.get(name)?.endpoints.values() ?? [])];
      const known = [...published, ...endpoints.stations].map(({ mac }) => [mac.key, mac] as const);
      return {
        name,
        tunnelLink: tunnel,
        gateway: { mac: gatewayMac, addresses: segment.gateways },
        floodLimit: segment.floodLimit,
        known: [...new Map(known).values()],
        refused: endpoints.refused(duplicates.get(name) ?? []),
      };
    });
    const text = JSON.stringify(guards);
    if (text !== this.#guarded) this.#parts.guard.set(guards);
    this.#guarded = text;
  }
}

async function wakeAt(changes: AsyncIterable<unknown>, wake: () => void): Promise<void> {
  for await (const _ of changes) wake();
}
