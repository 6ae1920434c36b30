/**
 * Limits how often this process reacts to others, so that they cannot keep it busy: a token bucket. The first reactions
 * in a row are immediate, later ones one interval apart, and those that take long further apart; the bucket refills
 * with time.
 */
import type { Clock } from './clock.ts';

export interface TokenBucketOptions {
  /** Reactions in a row that are immediate. */
  readonly burst: number;
  /** Milliseconds between those that follow, in which one token refills. */
  readonly interval: number;
}

/** Reactions take at most this share of the time, once the burst is over. */
const SHARE = 0.1;

export class TokenBucket {
  readonly #clock: Clock;
  readonly #options: TokenBucketOptions;
  /** Tokens; a reaction needs a whole one. */
  #left: number;
  #asOf: number;
  #isExhausted = false;

  constructor(clock: Clock, options: TokenBucketOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#left = options.burst;
    this.#asOf = clock.monotonic();
  }

  /** Milliseconds until the next reaction. */
  get delay(): number {
    this.#recover();
    return Math.max(0, (1 - this.#left) * this.#options.interval);
  }

  /** From the moment when a reaction has to wait until the bucket is full again. */
  get isExhausted(): boolean {
    this.#recover();
    return this.#isExhausted;
  }

  /** Milliseconds until the bucket is full, without another reaction. */
  get refillTime(): number {
    this.#recover();
    return (this.#options.burst - this.#left) * this.#options.interval;
  }

  /**
   * Takes the tokens of one reaction.
   * @param ms how long it took.
   * @param isWork whether something was written: one that only read costs no more than its time.
   */
  take(ms: number, isWork = true): void {
    this.#recover();
    const cost = Math.max(isWork ? 1 : 0, ms / (this.#options.interval * SHARE));
    // At most one reaction in debt: what the burst cost is not held against those that follow.
    this.#left = Math.max(this.#left - cost, 1 - cost);
    if (this.#left < 1) this.#isExhausted = true;
  }

  #recover(): void {
    const now = this.#clock.monotonic();
    const { burst, interval } = this.#options;
    this.#left = Math.min(burst, this.#left + (now - this.#asOf) / interval);
    this.#asOf = now;
    if (this.#left === burst) this.#isExhausted = false;
  }
}
