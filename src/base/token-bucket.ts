/**
 * How soon to answer what others do, so that they cannot keep us busy: the first answers in a row come at once, later
 * ones one interval apart, and those that take long further apart. Quiet makes up for it.
 */
import type { Clock } from './clock.ts';

export interface TokenBucketOptions {
  /** Answers in a row that come at once. */
  readonly burst: number;
  /** Milliseconds between those that follow, and to win one back. */
  readonly interval: number;
}

/** Answers take at most this part of the time, once the burst is over. */
const SHARE = 0.1;

export class TokenBucket {
  readonly #clock: Clock;
  readonly #options: TokenBucketOptions;
  /** Answers that may be given at once; below 1, none. */
  #left: number;
  #asOf: number;
  #isPressed = false;

  constructor(clock: Clock, options: TokenBucketOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#left = options.burst;
    this.#asOf = clock.monotonic();
  }

  /** Milliseconds until the next answer may be given. */
  get delay(): number {
    this.#recover();
    return Math.max(0, (1 - this.#left) * this.#options.interval);
  }

  /** From the moment when answers had to wait until all is quiet again. */
  get isPressed(): boolean {
    this.#recover();
    return this.#isPressed;
  }

  /** Milliseconds until all is quiet, unless something is to be answered meanwhile. */
  get rest(): number {
    this.#recover();
    return (this.#options.burst - this.#left) * this.#options.interval;
  }

  /**
   * An answer was given.
   * @param ms how long it took.
   * @param isDeed whether something had to be done: only to have looked costs no more than its time.
   */
  answered(ms: number, isDeed = true): void {
    this.#recover();
    const cost = Math.max(isDeed ? 1 : 0, ms / (this.#options.interval * SHARE));
    // What was spent at first is not held against the answers that follow: they are waited for.
    this.#left = Math.max(this.#left - cost, 1 - cost);
    if (this.#left < 1) this.#isPressed = true;
  }

  #recover(): void {
    const now = this.#clock.monotonic();
    const { burst, interval } = this.#options;
    this.#left = Math.min(burst, this.#left + (now - this.#asOf) / interval);
    this.#asOf = now;
    if (this.#left === burst) this.#isPressed = false;
  }
}
