/** A pause that somebody else can end: for loops that look after things at times, and at once when called. */
import type { Clock } from './clock.ts';

export class Wakeup {
  readonly #clock: Clock;
  #rung = false;
  #nap: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the pause under way, or else the next one before it begins. */
  ring(): void {
    this.#rung = true;
    this.#nap?.abort();
  }

  /** Waits `ms` milliseconds, or until the bell rings. A timer holds 24 days, so that longer pauses are cut. */
  async pause(ms: number): Promise<void> {
    if (!this.#rung && ms > 0) {
      const nap = new AbortController();
      this.#nap = nap;
      await this.#clock.sleep(Math.min(ms, 2 ** 31 - 1), nap.signal).catch(() => undefined);
      this.#nap = undefined;
    }
    this.#rung = false;
  }
}
