/**
 * The firewall over time: what was applied stays applied. The kernel's announcement that somebody changed rules
 * leads to a comparison, and so does a slow timer, for changes that are not announced. What fails is tried again
 * with growing delays, for as long as it takes.
 */
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { DesiredFirewall } from './desired.ts';
import type { EngineName, Obstacle } from './engine.ts';
import type { Firewall, FirewallReport } from './firewall.ts';

export interface KeeperOptions {
  readonly firewall: Pick<Firewall, 'apply' | 'doubt'>;
  readonly log: Logger;
  /** Yields whenever rules were changed in the kernel, by us or by others, until the signal aborts. */
  readonly changes: (signal: AbortSignal) => AsyncIterable<void>;
  /** Milliseconds between comparisons of rules whose changes the kernel does not announce. */
  readonly resyncInterval: number;
  /** Told what was repaired that others had changed. */
  readonly onRepair?: (repaired: readonly string[]) => void;
  /** Told how the rules are after every comparison. */
  readonly onState?: (state: FirewallState) => void;
  readonly clock?: Clock;
}

export interface FirewallState {
  readonly engine?: EngineName;
  /** Whether the rules were as wanted when they were last compared. */
  readonly ok: boolean;
  /** Why not. */
  readonly lastError?: string;
  readonly obstacles: readonly Obstacle[];
  /** Whether other peers want other rules (FirewallReport). */
  readonly dependsOnPeers: boolean;
  /** Somebody undoes what is repaired, again and again: how many repairs there were since it began. */
  readonly conflict?: { readonly repairs: number; readonly latest: string };
}

/** Programs change rules in several steps; one comparison serves them all. Meanwhile packets may be lost. */
const SETTLE_MS = 50;

/** Even announced changes are not trusted for ever. */
const SLOW_INTERVAL_MS = 10 * 60_000;

/** Announcements may call for this many comparisons at once; those that follow wait for one another. */
const PACE = { burst: 10, interval: 600 };

/** Between two tellings of repairs while there is a conflict. */
const CONFLICT_INTERVAL_MS = 10_000;

const RETRY_FIRST_MS = 1000;
const RETRY_CAP_MS = 60_000;

export class FirewallKeeper implements AsyncDisposable {
  readonly #options: KeeperOptions;
  readonly #clock: Clock;
  readonly #pace: TokenBucket;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  #desired: DesiredFirewall | undefined;
  #state: FirewallState = { ok: false, obstacles: [], dependsOnPeers: false };
  /** Repaired, and not told yet. */
  #untold: string[] = [];
  #toldAt = Number.NEGATIVE_INFINITY;
  #announced = false;
  /** The kernel's announcements do not reach us. */
  #deaf = false;
  /** A comparison is due as soon as the loop looks. */
  #due = false;
  #wake: () => void = () => undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pace = new TokenBucket(this.#clock, PACE);
    this.#running = Promise.all([this.#listen(this.#stop.signal), this.#keep(this.#stop.signal)]);
  }

  get state(): FirewallState {
    return this.#state;
  }

  /** Makes it so, and keeps it so from now on. @throws FirewallError; it is then tried again by itself. */
  async apply(desired: DesiredFirewall): Promise<FirewallReport> {
    this.#desired = desired;
    try {
      return await this.#apply(desired);
    } catch (error) {
      this.suspect();
      throw error;
    }
  }

  /** Stops watching. The rules stay as they are. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the firewall is not kept any longer'));
    await this.#running;
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      for await (const _ of this.#options.changes(signal)) this.suspect();
    } catch (error) {
      if (signal.aborted) return;
      this.#options.log.warn(
        { error: messageOf(error) },
        'cannot hear of firewall changes, comparing by time',
      );
      this.#deaf = true;
    }
  }

  async #keep(signal: AbortSignal): Promise<void> {
    let delays = backoff(RETRY_FIRST_MS, RETRY_CAP_MS);
    let failed = false;
    while (!signal.aborted) {
      await this.#wait(failed ? delays.next().value : this.#interval, signal);
      if (!failed) await this.#sleep(Math.max(SETTLE_MS, this.#pace.delay), signal);
      this.#due = false;
      if (signal.aborted || this.#desired === undefined) continue;
      failed = !(await this.#repair(this.#desired));
      if (!failed) delays = backoff(RETRY_FIRST_MS, RETRY_CAP_MS);
    }
  }

  get #interval(): number {
    // That a conflict is over is told by a comparison.
    if (this.#state.conflict !== undefined) return this.#pace.rest;
    return this.#announced && !this.#deaf ? SLOW_INTERVAL_MS : this.#options.resyncInterval;
  }

  /** Whether the rules are as wanted now. */
  async #repair(desired: DesiredFirewall): Promise<boolean> {
    this.#options.firewall.doubt();
    const begun = this.#clock.monotonic();
    try {
      const { repaired } = await this.#apply(desired);
      this.#pace.answered(this.#clock.monotonic() - begun);
      this.#weigh(repaired);
      this.#tell(repaired);
      return true;
    } catch {
      // Told already, by #apply.
      return false;
    }
  }

  #tell(repaired: readonly string[]): void {
    this.#untold.push(...repaired);
    const now = this.#clock.monotonic();
    const isHeld = this.#state.conflict !== undefined && now < this.#toldAt + CONFLICT_INTERVAL_MS;
    if (this.#untold.length === 0 || isHeld) return;
    this.#options.log.info({ repaired: this.#untold }, 'repaired the firewall');
    this.#options.onRepair?.(this.#untold);
    this.#untold = [];
    this.#toldAt = now;
  }

  /** Others may do with their rules what they like, however often; it is a conflict when it is ours they change. */
  #weigh(repaired: readonly string[]): void {
    const { conflict, ...state } = this.#state;
    if (!this.#pace.isPressed) {
      if (conflict !== undefined) this.#become(state);
      return;
    }
    const latest = repaired.at(-1) ?? conflict?.latest;
    if (latest === undefined) return;
    this.#become({ ...state, conflict: { repairs: (conflict?.repairs ?? 0) + repaired.length, latest } });
  }

  async #apply(desired: DesiredFirewall): Promise<FirewallReport> {
    const before = this.#state;
    try {
      const report = await this.#options.firewall.apply(desired);
      this.#announced = report.announced;
      const { conflict } = before;
      const { engine, obstacles, dependsOnPeers } = report;
      this.#become({
        engine,
        ok: true,
        obstacles,
        dependsOnPeers,
        ...(conflict === undefined ? {} : { conflict }),
      });
      if (before.lastError !== undefined) this.#options.log.info({}, 'the firewall is as wanted again');
      return report;
    } catch (error) {
      const lastError = messageOf(error);
      this.#become({ ...before, ok: false, lastError });
      if (before.lastError !== lastError) {
        this.#options.log.error({ error: lastError }, 'cannot set up the firewall');
      }
      throw error;
    }
  }

  #become(state: FirewallState): void {
    this.#state = state;
    this.#options.onState?.(state);
  }

  /** Something may have changed the rules: they are compared soon. */
  suspect(): void {
    this.#due = true;
    this.#wake();
  }

  /** Until something is due, or the time is over. */
  async #wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#due) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#sleep(ms, AbortSignal.any([signal, woken.signal]));
  }

  /** Sleeps, and comes back early without an error when the signal aborts. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal).catch(() => undefined);
  }
}
