/**
 * The endpoints of all L2 networks of this host: what is on their bridges is published, what uses an address of another
 * one is reported and kept from other hosts, and what may cross the tunnels is limited.
 *
 *     kernel: links, FDB ──┐                            ┌─> presence (the store)
 *     bridges: ARP, ND ────┼─> SegmentEndpoints (each) ─┼─> guard (nftables)
 *     connect, Docker ─────┘                            └─> warnings
 */
import { together } from '../../../base/abort.ts';
import { backoff } from '../../../base/clock.ts';
import { isCode, messageOf } from '../../../base/errors.ts';
import { Pace } from '../../../base/pace.ts';
import { Wakeup } from '../../../base/wakeup.ts';
import type { SegmentGuard } from '../../../firewall/bridge/guard-table.ts';
import type { Link } from '../../../netlink/route/objects.ts';
import type { KernelEvent } from '../../../netlink/route/rtnetlink.ts';
import type { SegmentSnapshot } from '../../../subnet/segment/segment.ts';
import { duplicateWarnings } from './duplicate-warning.ts';
import { parseEndpointAlias } from './endpoint-alias.ts';
import { attachedPort, attachedTo, EndpointPorts } from './endpoint-ports.ts';
import type { HostEndpointsParts } from './host-endpoints-parts.ts';
import type { AttachedEndpoint } from './local-endpoints.ts';
import { LostContainers } from './lost-containers.ts';
import { type Duplicate, SegmentEndpoints } from './segment-endpoints.ts';
import { guardOf } from './segment-guard.ts';
import type { SegmentSite } from './segment-site.ts';

/** Milliseconds in which further changes are gathered. */
const SETTLE = 5;
/** Between two writes of addresses that are known: each starts programs, and wakes all who watch rules. */
const KNOWN_INTERVAL = 2000;
const RETRY = { first: 200, cap: 10_000 };

export class HostEndpoints {
  readonly #parts: HostEndpointsParts;
  readonly #wakeup: Wakeup;
  readonly ports: EndpointPorts;
  /** By name of the network. */
  #sites: ReadonlyMap<string, SegmentSite> = new Map();
  readonly #open = new Map<string, SegmentEndpoints>();
  /** By index. */
  readonly #links = new Map<number, Link>();
  /** What is being attached, by name of the host's link. */
  readonly #reserved = new Map<
    string,
    { readonly name: string; readonly endpoints: readonly AttachedEndpoint[] }
  >();
  readonly #lost: LostContainers;
  /** What Docker says, by name of the network. */
  readonly #containers = new Map<string, readonly AttachedEndpoint[]>();
  /** By name of the network: what was published last, as text. */
  readonly #published = new Map<string, string>();
  /** How the guard was stated last, as text. */
  #guarded = '[]';
  /** The same without the addresses that are known, and when. */
  #urgent = '[]';
  #guardedAt = Number.NEGATIVE_INFINITY;
  /** How names were stated last, as text. */
  #named = '';
  /** Links or entries of a bridge may have changed without an announcement. */
  #isStale = true;

