/**
 * The real data plane: a loop of rounds. A round
 *
 *     listens   to what the kernel has announced, and decides what of it is drift
 *     ensures   that the devices are as wanted (host.ts)
 *     resyncs   the tables of devices about which there is doubt: a dump is compared (tunnel.ts)
 *     programs  every difference, additions before removals, a thousand changes at a time
 *     listens   again, so that its own echo is not taken for news later
 *
 * and is repeated a few times while there is something to do. What remains is tried again later, each entry after a
 * delay of its own. Rounds are started by `apply`, by announcements that contradict what is believed, by retries that
 * are due, and every ten minutes or so by a full comparison: that timer is the only thing an idle data plane has.
 */
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { Pace } from '../base/pace.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/rtnetlink.ts';
import { Alarm } from './alarm.ts';
import type { DataPlane, DataPlaneOptions } from './data-plane.ts';
import type { Desired, DesiredHost, DesiredPeer } from './desired.ts';
import { Hearing } from './hearing.ts';
import { Host } from './host.ts';
import { Journal } from './journal.ts';
import { PeerSet } from './peer-set.ts';
import type { ApplyResult, DataPlaneReport, PeerReport } from './report.ts';
import { Tunnel } from './tunnel.ts';
import type { Write } from './write.ts';

/** Programs the namespace that `options.rtnetlink` is bound to, from now until it is disposed of. */
export function openDataPlane(options: DataPlaneOptions): DataPlane {
  return new KernelDataPlane(options);
}

/** Announcements come in bursts; this long the first one waits for the others. Milliseconds. */
const SETTLE = 20;
/** Announcements may call for this many rounds at once; those that follow are half a second apart. */
const PACE = { burst: 20, interval: 500 };
/** Changes made between two looks at what else there is to do. */
const CHUNK = 1024;
/** A round that always finds more to do is given up, to go on a moment later. */
const PASSES = 4;
const RESYNC_INTERVAL = 600_000;
const MAX_FAILURES = 100;

