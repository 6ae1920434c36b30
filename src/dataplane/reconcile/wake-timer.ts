/** One timer for many reasons to wake up: it fires once, at the earliest time asked for, and is then unset. */
import type { Clock } from '../../base/clock.ts';

export class WakeTimer implements Disposable {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #at = Number.POSITIVE_INFINITY;
  #cancel: AbortController | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Fires at `time` on the monotonic clock, or earlier when that was asked for before. */
  atLatest(time: number): void {
    if (time >= this.#at) return;
    this.#unset();
    const cancel = new AbortController();
    this.#at = time;
    this.#cancel = cancel;
    this.#clock.sleep(Math.max(0, time - this.#clock.monotonic()), cancel.signal).then(
      () => {
        this.#unset();
        this.#wake();
      },
      () => undefined,
    );
  }

  [Symbol.dispose](): void {
    this.#unset();
  }

  #unset(): void {
    this.#cancel?.abort();
    this.#cancel = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}
