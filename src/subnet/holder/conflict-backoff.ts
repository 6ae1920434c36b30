/**
 * Restraint towards somebody who writes to our key as us. The first time may be a mistake, and is repaired at once; a
 * program that goes on is another host with our identity, and is answered ever more slowly.
 */
import type { Clock } from '../../base/clock.ts';
import type { Rival } from './holder-state.ts';

/** Milliseconds. */
const FIRST = 500;
const CAP = 60_000;
/** Who has not been heard of for so long has given up. Longer than two pauses: both sides make them. */
const QUIET_PERIOD = 5 * CAP;

export class ConflictBackoff {
  readonly #clock: Clock;
  #provocations = 0;
  #otherWriter: Rival | undefined;
  #isProven = false;
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

  /** Who has done it more than once, or is known to have our identity, and was heard of lately. */
  get otherWriter(): Rival | undefined {
    const isKnown = this.#provocations > 1 || this.#isProven;
    return isKnown && this.#clock.monotonic() < this.#last + QUIET_PERIOD ? this.#otherWriter : undefined;
  }

  /** On the monotonic clock; when the rivalry is over unless it goes on. */
  get conflictEnds(): number {
    return this.otherWriter !== undefined ? this.#last + QUIET_PERIOD : Number.POSITIVE_INFINITY;
  }

  /** @param rival undefined when it is not known who it was. */
  provoked(otherWriter: Rival | undefined): void {
    const now = this.#clock.monotonic();
    if (now >= this.#last + QUIET_PERIOD) this.end();
    this.#last = now;
    this.#otherWriter = otherWriter ?? this.#otherWriter;
    const pause = Math.min(CAP, FIRST * 2 ** this.#provocations++);
    this.#until = now + pause;
  }

  /** Another host has said that it has our identity. It waits for our answer, so there is no need to hold back. */
  proven(otherWriter: Rival): void {
    this.#isProven = true;
    this.#otherWriter = otherWriter;
    this.#last = this.#clock.monotonic();
  }

  /** What came up cannot wait, and nobody is answered by it. */
  interrupt(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }

  end(): void {
    this.#provocations = 0;
    this.#isProven = false;
    this.#otherWriter = undefined;
    this.interrupt();
  }
}