class KernelDataPlane implements DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #rtnetlink: Rtnetlink;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #host: Host;
  readonly #peers = new PeerSet();
  readonly #tunnels = new Map<string, Tunnel>();
  readonly #stop = new AbortController();
  readonly #alarm: Alarm;
  readonly #hearing: Hearing;
  readonly #journal: Journal;
  readonly #pace: Pace;
  #usesNexthops: boolean | undefined;
  /** Something was noted that contradicts what is believed. */
  #isNoted = false;
  #running: Promise<ApplyResult> | undefined;
  #queued: Promise<ApplyResult> | undefined;
  #resyncReason: string | undefined = 'start';
  #nextResync: number;
  #lastResync: DataPlaneReport['lastResync'];
  #delays: Generator<number, never>;

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    this.#rtnetlink = options.rtnetlink;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    const { logger, onRepair } = options;
    this.#journal = new Journal({ clock: this.#clock, logger, onRepair });
    this.#pace = new Pace(this.#clock, PACE);
    this.#delays = this.#newDelays();
    this.#nextResync = this.#laterResync();
    this.#host = new Host({
      rtnetlink: options.rtnetlink,
      sysctls: options.sysctls,
      clock: this.#clock,
      random: this.#random,
      onRepair: repair => this.#journal.repaired(repair),
      heard: () => this.#hearing.heard(),
      onSuspicion: () => this.#wake(),
    });
    this.#alarm = new Alarm(this.#clock, () => this.#applyAlone());
    this.#hearing = new Hearing({
      rtnetlink: options.rtnetlink,
      clock: this.#clock,
      random: this.#random,
      logger: options.logger,
      onEvent: event => this.#hear(event),
      onMissed: reason => {
        this.#doubtAll(reason);
        this.#wake();
      },
    });
  }

  set({ host, peers }: Desired): void {
    this.setHost(host);
    this.setPeers(peers);
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
    this.#peers.delete(key);
    for (const path of peer.paths) this.#tunnels.get(path.link)?.restate(peer, undefined, path);
  }

  apply(): Promise<ApplyResult> {
    this.#queued ??= this.#enqueue(this.#running);
    return this.#queued;
  }

  resync(reason: string): Promise<ApplyResult> {
    this.#doubtAll(reason);
    return this.apply();
  }

  report(): DataPlaneReport {
    const { driftRepairs, contest, lastError } = this.#journal;
    return {
      inSync: this.#inSync,
      wanted: this.#sum('wanted'),
      failed: this.#sum('failed'),
      writes: this.#rtnetlink.writes,
      driftRepairs,
      links: this.#host.report(),
      ...(this.#lastResync === undefined ? {} : { lastResync: this.#lastResync }),
      ...(contest === undefined ? {} : { contest }),
      ...(lastError === undefined ? {} : { lastError }),
      ...(this.#usesNexthops === undefined ? {} : { nexthopObjects: this.#usesNexthops }),
    };
  }

  peerReport(key: string): PeerReport | undefined {
    const peer = this.#peers.get(key);
    if (peer === undefined) return undefined;
    const stakes = peer.paths.flatMap(path => this.#tunnels.get(path.link)?.inspect(peer, path) ?? []);
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#alarm[Symbol.dispose]();
    this.#host[Symbol.dispose]();
    await Promise.allSettled([this.#hearing[Symbol.asyncDispose](), this.#running, this.#queued]);
    this.#alarm[Symbol.dispose]();
  }

  #sum(what: 'wanted' | 'failed'): number {
    return [...this.#tunnels.values()].reduce((sum, tunnel) => sum + tunnel[what], this.#host[what]);
  }

  get #inSync(): boolean {
    return this.#host.inSync && [...this.#tunnels.values()].every(tunnel => tunnel.inSync);
  }

  async #enqueue(before: Promise<unknown> | undefined): Promise<ApplyResult> {
    await before?.catch(() => undefined);
    this.#running = this.#queued;
    this.#queued = undefined;
    try {
      return await this.#round();
    } catch (error) {
      this.#journal.failed(messageOf(error));
      // Answers may have been lost, and with them what was done.
      this.#doubtAll('a round failed');
      if (!this.#stop.signal.aborted) {
        this.#alarm.atLatest(this.#clock.monotonic() + this.#delays.next().value);
      }
      throw error;
    } finally {
      if (this.#queued === undefined) this.#running = undefined;
    }
  }

  /** A round that nobody waits for; its failure is in the journal, and it is tried again. */
  #applyAlone(): void {
    if (!this.#stop.signal.aborted) this.apply().catch(() => undefined);
  }

  async #round(): Promise<ApplyResult> {
    const started = this.#clock.monotonic();
    const writesBefore = this.#rtnetlink.writes;
    if (started >= this.#nextResync) this.#doubtAll('timer');
    const fullResync = this.#resyncReason;
    const isProvoked = this.#isNoted;
    await this.#listen();
    for (let pass = 0; pass < PASSES; pass++) {
      if (this.#host.isDue()) await this.#ensureHost();
      await this.#resyncDoubted();
      await this.#program();
      await this.#listen();
      if (!this.#hasWork()) break;
    }
    if (fullResync !== undefined) this.#noteResync(started, fullResync);
    const failures = this.#failures();
    if (isProvoked) this.#pace.answered(this.#clock.monotonic() - started);
    this.#journal.endRound(failures[0], this.#sum('failed'), this.#pace.isPressed);
    this.#schedule();
    this.#delays = this.#newDelays();
    const result = { inSync: this.#inSync, writes: this.#rtnetlink.writes - writesBefore, failures };
    this.#options.onRound?.(result);
    return result;
  }

  /** Hears what the kernel has announced until now, and decides what of it is drift. */
  async #listen(): Promise<void> {
    await this.#hearing.heard();
    this.#isNoted = false;
    this.#host.believe();
    for (const tunnel of this.#tunnels.values()) tunnel.believe();
  }

  async #ensureHost(): Promise<void> {
    const bound = new Map((await this.#host.ensure()).map(link => [link.name, link]));
    for (const [name, tunnel] of this.#tunnels) {
      const link = bound.get(name);
      if (link === undefined) tunnel.unbind();
      else if (tunnel.index !== link.index || link.shaken) tunnel.bind(link.index);
    }
  }

  async #resyncDoubted(): Promise<void> {
    const doubted = [...this.#tunnels.values()].filter(tunnel => tunnel.doubted !== undefined);
    if (doubted.length === 0) return;
    this.#usesNexthops ??=
      this.#options.nexthopObjects !== 'never' && (await this.#rtnetlink.nexthops.supported());
    for (const tunnel of doubted) await tunnel.resync(this.#rtnetlink, this.#usesNexthops);
  }

  async #program(): Promise<void> {
    for (const tunnel of this.#tunnels.values()) await tunnel.claim();
    let chunk: Write[] = [];
    for (const writes of this.#writes()) {
      for (const write of writes) {
        chunk.push(write);
        if (chunk.length < CHUNK) continue;
        await this.#send(chunk);
        chunk = [];
        // Before the echo of our own writes fills the socket's buffer, and to stop when the device is gone.
        await this.#listen();
        if (this.#host.isDue()) return;
      }
    }
    if (chunk.length > 0) await this.#send(chunk);
  }

  /** What there is to do, each part looked for when its turn has come. */
  *#writes(): Generator<Iterable<Write>> {
    for (const tunnel of this.#tunnels.values()) yield* tunnel.additions();
    for (const tunnel of this.#tunnels.values()) yield* tunnel.removals();
  }

  async #send(writes: readonly Write[]): Promise<void> {
    const results = await this.#rtnetlink.apply(writes.map(({ change }) => change));
    for (const [index, write] of writes.entries()) write.settle(results[index]);
  }

  #hear(event: KernelEvent): void {
    let matters = this.#host.note(event);
    for (const tunnel of this.#tunnels.values()) if (tunnel.note(event)) matters = true;
    if (matters) this.#wake();
  }

  #wake(): void {
    this.#isNoted = true;
    if (this.#running === undefined) this.#alarm.atLatest(this.#clock.monotonic() + this.#reaction);
  }

  /** Milliseconds to wait before the answer to an announcement. */
  get #reaction(): number {
    return Math.max(SETTLE, this.#pace.delay);
  }

  #schedule(): void {
    const times = [...this.#tunnels.values()].map(tunnel => tunnel.nextRetry);
    times.push(this.#host.nextRetry, this.#nextResync);
    if (this.#isNoted || this.#hasWork()) times.push(this.#clock.monotonic() + this.#reaction);
    // That a contest is over is told by a round.
    if (this.#journal.contest !== undefined) times.push(this.#clock.monotonic() + this.#pace.rest);
    if (this.#stop.signal.aborted) return;
    for (const time of times) if (time !== undefined) this.#alarm.atLatest(time);
  }

  #hasWork(): boolean {
    return this.#host.isDue() || [...this.#tunnels.values()].some(tunnel => tunnel.isDue());
  }

  #doubtAll(reason: string): void {
    this.#resyncReason = reason;
    this.#host.doubt();
    for (const tunnel of this.#tunnels.values()) tunnel.doubt(reason);
  }

  #noteResync(started: number, reason: string): void {
    if (this.#resyncReason === reason) this.#resyncReason = undefined;
    this.#lastResync = { at: this.#clock.now(), ms: this.#clock.monotonic() - started, reason };
    this.#nextResync = this.#laterResync();
  }

  #failures(): string[] {
    const failures: string[] = [];
    for (const source of [this.#host, ...this.#tunnels.values()]) {
      for (const failure of source.failures()) {
        if (failures.length === MAX_FAILURES) return failures;
        failures.push(failure);
      }
    }
    return failures;
  }

  #newTunnel(name: string): Tunnel {
    return new Tunnel({
      name,
      peers: () => this.#peers.over(name),
      environment: {
        clock: this.#clock,
        random: this.#random,
        onRepair: repair => this.#journal.repaired(repair),
      },
    });
  }

  #newDelays(): Generator<number, never> {
    return backoff(500, 30_000, this.#random);
  }

  #laterResync(): number {
    const interval = this.#options.resyncInterval ?? RESYNC_INTERVAL;
    return this.#clock.monotonic() + interval * (0.5 + this.#random() / 2);
  }
}
