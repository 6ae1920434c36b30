/**
 * Keeps the guard of L2 networks as it was last stated: writes it when it is stated anew and when another program has
 * changed rules, and tries again what failed. Many changes at once are one comparison.
 */
import { together } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { BridgeGuard } from './bridge-guard.ts';
import type { SegmentGuard } from './guard-table.ts';

export interface GuardKeeperOptions {
  readonly guard: Pick<BridgeGuard, 'apply'>;
  /** Yields whenever rules were changed in the kernel, until the signal aborts. */
  readonly changes: (signal: AbortSignal) => AsyncIterable<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the reason when the networks cannot be guarded, and with undefined when they are again. */
  readonly onState: (failure: string | undefined) => void;
}

/** Milliseconds in which further changes are gathered. */
const SETTLE = 20;
/** Comparisons: ten at once, then one in 300 ms. */
const COMPARISONS = { burst: 10, interval: 300 };
const RETRY_FIRST = 1000;
const RETRY_CAP = 60_000;
/** An announcement can be lost. */
const SLOW_INTERVAL = 10 * 60_000;

export class GuardKeeper {
  readonly #options: GuardKeeperOptions;
  readonly #bucket: TokenBucket;
  readonly #wakeup: Wakeup;
  #guards: readonly SegmentGuard[] | undefined;
  #failure: string | undefined;

  constructor(options: GuardKeeperOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options.clock, COMPARISONS);
    this.#wakeup = new Wakeup(options.clock);
  }

  /** States how all L2 networks of this host are guarded. */
  set(guards: readonly SegmentGuard[]): void {
    this.#guards = guards;
    this.#wakeup.wake();
  }

  /** Nothing is written before the first `set`. Ends when `signal` aborts; the rules stay. */
  async run(signal: AbortSignal): Promise<void> {
    await together(
      signal,
      until => this.#listen(until),
      until => this.#keep(until),
    );
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      for await (const _ of this.#options.changes(signal)) this.#wakeup.wake();
    } catch (error) {
      if (signal.aborted) return;
      this.#options.logger.warn({ error: messageOf(error) }, 'changes to rules of bridges are not announced');
    }
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let delays = backoff(RETRY_FIRST, RETRY_CAP);
    while (!signal.aborted) {
      await this.#wakeup.pause(this.#failure === undefined ? SLOW_INTERVAL : delays.next().value, signal);
      await clock.sleep(Math.max(SETTLE, this.#bucket.delay), signal).catch(() => undefined);
      if (signal.aborted || this.#guards === undefined) continue;
      if (await this.#apply(this.#guards)) delays = backoff(RETRY_FIRST, RETRY_CAP);
    }
  }

  async #apply(guards: readonly SegmentGuard[]): Promise<boolean> {
    const { guard, clock } = this.#options;
    const begun = clock.monotonic();
    const failure = await guard.apply(guards).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
    this.#bucket.take(clock.monotonic() - begun);
    if (failure !== this.#failure) this.#options.onState(failure);
    this.#failure = failure;
    return failure === undefined;
  }
}
