/**
 * Everything that is wanted of a kernel and believed of it: this host's half (host.ts), and for each of its tunnel
 * devices the entries of its peers (tunnel.ts). It is told what is stated and what the kernel announces; when to read
 * and to write is decided elsewhere.
 */
import type { KernelEvent } from '../netlink/route/rtnetlink.ts';
import type { DesiredHost, DesiredPeer, PeerPath } from './desired.ts';
import { Host, type HostEnvironment } from './host.ts';
import { DesiredPeers } from './peer-set.ts';
import type { LinkReport, PeerReport } from './report.ts';
import type { EntryReport } from './stake.ts';
import { Tunnel } from './tunnel.ts';
import type { Write } from './write.ts';

export class Devices implements Disposable {
  readonly #environment: HostEnvironment;
  readonly #host: Host;
  readonly #peers = new DesiredPeers();
  readonly #tunnels = new Map<string, Tunnel>();

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
    this.#host = new Host(environment);
  }

  setHost(host: DesiredHost): void {
    if (!this.#host.set(host)) return;
    const names = new Set(host.links.map(({ name }) => name));
    for (const name of this.#tunnels.keys()) if (!names.has(name)) this.#tunnels.delete(name);
    for (const name of names) {
      if (!this.#tunnels.has(name)) this.#tunnels.set(name, this.#newTunnel(name));
    }
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
      const tunnel = this.#tunnels.get(link);
      tunnel?.restate(peer, path, before);
      if (path === undefined || before !== undefined) continue;
      const former = changes.find(
        other => other.path === undefined && other.before?.subnet.equals(path.subnet),
      );
      const formerTunnel = former && this.#tunnels.get(former.link);
      if (formerTunnel !== undefined) tunnel?.replaceRouteOf(formerTunnel, path);
    }
  }

  removePeer(key: string): void {
    const peer = this.#peers.get(key);
    if (peer === undefined) return;
    for (const { link, before } of this.#peers.delete(key)) {
      this.#tunnels.get(link)?.restate(peer, undefined, before);
    }
  }

  /** Entries that are wanted. */
  get wanted(): number {
    const others = this.#host.wanted + this.#pathsWithoutLink;
    return this.#tunnelList().reduce((sum, tunnel) => sum + tunnel.wanted, others);
  }

  /** Of these, how many the kernel refuses, or nobody can program. */
  get failed(): number {
    const others = this.#host.failed + this.#pathsWithoutLink;
    return this.#tunnelList().reduce((sum, tunnel) => sum + tunnel.failed, others);
  }

  get inSync(): boolean {
    const isComplete = this.#host.inSync && this.#pathsWithoutLink === 0;
    return isComplete && this.#tunnelList().every(tunnel => tunnel.inSync);
  }

  /** Whether there is something to do now. */
  isDue(): boolean {
    return this.#host.isDue() || this.#tunnelList().some(tunnel => tunnel.isDue());
  }

  /** Whether a device itself has to be seen to before anything else. */
  isHostDue(): boolean {
    return this.#host.isDue();
  }

  /** When something refused is to be tried again, on the monotonic clock. */
  get nextRetry(): number | undefined {
    const times = [this.#host, ...this.#tunnelList()].map(({ nextRetry }) => nextRetry);
    return times.reduce(
      (first, time) => (first === undefined || (time !== undefined && time < first) ? time : first),
      undefined,
    );
  }

  /** Refusals, in words. */
  *failures(): Generator<string> {
    yield* this.#host.failures();
    for (const [link] of this.#peers.links()) {
      if (this.#tunnels.has(link)) continue;
      for (const [{ key }, path] of this.#peers.over(link)) yield `peer ${key}: ${noLink(path)}`;
    }
    for (const tunnel of this.#tunnels.values()) yield* tunnel.failures();
  }

  links(): LinkReport[] {
    return this.#host.report();
  }

  /** undefined for a key that is not stated. */
  peerReport(key: string): PeerReport | undefined {
    const peer = this.#peers.get(key);
    if (peer === undefined) return undefined;
    const stakes = peer.paths.flatMap(path => this.#inspect(peer, path));
    const waiting = this.#host
      .report()
      .find(({ name, inSync }) => !inSync && peer.paths.some(({ link }) => link === name));
    const failed = stakes.find(({ state }) => state === 'failed');
    const isOk = stakes.length > 0 && stakes.every(({ state }) => state === 'ok') && waiting === undefined;
    const reason =
      waiting === undefined ? failed?.reason : `${waiting.name}: ${waiting.reason ?? 'not there yet'}`;
    return {
      key,
      state: failed !== undefined ? 'failed' : isOk || peer.paths.length === 0 ? 'ok' : 'pending',
      desired: stakes.map(({ desired }) => desired),
      actual: stakes.map(({ actual }) => actual).filter(actual => actual !== undefined),
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /** PendingEvents an announcement. True when it contradicts what is believed. */
  note(event: KernelEvent): boolean {
    let matters = this.#host.note(event);
    for (const tunnel of this.#tunnels.values()) if (tunnel.note(event)) matters = true;
    return matters;
  }

  /** Weighs the notes. The socket of the announcements must have been read empty after the last acknowledgement. */
  believe(): void {
    this.#host.believe();
    for (const tunnel of this.#tunnels.values()) tunnel.believe();
  }

  /** Only reading everything can tell what the kernel holds. @param isDeaf announcements were lost. */
  doubt(reason: string, eventsLost: boolean): void {
    this.#host.doubt();
    for (const tunnel of this.#tunnels.values()) tunnel.doubt(reason, eventsLost);
  }

  /** Makes the devices as they are wanted; what cannot be done is in `failures`. */
  async ensure(): Promise<void> {
    const bound = new Map((await this.#host.ensure()).map(link => [link.name, link]));
    for (const [name, tunnel] of this.#tunnels) {
      const link = bound.get(name);
      if (link === undefined) tunnel.unbind();
      else if (tunnel.index !== link.index || link.shaken) tunnel.bind(link.index);
    }
  }

  /** Tunnels whose tables are to be compared with the kernel's. */
  doubted(): Tunnel[] {
    return this.#tunnelList().filter(tunnel => tunnel.doubted !== undefined);
  }

  /** EntryOwners the entries of what was stated. */
  async owner(): Promise<void> {
    for (const tunnel of this.#tunnels.values()) await tunnel.owner();
  }

  /** What there is to write, additions before removals, each part looked for when its turn has come. */
  *writes(): Generator<Iterable<Write>> {
    for (const tunnel of this.#tunnels.values()) yield* tunnel.additions();
    for (const tunnel of this.#tunnels.values()) yield* tunnel.removals();
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#host[Symbol.dispose]();
  }

  #inspect(peer: DesiredPeer, path: PeerPath): EntryReport[] {
    const tunnel = this.#tunnels.get(path.link);
    if (tunnel !== undefined) return tunnel.inspect(peer, path);
    return [{ desired: `path ${path.subnet} dev ${path.link}`, state: 'failed', reason: noLink(path) }];
  }

  /** Paths that nobody can program. */
  get #pathsWithoutLink(): number {
    let sum = 0;
    for (const [link, count] of this.#peers.links()) if (!this.#tunnels.has(link)) sum += count;
    return sum;
  }

  #tunnelList(): Tunnel[] {
    return [...this.#tunnels.values()];
  }

  #newTunnel(name: string): Tunnel {
    return new Tunnel({ name, peers: () => this.#peers.over(name), environment: this.#environment });
  }
}

const noLink = ({ subnet, link }: PeerPath) =>
  `${subnet} cannot be routed over ${link}, which is no desired link`;
