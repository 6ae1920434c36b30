/**
 * How many packets this host sends to ask its peers: one budget for everything that asks, so that the cost is the same
 * however many peers there are. A token bucket: a moment in which something is decided may use what was saved.
 */
import type { Clock } from '../base/clock.ts';

/** Packets a second. */
export const PROBE_RATE = 4;
/** Packets at most at once. */
export const PROBE_BURST = 16;

export class ProbeBudget {
  readonly #clock: Clock;
  #tokens = PROBE_BURST;
  #filled: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#filled = clock.monotonic();
  }

  /** Takes one packet, if so many more are left for others. @returns whether it may be sent */
  take(reserve = 0): boolean {
    if (this.wait(reserve) > 0) return false;
    this.#tokens--;
    return true;
  }

  /** Milliseconds until one could be taken. */
  wait(reserve = 0): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(PROBE_BURST, this.#tokens + ((now - this.#filled) / 1000) * PROBE_RATE);
    this.#filled = now;
    const missing = reserve + 1 - this.#tokens;
    // Rounding must not make a wait of nothing.
    return missing <= 1e-9 ? 0 : Math.ceil((missing / PROBE_RATE) * 1000);
  }
}