  constructor(parts: HostEndpointsParts) {
    this.#parts = parts;
    this.ports = new EndpointPorts(parts.rtnetlink);
    this.#wakeup = new Wakeup(parts.clock);
    this.#lost = new LostContainers((name, container) => parts.addresses.disconnect(name, container));
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

  /** Nothing of a network is freed until this is disposed of: a container is getting an address. */
  hold(name: string): Disposable {
    return this.#lost.hold(name, () => this.#wakeup.wake());
  }

  /** An endpoint counts as attached until its link is there, or this is disposed of. */
  reserve(name: string, hostLink: string, endpoints: readonly AttachedEndpoint[]): Disposable {
    this.#reserved.set(hostLink, { name, endpoints });
    return { [Symbol.dispose]: () => this.#reserved.delete(hostLink) };
  }

  async run(signal: AbortSignal): Promise<void> {
    const wake = () => this.#wakeup.wake();
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
      this.#takeLink(event.link, event.gone);
      this.#wakeup.wake();
    } else if (event.type === 'overrun') {
      this.#isStale = true;
      this.#wakeup.wake();
    }
  }

  #takeLink(link: Link, gone: boolean): void {
    const attached = parseEndpointAlias(link.alias);
    if (gone) {
      this.#links.delete(link.index);
      for (const endpoints of this.#open.values()) endpoints.portDeleted(link.index);
      if (attached !== undefined) this.#lost.add(attached);
    } else {
      this.#links.set(link.index, link);
      const isPort = link.master !== undefined && attachedPort(link) !== undefined;
      if (isPort) this.#reserved.delete(link.name);
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    let delays = backoff(RETRY.first, RETRY.cap);
    const pace = new Pace(clock);
    while (!signal.aborted) {
      try {
        pace.begin();
        if (this.#isStale) await this.#readAgain();
        await this.#openSites();
        await this.ports.keep(this.#links.values(), this.#open.values(), name => this.#reserved.has(name));
        await this.#freeLost();
        const due = this.#state();
        delays = backoff(RETRY.first, RETRY.cap);
        await pace.rest(signal);
        await this.#wakeup.pause(due - clock.monotonic(), signal);
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
    for (const link of links) this.#takeLink(link, false);
    for (const endpoints of this.#open.values()) await endpoints.readStations();
  }

  /** A bridge that was made anew is another one. */
  async #openSites(): Promise<void> {
    const { addresses } = this.#parts;
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
        // What was given out and has no link is gone, unless it is being attached.
        this.#lost.add(...(await addresses.given(name)).map(({ container }) => ({ name, container })));
      } catch (error) {
        this.#close(name);
        if (!isCode(error, 'ENODEV')) throw error;
      }
    }
  }

  /** Frees the addresses of containers that have no link, and are not getting one. */
  async #freeLost(): Promise<void> {
    const links = [...this.#links.values()].flatMap(({ alias }) => parseEndpointAlias(alias) ?? []);
    const reserved = [...this.#reserved.values()].flatMap(({ name, endpoints }) =>
      endpoints.map(({ container }) => ({ name, container })),
    );
    // What is given out in a network that is not here is looked at when it is here again.
    await this.#lost.freeAllBut([...links, ...reserved], name => this.#sites.has(name));
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
    const guards: SegmentGuard[] = [];
    const dues: number[] = [];
    for (const [name, endpoints] of this.#open) {
      const snapshot = segments.get(name);
      if (snapshot === undefined) continue;
      // What does not answer is gone, and is not published any more.
      dues.push(endpoints.probe());
      this.#publish(name, endpoints, snapshot);
      endpoints.follow(snapshot);
      const ofSegment = endpoints.duplicates(presence.state.value.conflicts);
      duplicates.set(name, ofSegment);
      guards.push(guardOf(endpoints, snapshot, ofSegment));
    }
    dues.push(this.#guard(guards));
    this.#stateNames(segments.keys());
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

  /** A network without a bridge may have one in a moment: nothing is taken back before. */
  #stateNames(networks: Iterable<string>): void {
    const named = [...this.#open].flatMap(([network, { site }]) =>
      this.#attachedTo(site).flatMap(({ ip, container, isNamed }) =>
        isNamed === true ? [] : [{ network, ip, names: [container] }],
      ),
    );
    const unknown = new Set([...networks].filter(name => !this.#open.has(name)));
    const text = JSON.stringify([named, [...unknown]]);
    if (text !== this.#named) this.#parts.names.set(named, unknown);
    this.#named = text;
  }

  /** @returns when it is to be stated, on the monotonic clock: who is refused at once, who is known after a rest */
  #guard(guards: readonly SegmentGuard[]): number {
    const text = JSON.stringify(guards);
    if (text === this.#guarded) return Number.POSITIVE_INFINITY;
    const urgent = JSON.stringify(guards.map(guard => ({ ...guard, known: [] })));
    const now = this.#parts.clock.monotonic();
    const due = this.#guardedAt + KNOWN_INTERVAL;
    if (urgent === this.#urgent && now < due) return due;
    this.#guarded = text;
    this.#urgent = urgent;
    this.#guardedAt = now;
    this.#parts.guard.set(guards);
    return Number.POSITIVE_INFINITY;
  }

  #attachedTo(site: SegmentSite): readonly AttachedEndpoint[] {
    const { name } = site.segment;
    const reserved = [...this.#reserved.values()].flatMap(one => (one.name === name ? one.endpoints : []));
    const connected = attachedTo([...this.#links.values()], site);
    return [...(this.#containers.get(name) ?? []), ...connected, ...reserved];
  }
}

async function wakeAt(changes: AsyncIterable<unknown>, wake: () => void): Promise<void> {
  for await (const _ of changes) wake();
}
