/**
 * How long what the store has lost together with its history is kept: hosts write again what is theirs, and what they have
 * not written by then is gone. Counted on the monotonic clock.
 */
import type { Clock } from '../base/clock.ts';
import { Wakeup } from '../base/wakeup.ts';

export class Retention {
  readonly #clock: Clock;
  readonly #wakeup: Wakeup;
  #end = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wakeup = new Wakeup(clock);
  }

  /** From now on, in place of what is left of an earlier one. */
  begin(seconds: number): void {
    this.#end = this.#clock.monotonic() + seconds * 1000;
    this.#wakeup.wake();
  }

  /** Calls back at the end of each, until `signal` aborts. */
  async run(signal: AbortSignal, onEnd: () => void): Promise<void> {
    while (!signal.aborted) {
      await this.#wakeup.pause(this.#end - this.#clock.monotonic(), signal);
      if (this.#clock.monotonic() < this.#end) continue;
      this.#end = Number.POSITIVE_INFINITY;
      onEnd();
    }
  }
}
