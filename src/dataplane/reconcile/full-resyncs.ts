/** When everything is to be compared with the kernel: once at the start, when something calls for it, and now and then. */
import type { Clock } from '../../base/clock.ts';
import type { DataPlaneReport } from '../report.ts';

const INTERVAL = 600_000;

export class FullResyncs {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #interval: number;
  #reason: string | undefined = 'start';
  #next: number;
  #last: DataPlaneReport['lastResync'];

  /** @param interval milliseconds, spread over [1/2, 1) of it. */
  constructor(clock: Clock, random: () => number, interval = INTERVAL) {
    this.#clock = clock;
    this.#random = random;
    this.#interval = interval;
    this.#next = this.#later();
  }

  /** Why one is due; undefined when none is. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** When the next one is due if nothing calls for it before, on the monotonic clock. */
  get next(): number {
    return this.#next;
  }

  get last(): DataPlaneReport['lastResync'] {
    return this.#last;
  }

  want(reason: string): void {
    this.#reason = reason;
  }

  /** One has been done that began at `started`, for this reason; one that was called for meanwhile remains due. */
  done(started: number, reason: string): void {
    if (this.#reason === reason) this.#reason = undefined;
    this.#last = { at: this.#clock.now(), ms: this.#clock.monotonic() - started, reason };
    this.#next = this.#later();
  }

  #later(): number {
    return this.#clock.monotonic() + this.#interval * (0.5 + this.#random() / 2);
  }
}
