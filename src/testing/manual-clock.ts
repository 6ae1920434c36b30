/**
 * A clock that a test moves, for tests of everything that waits: leases that expire,
 * retries, deadlines. A day passes in a microsecond, and always in the same order.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

export class ManualClock implements Clock {
  readonly #epoch: number;
  #time = 0;
  readonly #sleepers = new Set<Sleeper>();

  /** @param epoch what `now()` is at the start, in milliseconds since 1970. */
  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch;
  }

  now(): number {
    return this.#epoch + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  /** How many calls of `sleep` are waiting. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const end = (settle: () => void) => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const onAbort = () => end(() => reject(signal?.reason as Error));
      const sleeper = { due: this.#time + Math.max(0, ms), wake: () => end(resolve) };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /**
   * Lets `ms` milliseconds pass. Sleepers wake in the order of their time, and what they do until they sleep
   * again happens at that time; so does what was under way before the call.
   */
  async advance(ms: number): Promise<void> {
    const target = this.#time + ms;
    for (;;) {
      await settle();
      const next = [...this.#sleepers].reduce<Sleeper | undefined>(
        (first, sleeper) => (first === undefined || sleeper.due < first.due ? sleeper : first),
        undefined,
      );
      if (next === undefined || next.due > target) break;
      this.#time = next.due;
      next.wake();
    }
    this.#time = target;
  }
}

/** Lets everything run that needs no time: all microtasks, and what they queue on the event loop at once. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await setImmediate();
}
