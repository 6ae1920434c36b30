/**
 * Restraint towards somebody who writes to our key as us. The first time may be a mistake, and is put right at once; a
 * program that goes on is another host with our identity, and is answered ever more slowly.
 */
import type { Clock } from '../base/clock.ts';

/** Milliseconds. */
const FIRST = 500;
const CAP = 60_000;
/** Who has not been heard of for so long has given up. Longer than two pauses: both sides make them. */
const GRUDGE = 5 * CAP;

export class Truce {
  readonly #clock: Clock;
  #provocations = 0;
  #last = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isOver(): boolean {
    return this.#clock.monotonic() >= this.#until;
  }

  /** On the monotonic clock. */
  get until(): number {
    return this.#until;
  }

  /** Whether somebody has done it more than once, and lately. */
  get isRivalry(): boolean {
    return this.#provocations > 1 && this.#clock.monotonic() < this.#last + GRUDGE;
  }

  /** On the monotonic clock; when the rivalry is over unless it goes on. */
  get rivalryEnds(): number {
    return this.isRivalry ? this.#last + GRUDGE : Number.POSITIVE_INFINITY;
  }

  provoked(): void {
    const now = this.#clock.monotonic();
    if (now >= this.#last + GRUDGE) this.#provocations = 0;
    this.#last = now;
    const pause = Math.min(CAP, FIRST * 2 ** this.#provocations++);
    this.#until = now + pause;
  }

  end(): void {
    this.#provocations = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }
}
