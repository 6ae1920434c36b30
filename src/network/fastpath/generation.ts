/** Makes what was proven count no more, soon after each change and not for each of them. */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Pace } from '../../base/pace.ts';
import { increment, Watchable } from '../../base/watchable.ts';

/** Milliseconds between two generations at least: every flow takes some packets to prove itself again. */
const LEAST = 50;

export class Generation {
  readonly #bump: () => void;
  readonly #log: Logger;
  readonly #changes = new Watchable(0);
  #hasFailed = false;

  /** @param bump begins the next generation */
  constructor(bump: () => void, log: Logger) {
    this.#bump = bump;
    this.#log = log;
  }

  /** Something has changed on which the way of packets may depend. */
  changed(): void {
    increment(this.#changes);
  }

  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    const pace = new Pace(clock, { least: LEAST });
    let seen = this.#changes.value;
    for await (const value of this.#changes.changes(signal)) {
      if (value === seen) continue;
      seen = value;
      pace.begin();
      this.#begin();
      await pace.rest(signal);
    }
  }

  /** Without one a proof holds to its end, half a second later: no reason to end the agent. */
  #begin(): void {
    try {
      this.#bump();
      if (this.#hasFailed) this.#log.info({}, 'flows on the fast path notice changes at once again');
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed)
        this.#log.warn(
          { error: messageOf(error) },
          'flows on the fast path notice changes up to half a second late',
        );
      this.#hasFailed = true;
    }
  }
}
