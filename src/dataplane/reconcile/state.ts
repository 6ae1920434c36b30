/**
 * What this host should have and what it is known to have: links, addresses and sysctls (host.ts), programs at links
 * (programs.ts), and for each link the entries of the paths over it (link-entries.ts), which all networks share. When to
 * read and to write is decided in open-data-plane.ts.
 */
import type { Change } from '../../netlink/protocol.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import type { DesiredHost, DesiredPeer } from '../desired.ts';
import { Host, type HostEnvironment } from '../links/host.ts';
import type { LinkSpec } from '../links/host-link.ts';
import { Programs } from '../links/programs.ts';
import type { ProgramStore } from '../programs.ts';
import type { Entry } from '../tables/entry.ts';
import type { RouteEntry } from '../tables/routes.ts';
import type { StoreLoss, TableStore, TableStores } from '../tables/store.ts';
import type { TableWriter, Write } from '../tables/write.ts';
import type { PathChange } from './desired-peers.ts';
import { EntryOwners } from './entry-owners.ts';
import { HostReport } from './host-report.ts';
import { LinkEntries } from './link-entries.ts';
import { LinkNames } from './link-names.ts';
import { type AssignedLink, assignLinks, DesiredNetwork, pathsOf } from './networks.ts';

export interface HostStateOptions extends HostEnvironment {
  readonly stores: TableStores;
  readonly programs: ProgramStore | undefined;
}

export class HostState implements Disposable {
  /** Sends what is for the kernel. */
  readonly netlinkWriter: TableWriter<Change>;
  readonly #options: HostStateOptions;
  readonly #host: Host;
  /** What is reported of it. */
  readonly report: HostReport;
  readonly #networks = new Map<string, DesiredNetwork>();
  readonly #names = new LinkNames();
  readonly programs: Programs;
  #nextRank = 0;
  /** The links that networks have, by name. */
  #links: ReadonlyMap<string, AssignedLink> = new Map();
  readonly #entries = new Map<string, LinkEntries>();
  /** Links of the host that are desired no more, and may still have entries of ours. */
  readonly #retiring = new Map<string, LinkSpec>();
  readonly #routeOwners = new EntryOwners<RouteEntry>(true);
  readonly #watches: readonly Disposable[];

