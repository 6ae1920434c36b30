/**
 * What this host should have and what its kernel is known to have: links, addresses and sysctls (host.ts), and for each
 * link the entries of the peers' paths (link-entries.ts). When to read and to write is decided in open-data-plane.ts.
 */
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import type { DesiredHost, DesiredPeer, PeerPath } from '../desired.ts';
import type { DesiredLink } from '../desired-link.ts';
import { Host, type HostEnvironment } from '../links/host.ts';
import type { LinkReport, PeerReport } from '../report.ts';
import type { EntryReport } from '../tables/table-entry.ts';
import type { Write } from '../tables/write.ts';
import { DesiredPeers } from './desired-peers.ts';
import { LinkEntries } from './link-entries.ts';

export class HostState implements Disposable {
  readonly #environment: HostEnvironment;
  readonly #host: Host;
  readonly #peers = new DesiredPeers();
  readonly #entries = new Map<string, LinkEntries>();
  #desired: DesiredHost = { networks: [], links: [], addresses: [], sysctls: [] };
  /** Links of the host that are desired no more, and may still have entries of ours. */
  readonly #retiring = new Map<string, DesiredLink>();

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#host = new Host(environment);
  }

  setHost(host: DesiredHost): void {
    const names = new Set(host.links.map(({ name }) => name));
    for (const link of this.#desired.links) {
      if (!names.has(link.name)) this.#retire(link);
    }
    const isNew = (name: string) => !this.#desired.links.some(link => link.name === name);
    const added = [...names].filter(isNew);
    this.#desired = host;
    for (const name of added) {
      const former = this.#entries.get(name);
      this.#retiring.delete(name);
      if (former === undefined) this.#entries.set(name, this.#newEntries(name));
      else for (const [peer, path] of this.#peers.over(name)) former.restate(peer, path, undefined);
    }
    this.#host.set(this.#withRetiring());
  }

  /** A link of our own goes with everything on it. From one of the host our entries are removed first. */
  #retire(link: DesiredLink): void {
    if (link.kind === 'existing') {
      this.#entries.get(link.name)?.removeAll();
      this.#retiring.set(link.name, link);
    } else this.#entries.delete(link.name);
  }

  #withRetiring(): DesiredHost {
    if (this.#retiring.size === 0) return this.#desired;
    return { ...this.#desired, links: [...this.#desired.links, ...this.#retiring.values()] };
  }

  /** Forgets links of the host on which nothing of ours is left. */
  #dropRetired(): void {
    if (this.#retiring.size === 0) return;
    for (const name of this.#retiring.keys()) {
      const entries = this.#entries.get(name);
      if (entries?.index !== undefined && !entries.inSync) continue;
      this.#retiring.delete(name);
      this.#entries.delete(name);
    }
    this.#host.set(this.#withRetiring());
  }

  setPeers(peers: Iterable<DesiredPeer>): void {
    const stale = new Set(this.#peers.keys());
    for (const peer of peers) {
      stale.delete(peer.key);
      this.setPeer(peer);
    }
    for (const key of stale) this.removePeer(key);
  }

  setPeer(peer: DesiredPeer): void {
    const changes = this.#peers.set(peer);
    for (const { link, path, before } of changes) {
      const entries = this.#entriesOf(link);
      entries?.restate(peer, path, before);
      if (path === undefined || before !== undefined) continue;
      const former = changes.find(
        other => other.path === undefined && other.before?.subnet.equals(path.subnet),
      );
      const formerEntries = former && this.#entries.get(former.link);
      if (formerEntries !== undefined) entries?.replaceRouteOf(formerEntries, path);
    }
  }

  removePeer(key: string): void {
    const peer = this.#peers.get(key);
    if (peer === undefined) return;
    for (const { link, before } of this.#peers.delete(key)) {
      this.#entriesOf(link)?.restate(peer, undefined, before);
    }
  }

  /** Entries that are wanted. */
  get wanted(): number {
    const others = this.#host.wanted + this.#pathsWithoutLink;
    return this.#entriesList().reduce((sum, entries) => sum + entries.wanted, others);
  }

  /** Of these, how many the kernel refuses, or nobody can program. */
  get failed(): number {
    const others = this.#host.failed + this.#pathsWithoutLink;
    return this.#entriesList().reduce((sum, entries) => sum + entries.failed, others);
  }

  get inSync(): boolean {
    const isComplete = this.#host.inSync && this.#pathsWithoutLink === 0;
    return isComplete && this.#entriesList().every(entries => entries.inSync);
  }

  /** Whether there is something to do now. */
  isDue(): boolean {
    return this.#host.isDue() || this.#entriesList().some(entries => entries.isDue());
  }

  /** Whether a device itself has to be seen to before anything else. */
  isHostDue(): boolean {
    return this.#host.isDue();
  }

  /** When something refused is to be tried again, on the monotonic clock. */
  get nextRetry(): number | undefined {
    const times = [this.#host, ...this.#entriesList()].map(({ nextRetry }) => nextRetry);
    return times.reduce(
      (first, time) => (first === undefined || (time !== undefined && time < first) ? time : first),
      undefined,
    );
  }

  /** Refusals, in words. */
  *failures(): Generator<string> {
    yield* this.#host.failures();
    for (const [link] of this.#peers.links()) {
      if (this.#isDesired(link)) continue;
      for (const [{ key }, path] of this.#peers.over(link)) yield `peer ${key}: ${noLink(path)}`;
    }
    for (const entries of this.#entries.values()) yield* entries.failures();
  }

  links(): LinkReport[] {
    return this.#host.report();
  }

  /** undefined for a key that is not stated. */
  peerReport(key: string): PeerReport | undefined {
    const peer = this.#peers.get(key);
    if (peer === undefined) return undefined;
    const entries = peer.paths.flatMap(path => this.#inspect(peer, path));
    const waiting = this.#host
      .report()
      .find(({ name, inSync }) => !inSync && peer.paths.some(({ link }) => link === name));
    const failed = entries.find(({ state }) => state === 'failed');
    const isOk = entries.length > 0 && entries.every(({ state }) => state === 'ok') && waiting === undefined;
    const reason =
      waiting === undefined ? failed?.reason : `${waiting.name}: ${waiting.reason ?? 'not there yet'}`;
    return {
      key,
      state: failed !== undefined ? 'failed' : isOk || peer.paths.length === 0 ? 'ok' : 'pending',
      desired: entries.map(({ desired }) => desired),
      actual: entries.map(({ actual }) => actual).filter(actual => actual !== undefined),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /** Takes an event. True when it contradicts what is known. */
  observe(event: KernelEvent): boolean {
    let matters = this.#host.observe(event);
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
    for (const entries of this.#entries.values()) entries.markStale(reason, eventsLost);
  }

  /** Makes the devices as they are wanted; what cannot be done is in `failures`. */
  async ensure(): Promise<void> {
    const bound = new Map((await this.#host.ensure()).map(link => [link.name, link]));
    for (const [name, entries] of this.#entries) {
      const link = bound.get(name);
      if (link === undefined) entries.unbind();
      else if (entries.index !== link.index) entries.bind(link);
      else if (!link.entriesLost) continue;
      // Its loss of entries is reported as drift, as nothing was repaired about the link itself.
      else if (link.desired.kind === 'existing') entries.markStale(`${name} changed`);
      else entries.bind(link);
    }
  }

  /** Tunnels whose tables are to be compared with the kernel's. */
  stale(): LinkEntries[] {
    return this.#entriesList().filter(entries => entries.staleReason !== undefined);
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
  }

  #inspect(peer: DesiredPeer, path: PeerPath): EntryReport[] {
    const entries = this.#entriesOf(path.link);
    if (entries !== undefined) return entries.inspect(peer, path);
    return [{ desired: `path ${path.subnet} dev ${path.link}`, state: 'failed', reason: noLink(path) }];
  }

  #isDesired(name: string): boolean {
    return this.#entries.has(name) && !this.#retiring.has(name);
  }

  /** Entries of a desired link. */
  #entriesOf(name: string): LinkEntries | undefined {
    return this.#retiring.has(name) ? undefined : this.#entries.get(name);
  }

  /** Paths that nobody can program. */
  get #pathsWithoutLink(): number {
    let sum = 0;
    for (const [link, count] of this.#peers.links()) if (!this.#isDesired(link)) sum += count;
    return sum;
  }

  #entriesList(): LinkEntries[] {
    return [...this.#entries.values()];
  }

  #newEntries(name: string): LinkEntries {
    return new LinkEntries({
      name,
      peers: () => (this.#isDesired(name) ? this.#peers.over(name) : []),
      environment: this.#environment,
    });
  }
}

const noLink = ({ subnet, link }: PeerPath) =>
  `${subnet} cannot be routed over ${link}, which is no desired link`;
