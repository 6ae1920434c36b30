/**
 * The real data plane: a loop of rounds. A round
 *
 *     listens   to what the kernel has announced, and decides what of it is drift
 *     ensures   that the devices are as wanted (host.ts)
 *     resyncs   the tables of links that are stale: a dump is compared (link-entries.ts)
 *     programs  every difference, additions before removals, a thousand changes at a time
 *     attaches  programs to links, and detaches them (links/programs.ts)
 *     listens   again, so that its own echo is not taken for a foreign change later
 *
 * and is repeated a few times while there is something to do. What remains is tried again later, each entry after a
 * delay of its own. Rounds are started by `apply`, by announcements that contradict what is known, by retries that
 * are due, and every ten minutes or so by a full comparison: that timer is the only thing an idle data plane has.
 */
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/route/rtnetlink.ts';
import type { DataPlane, DataPlaneOptions, NetworkScope } from './data-plane.ts';
import { FullResyncs } from './reconcile/full-resyncs.ts';
import { KernelMonitor } from './reconcile/kernel-monitor.ts';
import { RepairLog } from './reconcile/repair-log.ts';
import { HostState } from './reconcile/state.ts';
import { WakeTimer } from './reconcile/wake-timer.ts';
import type { ApplyResult, DataPlaneReport } from './report.ts';
import { HostNetworkScope } from './scope.ts';
import type { Write } from './tables/write.ts';

/** Programs the namespace that `options.rtnetlink` is bound to, from now until it is disposed of. */
export function openDataPlane(options: DataPlaneOptions): DataPlane {
  return new KernelDataPlane(options);
}

/** Announcements come in bursts; this long the first one waits for the others. Milliseconds. */
const SETTLE = 20;
/** Announcements may call for this many rounds at once; those that follow are half a second apart. */
const ROUND_RATE = { burst: 20, interval: 500 };
/** Changes made between two looks at what else there is to do. */
const CHUNK = 1024;
/** A round that always finds more to do is given up, to go on a moment later. */
const PASSES = 4;

