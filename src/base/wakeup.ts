/** A pause that another part can end: for loops that act at intervals, and at once when something happened. */
import type { Clock } from './clock.ts';

/** Nobody looks at it; without one each wake would make an error with a stack. */
const WOKEN = new Error('woken');

export class Wakeup {
  readonly #clock: Clock;
  #isDue = false;
  #sleep: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the pause under way, or else the next one before it begins. */
  wake(): void {
    this.#isDue = true;
    this.#sleep?.abort(WOKEN);
  }

  /** Waits `ms` milliseconds, or until `wake`, or until `signal` aborts. A timer holds 24 days, so that longer pauses are cut. */
  async pause(ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.#isDue && ms > 0 && signal?.aborted !== true) {
      const sleep = new AbortController();
      const end = () => sleep.abort(WOKEN);
      this.#sleep = sleep;
      signal?.addEventListener('abort', end, { once: true });
      await this.#clock.sleep(Math.min(ms, 2 ** 31 - 1), sleep.signal).catch(() => undefined);
      signal?.removeEventListener('abort', end);
      this.#sleep = undefined;
    }
    this.#isDue = false;
  }
}
