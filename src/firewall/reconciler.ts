/**
 * Keeps the applied firewall applied. The kernel's announcement that rules were changed (by firewalld, dockerd, a person)
 * leads to a comparison, and so does a slow timer, for changes that are not announced. What fails is tried again with
 * growing delays, without end.
 */
import { backoff, type Clock, systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { DesiredFirewall } from './desired.ts';
import type { EngineName, Obstacle } from './engine.ts';
import type { Firewall, FirewallReport } from './firewall.ts';

export interface ReconcilerOptions {
  readonly firewall: Pick<Firewall, 'apply' | 'markStale'>;
  readonly log: Logger;
  /** Yields whenever rules were changed in the kernel, by Tulle or by others, until the signal aborts. */
  readonly changes: (signal: AbortSignal) => AsyncIterable<void>;
  /** Milliseconds between comparisons of rules whose changes the kernel does not announce. */
  readonly resyncInterval: number;
  /** Called with what others had changed and was repaired. */
  readonly onRepair?: (repaired: readonly string[]) => void;
  /** Called after every comparison. */
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
  /** See FirewallReport. */
  readonly dependsOnPeers: boolean;
  /** Another writer undoes what is repaired, again and again: how many repairs there were since it began. */
  readonly conflict?: { readonly repairs: number; readonly latest: string };
}

/** Programs change rules in several steps, which one comparison covers. Packets may be lost meanwhile. */
const SETTLE_MS = 50;

/** An announcement can be lost. */
const SLOW_INTERVAL_MS = 10 * 60_000;

/** Comparisons that announcements may lead to: ten at once, then one in 600 ms. */
const COMPARISONS = { burst: 10, interval: 600 };

/** Between two reports of repairs while there is a conflict. */
const CONFLICT_INTERVAL_MS = 10_000;

const RETRY_FIRST_MS = 1000;
const RETRY_CAP_MS = 60_000;

export class FirewallReconciler implements AsyncDisposable {
  readonly #options: ReconcilerOptions;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  #desired: DesiredFirewall | undefined;
  #state: FirewallState = { ok: false, obstacles: [], dependsOnPeers: false };
  /** Repairs that were not reported yet. */
  #unreported: string[] = [];
  #reportedAt = Number.NEGATIVE_INFINITY;
  #announced = false;
  /** The kernel's announcements do not reach this process. */
  #eventsLost = false;
  /** A comparison was asked for. */
  #due = false;
  #wake: () => void = () => undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#bucket = new TokenBucket(this.#clock, COMPARISONS);
    this.#running = Promise.all([this.#listen(this.#stop.signal), this.#loop(this.#stop.signal)]);
  }

  get state(): FirewallState {
    return this.#state;
  }

  /** Applies, and keeps it applied from now on. @throws FirewallError; it is then tried again without another call. */
  async apply(desired: DesiredFirewall): Promise<FirewallReport> {
    this.#desired = desired;
    try {
      return await this.#apply(desired);
    } catch (error) {
      this.resync();
      throw error;
    }
  }

  /** Something may have changed the rules: they are compared soon. */
  resync(): void {
    this.#due = true;
    this.#wake();
  }

  /** Stops watching. The rules stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the firewall is no longer watched'));
    await this.#running;
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      for await (const _ of this.#options.changes(signal)) this.resync();
    } catch (error) {
      if (signal.aborted) return;
      this.#options.log.warn(
        { error: messageOf(error) },
        'firewall changes are not announced; comparing at intervals',
      );
      this.#eventsLost = true;
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    let delays = backoff(RETRY_FIRST_MS, RETRY_CAP_MS);
    let failed = false;
    while (!signal.aborted) {
      await this.#wait(failed ? delays.next().value : this.#interval, signal);
      if (!failed) await this.#sleep(Math.max(SETTLE_MS, this.#bucket.delay), signal);
      this.#due = false;
      if (signal.aborted || this.#desired === undefined) continue;
      failed = !(await this.#repair(this.#desired));
      if (!failed) delays = backoff(RETRY_FIRST_MS, RETRY_CAP_MS);
    }
  }

  get #interval(): number {
    // Only a comparison shows that a conflict is over.
    if (this.#state.conflict !== undefined) return this.#bucket.refillTime;
    return this.#announced && !this.#eventsLost ? SLOW_INTERVAL_MS : this.#options.resyncInterval;
  }

  /** Whether the rules are as wanted now. */
  async #repair(desired: DesiredFirewall): Promise<boolean> {
    this.#options.firewall.markStale();
    const begun = this.#clock.monotonic();
    try {
      const { repaired } = await this.#apply(desired);
      this.#bucket.take(this.#clock.monotonic() - begun);
      this.#updateConflict(repaired);
      this.#report(repaired);
      return true;
    } catch {
      // Logged already, by #apply.
      return false;
    }
  }

  #report(repaired: readonly string[]): void {
    this.#unreported.push(...repaired);
    const now = this.#clock.monotonic();
    const isHeld = this.#state.conflict !== undefined && now < this.#reportedAt + CONFLICT_INTERVAL_MS;
    if (this.#unreported.length === 0 || isHeld) return;
    this.#options.log.info({ repaired: this.#unreported }, 'repaired the firewall');
    this.#options.onRepair?.(this.#unreported);
    this.#unreported = [];
    this.#reportedAt = now;
  }

  /** Others may change their own rules as often as they like; it is a conflict when they change ours. */
  #updateConflict(repaired: readonly string[]): void {
    const { conflict, ...state } = this.#state;
    if (!this.#bucket.isExhausted) {
      if (conflict !== undefined) this.#setState(state);
      return;
    }
    const latest = repaired.at(-1) ?? conflict?.latest;
    if (latest === undefined) return;
    this.#setState({ ...state, conflict: { repairs: (conflict?.repairs ?? 0) + repaired.length, latest } });
  }

  async #apply(desired: DesiredFirewall): Promise<FirewallReport> {
    const before = this.#state;
    try {
      const report = await this.#options.firewall.apply(desired);
      this.#announced = report.announced;
      const { conflict } = before;
      const { engine, obstacles, dependsOnPeers } = report;
      this.#setState({
        engine,
        ok: true,
        obstacles,
        dependsOnPeers,
        ...(conflict === undefined ? {} : { conflict }),
      });
      if (before.lastError !== undefined) this.#options.log.info({}, 'the firewall has recovered');
      return report;
    } catch (error) {
      const lastError = messageOf(error);
      this.#setState({ ...before, ok: false, lastError });
      if (before.lastError !== lastError) {
        this.#options.log.error({ error: lastError }, 'cannot set up the firewall');
      }
      throw error;
    }
  }

  #setState(state: FirewallState): void {
    this.#state = state;
    this.#options.onState?.(state);
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
