/**
 * Restraint towards somebody who writes to our key as us. The first time may be a mistake, and is put right at once; a
 * program that goes on is another host with our identity, and is answered ever more slowly.
 */
import type { Clock } from '../base/clock.ts';

/** Milliseconds. */
const FIRST = 500;
const CAP = 60_000;

export class Truce {
  readonly #clock: Clock;
  #provocations = 0;
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

  provoked(): void {
    const pause = Math.min(CAP, FIRST * 2 ** this.#provocations++);
    this.#until = this.#clock.monotonic() + pause;
  }

  end(): void {
    this.#provocations = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }
}
