/**
 * Keeps rules as they were last stated: writes them when they are stated anew and when another program has changed rules,
 * and tries again what failed. Many changes at once are one comparison.
 */
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { Wakeup } from '../base/wakeup.ts';

export interface RuleKeeperOptions<Wanted> {
  /** Compares the rules with what is wanted, and writes the difference. */
  readonly apply: (wanted: Wanted) => Promise<unknown>;
  /** Yields whenever rules were changed in the kernel, until the signal aborts. */
  readonly changes: (signal: AbortSignal) => AsyncIterable<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the reason when they cannot be written, and with undefined when they are again. */
  readonly onState: (failure: string | undefined) => void;
  /** Milliseconds between two comparisons when nothing seems to have changed: an announcement can be lost. */
  readonly interval?: number;
  /** What announcements are about, for the log. */
  readonly what: string;
}

/** Milliseconds in which further changes are gathered. */
const SETTLE = 20;
/** Comparisons: ten at once, then one in 300 ms. */
const COMPARISONS = { burst: 10, interval: 300 };
const RETRY_FIRST = 1000;
const RETRY_CAP = 60_000;
const INTERVAL = 10 * 60_000;

export class RuleKeeper<Wanted> {
  readonly #options: RuleKeeperOptions<Wanted>;
  readonly #interval: number;
  readonly #bucket: TokenBucket;
  readonly #wakeup: Wakeup;
  /** undefined before it was first stated. */
  #wanted: { readonly value: Wanted } | undefined;
  #failure: string | undefined;

  constructor(options: RuleKeeperOptions<Wanted>) {
    this.#options = options;
    this.#interval = options.interval ?? INTERVAL;
    this.#bucket = new TokenBucket(options.clock, COMPARISONS);
    this.#wakeup = new Wakeup(options.clock);
  }

  /** States what is wanted. @param isWritten the kernel has it already: there is nothing to do now */
  set(value: Wanted, isWritten = false): void {
    this.#wanted = { value };
    if (!isWritten) this.#wakeup.wake();
  }

  /** The rules are compared soon. */
  wake(): void {
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
      const { logger, what } = this.#options;
      logger.warn({ error: messageOf(error) }, `changes to rules of ${what} are not announced`);
    }
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let delays = backoff(RETRY_FIRST, RETRY_CAP);
    while (!signal.aborted) {
      await this.#wakeup.pause(this.#failure === undefined ? this.#interval : delays.next().value, signal);
      await clock.sleep(Math.max(SETTLE, this.#bucket.delay), signal).catch(() => undefined);
      if (signal.aborted || this.#wanted === undefined) continue;
      if (await this.#apply(this.#wanted.value)) delays = backoff(RETRY_FIRST, RETRY_CAP);
    }
  }

  async #apply(wanted: Wanted): Promise<boolean> {
    const { clock } = this.#options;
    const begun = clock.monotonic();
    const failure = await this.#options.apply(wanted).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
    this.#bucket.take(clock.monotonic() - begun);
    if (failure !== this.#failure) this.#options.onState(failure);
    this.#failure = failure;
    return failure === undefined;
  }
}