class KernelDataPlane implements DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #rtnetlink: Rtnetlink;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #scopes = new Map<string, NetworkScope>();
  readonly #state: HostState;
  readonly #stop = new AbortController();
  readonly #wakeTimer: WakeTimer;
  readonly #monitor: KernelMonitor;
  readonly #repairLog: RepairLog;
  readonly #resyncs: FullResyncs;
  readonly #bucket: TokenBucket;
  /** Changes that were sent to others than the kernel. */
  #storeWrites = 0;
  #usesNexthops: boolean | undefined;
  /** An event contradicts what is known. */
  #hasPending = false;
  /** The next round was not asked for: it repairs what others have changed. */
  #isReaction = false;
  /** The kernel may have other settings (sysctls) than before the last round. */
  #settingsChanged = true;
  #running: Promise<ApplyResult> | undefined;
  #queued: Promise<ApplyResult> | undefined;
  #delays: Generator<number, never>;

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    this.#rtnetlink = options.rtnetlink;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    const { logger, onRepair } = options;
    this.#repairLog = new RepairLog({ clock: this.#clock, logger, onRepair });
    this.#bucket = new TokenBucket(this.#clock, ROUND_RATE);
    this.#delays = this.#newDelays();
    this.#resyncs = new FullResyncs(this.#clock, this.#random, options.resyncInterval);
    this.#state = new HostState({
      rtnetlink: options.rtnetlink,
      sysctls: options.sysctls,
      stores: options.stores ?? {},
      programs: options.programs,
      clock: this.#clock,
      random: this.#random,
      onRepair: repair => this.#repairLog.repaired(repair),
      caughtUp: () => this.#monitor.caughtUp(),
      onPossibleChange: () => this.#wake(),
    });
    this.#wakeTimer = new WakeTimer(this.#clock, () => this.#applyAlone());
    this.#monitor = new KernelMonitor({
      rtnetlink: options.rtnetlink,
      traffic: options.programs !== undefined,
      clock: this.#clock,
      random: this.#random,
      logger: options.logger,
      onEvent: event => this.#receive(event),
      onMissed: reason => {
        this.#markAllStale(reason, true);
        this.#wake();
      },
    });
  }

  network(name: string): NetworkScope {
    let scope = this.#scopes.get(name);
    if (scope === undefined) {
      const forget = () => this.#scopes.delete(name);
      scope = new HostNetworkScope(this.#state, this.#state.network(name), forget);
      this.#scopes.set(name, scope);
    }
    return scope;
  }

  get networks(): readonly NetworkScope[] {
    return [...this.#scopes.values()];
  }

  apply(): Promise<ApplyResult> {
    this.#queued ??= this.#enqueue(this.#running);
    return this.#queued;
  }

  resync(reason: string): Promise<ApplyResult> {
    this.#markAllStale(reason);
    return this.apply();
  }

  report(): DataPlaneReport {
    const { driftRepairs, conflict, lastError } = this.#repairLog;
    const { last } = this.#resyncs;
    return {
      inSync: this.#state.report.inSync,
      wanted: this.#state.report.wanted,
      failed: this.#state.report.failed,
      writes: this.#writes,
      driftRepairs,
      links: this.#state.report.links(),
      ...(last === undefined ? {} : { lastResync: last }),
      ...(conflict === undefined ? {} : { conflict }),
      ...(lastError === undefined ? {} : { lastError }),
      ...(this.#usesNexthops === undefined ? {} : { nexthopObjects: this.#usesNexthops }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wakeTimer[Symbol.dispose]();
    this.#state[Symbol.dispose]();
    await Promise.allSettled([this.#monitor[Symbol.asyncDispose](), this.#running, this.#queued]);
    this.#wakeTimer[Symbol.dispose]();
  }

  async #enqueue(before: Promise<unknown> | undefined): Promise<ApplyResult> {
    await before?.catch(() => undefined);
    this.#running = this.#queued;
    this.#queued = undefined;
    try {
      return await this.#round();
    } catch (error) {
      this.#repairLog.failed(messageOf(error));
      // Answers may have been lost, and with them what was done.
      this.#markAllStale('a round failed');
      if (!this.#stop.signal.aborted) {
        this.#wakeTimer.atLatest(this.#clock.monotonic() + this.#delays.next().value);
      }
      throw error;
    } finally {
      if (this.#queued === undefined) this.#running = undefined;
    }
  }

  /** A round in the background; its failure is logged, and it is tried again. */
  #applyAlone(): void {
    if (this.#stop.signal.aborted) return;
    // What did not fit into the last round is of our own making.
    this.#isReaction = !this.#state.programs.isUnfinished;
    this.apply().catch(() => undefined);
  }

  async #round(): Promise<ApplyResult> {
    const started = this.#clock.monotonic();
    const writesBefore = this.#writes;
    if (started >= this.#resyncs.next) this.#markAllStale('timer');
    const fullResync = this.#resyncs.reason;
    const isReaction = this.#isReaction;
    this.#isReaction = false;
    await this.#catchUp();
    for (let pass = 0; pass < PASSES; pass++) {
      if (this.#state.isHostDue()) await this.#state.ensure();
      await this.#resyncStale();
      await this.#program();
      await this.#state.ensurePrograms();
      await this.#catchUp();
      if (!this.#state.isDue()) break;
    }
    if (fullResync !== undefined) this.#resyncs.done(started, fullResync);
    const failures = this.#state.report.failures();
    if (isReaction) this.#bucket.take(this.#clock.monotonic() - started, this.#repairLog.hasRepairs);
    this.#repairLog.endRound(failures[0], this.#state.report.failed, this.#bucket.isExhausted);
    this.#schedule();
    this.#delays = this.#newDelays();
    const result = { inSync: this.#state.report.inSync, writes: this.#writes - writesBefore, failures };
    const settingsChanged = this.#settingsChanged;
    this.#settingsChanged = false;
    this.#options.onRound?.(result, settingsChanged);
    return result;
  }

  /** Processes what the kernel has announced until now, and decides what of it is drift. */
  async #catchUp(): Promise<void> {
    await this.#monitor.caughtUp();
    this.#hasPending = false;
    this.#state.processPending();
  }

  async #resyncStale(): Promise<void> {
    const stale = this.#state.stale();
    if (stale.length === 0) return;
    this.#usesNexthops ??=
      this.#options.nexthopObjects !== 'never' && (await this.#rtnetlink.nexthops.supported());
    for (const entries of stale) await entries.resync(this.#rtnetlink, this.#usesNexthops);
  }

  async #program(): Promise<void> {
    await this.#state.stateAll();
    let chunk: Write[] = [];
    for (const writes of this.#state.writes()) {
      for (const write of writes) {
        if (chunk[0] !== undefined && chunk[0].writer !== write.writer) {
          await this.#send(chunk);
          chunk = [];
        }
        chunk.push(write);
        if (chunk.length < CHUNK) continue;
        await this.#send(chunk);
        chunk = [];
        // Before the echo of our own writes fills the socket's buffer, and to stop when the device is gone.
        await this.#catchUp();
        if (this.#state.isHostDue()) return;
      }
    }
    if (chunk.length > 0) await this.#send(chunk);
  }

  async #send(writes: readonly Write[]): Promise<void> {
    const [first] = writes;
    if (first === undefined) return;
    const results = await first.writer.write(writes.map(({ change }) => change));
    for (const [index, write] of writes.entries()) write.settle(results[index]);
    if (first.writer !== this.#state.netlinkWriter) this.#storeWrites += writes.length;
  }

  #receive(event: KernelEvent): void {
    if (event.type === 'netconf') this.#settingsChanged = true;
    if (this.#state.observe(event)) this.#wake();
  }

  #wake(): void {
    this.#hasPending = true;
    if (this.#running === undefined) this.#wakeTimer.atLatest(this.#clock.monotonic() + this.#reaction);
  }

  /** Changes that were sent until now. */
  get #writes(): number {
    return this.#rtnetlink.writes + this.#storeWrites + this.#state.programs.writes;
  }

  /** Milliseconds to wait before the answer to an announcement. */
  get #reaction(): number {
    return Math.max(SETTLE, this.#bucket.delay);
  }

  #schedule(): void {
    const times = [this.#state.nextRetry, this.#resyncs.next];
    if (this.#hasPending || this.#state.isDue()) times.push(this.#clock.monotonic() + this.#reaction);
    // A round reports that a conflict is over.
    if (this.#repairLog.conflict !== undefined) times.push(this.#clock.monotonic() + this.#bucket.refillTime);
    if (this.#stop.signal.aborted) return;
    for (const time of times) if (time !== undefined) this.#wakeTimer.atLatest(time);
  }

  /** @param eventsLost notifications were lost. */
  #markAllStale(reason: string, eventsLost = false): void {
    this.#settingsChanged = true;
    this.#resyncs.want(reason);
    this.#state.markStale(reason, eventsLost);
  }

  #newDelays(): Generator<number, never> {
    return backoff(500, 30_000, this.#random);
  }
}