  constructor(options: HostStateOptions) {
    this.#options = options;
    this.#host = new Host(options);
    this.programs = new Programs({ ...options, names: this.#names });
    this.report = new HostReport({
      host: this.#host,
      programs: this.programs,
      networks: this.#networks,
      entries: this.#entries,
      links: () => this.#links,
    });
    this.netlinkWriter = { write: changes => options.rtnetlink.apply(changes) };
    this.#watches = Object.entries(options.stores).map(([kind, store]: [string, TableStore<Entry>]) =>
      store.watch(loss => this.#lost(kind, loss)),
    );
  }

  /** In the order in which they began. */
  get networks(): Iterable<DesiredNetwork> {
    return this.#networks.values();
  }

  /** The network of this name, which begins to exist with the first call. */
  network(name: string): DesiredNetwork {
    let network = this.#networks.get(name);
    if (network === undefined) {
      network = new DesiredNetwork(name, this.#nextRank++);
      this.#networks.set(name, network);
    }
    return network;
  }

  removeNetwork(network: DesiredNetwork): void {
    this.setPeers(network, []);
    this.#networks.delete(network.name);
    this.#assign();
    this.programs.set([...this.networks]);
  }

  setHost(network: DesiredNetwork, host: DesiredHost): void {
    const haveChanged = host.programs !== network.host.programs;
    network.host = host;
    this.#assign();
    if (haveChanged) this.programs.set([...this.networks]);
  }

  setPeers(network: DesiredNetwork, peers: Iterable<DesiredPeer>): void {
    const stale = new Set(network.peers.keys());
    for (const peer of peers) {
      stale.delete(peer.key);
      this.setPeer(network, peer);
    }
    for (const key of stale) this.removePeer(network, key);
  }

  setPeer(network: DesiredNetwork, peer: DesiredPeer): void {
    this.#restate(network, peer, network.peers.set(peer));
  }

  removePeer(network: DesiredNetwork, key: string): void {
    const peer = network.peers.get(key);
    if (peer !== undefined) this.#restate(network, peer, network.peers.delete(key));
  }

  /** Whether there is something to do now. */
  isDue(): boolean {
    return (
      this.#host.isDue() || this.programs.isDue() || this.#entriesList().some(entries => entries.isDue())
    );
  }

  /** Whether a device itself has to be seen to before anything else. */
  isHostDue(): boolean {
    return this.#host.isDue();
  }

  /** When something refused is to be tried again, on the monotonic clock. */
  get nextRetry(): number | undefined {
    const times = [this.#host, this.programs, ...this.#entriesList()].map(({ nextRetry }) => nextRetry);
    return times.reduce(
      (first, time) => (first === undefined || (time !== undefined && time < first) ? time : first),
      undefined,
    );
  }

  /** Takes an event. True when it contradicts what is known. */
  observe(event: KernelEvent): boolean {
    this.#names.observe(event);
    const concernsPrograms = this.programs.observe(event);
    let matters = this.#host.observe(event) || concernsPrograms;
    for (const entries of this.#entries.values()) if (entries.observe(event)) matters = true;
    return matters;
  }

  /** Compares the pending events with what is known. The socket of the announcements must have been read empty after the last acknowledgement. */
  processPending(): void {
    this.#host.processPending();
    for (const entries of this.#entries.values()) entries.processPending();
    this.#dropRetired();
  }

  /** Everything is to be read again. @param eventsLost announcements were lost. */
  markStale(reason: string, eventsLost: boolean): void {
    this.#host.markStale();
    this.programs.markStale();
    if (eventsLost) this.#names.markStale();
    for (const entries of this.#entries.values()) entries.markAllStale(reason, eventsLost);
  }

  /** Makes the devices as they are wanted; what cannot be done is in `failures`. */
  async ensure(): Promise<void> {
    await this.#names.refresh(this.#options.rtnetlink);
    const bound = new Map((await this.#host.ensure()).map(link => [link.name, link]));
    // What we have made ourselves no event says.
    for (const { name, index } of bound.values()) {
      if (this.#names.set(index, name)) this.programs.found(name, index);
    }
    for (const [name, entries] of this.#entries) {
      const link = bound.get(name);
      if (link === undefined) entries.unbind();
      else if (!entries.isBoundTo(link)) entries.bind(link);
      else if (!link.entriesLost) continue;
      // Its loss of entries is reported as drift, as nothing was repaired about the link itself.
      else if (link.desired.kind === 'existing') entries.markStale(`${name} changed`);
      else entries.bind(link);
    }
  }

  /** Makes the programs at links as they are wanted; what cannot be done is in `failures`. */
  async ensurePrograms(): Promise<void> {
    if (!this.programs.isDue()) return;
    await this.#names.refresh(this.#options.rtnetlink);
    await this.programs.ensure();
  }

  /** Links with tables that are to be compared with what there is. */
  stale(): LinkEntries[] {
    return this.#entriesList().filter(entries => entries.isStale);
  }

  /** States the entries of the paths that were stated. */
  async stateAll(): Promise<void> {
    for (const entries of this.#entries.values()) await entries.stateAll();
  }

  /** What there is to write, additions before removals, each part looked for when its turn has come. */
  *writes(): Generator<Iterable<Write>> {
    for (const entries of this.#entries.values()) yield* entries.additions();
    for (const entries of this.#entries.values()) yield* entries.removals();
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
    this.programs[Symbol.dispose]();
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** Networks want other links, or one of them is new or gone. */
  #assign(): void {
    const before = this.#links;
    const now = assignLinks(this.networks);
    this.#links = now;
    for (const [name, { spec }] of before) {
      const next = now.get(name);
      if (next === undefined) this.#retire(spec);
      else if (isExisting(next.spec) !== isExisting(spec)) this.#forget(name);
    }
    for (const [name, { users }] of now) {
      const entries = this.#entries.get(name) ?? this.#newEntries(name);
      const former = this.#retiring.delete(name) ? [] : (before.get(name)?.users ?? []);
      const gained = users.filter(user => !former.includes(user));
      const lost = former.filter(user => !users.includes(user));
      for (const owned of pathsOf(lost, name))
        entries.restate({ ...owned, path: undefined, before: owned.path });
      for (const owned of pathsOf(gained, name)) entries.restate({ ...owned, before: undefined });
    }
    this.#setLinks();
  }

  #setLinks(): void {
    this.#host.set([...Array.from(this.#links.values(), ({ spec }) => spec), ...this.#retiring.values()]);
  }

  /** A link of our own goes with everything on it. From one of the host our entries are removed first. */
  #retire(spec: LinkSpec): void {
    const { name } = spec.link;
    if (!isExisting(spec)) this.#forget(name);
    else {
      this.#entries.get(name)?.removeAll();
      this.#retiring.set(name, { ...spec, network: undefined });
    }
  }

  #forget(name: string): void {
    this.#entries.get(name)?.forget();
    this.#entries.delete(name);
  }

  /** Forgets links of the host on which nothing of ours is left. */
  #dropRetired(): void {
    if (this.#retiring.size === 0) return;
    for (const name of this.#retiring.keys()) {
      const entries = this.#entries.get(name);
      if (entries?.index !== undefined && !entries.inSync) continue;
      this.#retiring.delete(name);
      this.#forget(name);
    }
    this.#setLinks();
  }

  #restate(network: DesiredNetwork, peer: DesiredPeer, changes: readonly PathChange[]): void {
    for (const { link, path, before } of changes) {
      if (this.#users(link).includes(network)) {
        this.#entries.get(link)?.restate({ network, peer, path, before });
      }
    }
  }

  #users(link: string): readonly DesiredNetwork[] {
    return this.#links.get(link)?.users ?? [];
  }

  #entriesList(): LinkEntries[] {
    return [...this.#entries.values()];
  }

  #newEntries(name: string): LinkEntries {
    const entries = new LinkEntries({
      name,
      paths: () => pathsOf(this.#users(name), name),
      environment: {
        ...this.#options,
        nameOf: index => this.#names.of(index),
        netlinkWriter: this.netlinkWriter,
        routeOwners: this.#routeOwners,
      },
    });
    this.#entries.set(name, entries);
    return entries;
  }

  #lost(kind: string, loss: StoreLoss): void {
    for (const [name, entries] of this.#entries) {
      if (loss.link === undefined || loss.link === name) entries.markStored(kind, loss);
    }
    this.#options.onPossibleChange();
  }
}

const isExisting = ({ link }: LinkSpec) => link.kind === 'existing';
