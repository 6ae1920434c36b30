/**
 * Keeps work whose cost grows with what there is from taking all the time: after each piece of it there is a rest that is so
 * many times longer. What has changed meanwhile is done together, so that a thousand changes cost what ten do.
 */
import type { Clock } from './clock.ts';
import type { Watchable } from './watchable.ts';

export interface PaceOptions {
  /** Milliseconds of rest after work that took no time; 0 unless given. */
  readonly least?: number;
  /** Milliseconds of rest after work that took long; 1000 unless given. */
  readonly most?: number;
  /** A rest is so many times longer than the work before it; 19 unless given. */
  readonly times?: number;
}

/** Work takes a twentieth of the time at most: there are a dozen of such parts in an agent, and one thread. */
const TIMES = 19;

export class Pace {
  readonly #clock: Clock;
  readonly #least: number;
  readonly #most: number;
  readonly #times: number;
  #begun: number;

  constructor(clock: Clock, { least = 0, most = 1000, times = TIMES }: PaceOptions = {}) {
    this.#clock = clock;
    this.#least = least;
    this.#most = most;
    this.#times = times;
    this.#begun = clock.monotonic();
  }

  /** Work begins now. */
  begin(): void {
    this.#begun = this.#clock.monotonic();
  }

  /** Waits as long as the work since `begin` asks for, or until `signal` aborts. */
  async rest(signal: AbortSignal): Promise<void> {
    const spent = this.#clock.monotonic() - this.#begun;
    const rest = Math.min(this.#most, Math.max(this.#least, spent * this.#times));
    // Less than this is not worth a timer.
    if (rest >= 1) await this.#clock.sleep(rest, signal).catch(() => undefined);
  }
}

/** Calls back with the newest value after changes, and rests in between; until `signal` aborts. */
export async function followAtPace<T>(
  watched: Watchable<T>,
  clock: Clock,
  onChange: (value: T) => unknown,
  signal: AbortSignal,
): Promise<void> {
  const pace = new Pace(clock);
  for await (const value of watched.changes(signal)) {
    pace.begin();
    await onChange(value);
    await pace.rest(signal);
  }
}
