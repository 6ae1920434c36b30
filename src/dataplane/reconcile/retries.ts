/** When to try again what was refused, and what the refusal was. One entry's refusal never delays another. */
import { backoff, type Clock } from '../../base/clock.ts';
import type { Key } from '../tables/entry.ts';

const FIRST_MS = 200;
const CAP_MS = 60_000;

interface Refusal {
  readonly reason: string;
  readonly delays: Generator<number, never>;
  readonly retryAt: number;
}

export class Retries {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #refused = new Map<Key, Refusal>();

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    return this.#refused.size;
  }

  /** The earliest time of a next try, on the monotonic clock. */
  get next(): number | undefined {
    let next: number | undefined;
    for (const { retryAt } of this.#refused.values()) {
      if (next === undefined || retryAt < next) next = retryAt;
    }
    return next;
  }

  isDue(key: Key, now: number): boolean {
    return this.#refused.size === 0 || (this.#refused.get(key)?.retryAt ?? 0) <= now;
  }

  reason(key: Key): string | undefined {
    return this.#refused.get(key)?.reason;
  }

  keys(): IterableIterator<Key> {
    return this.#refused.keys();
  }

  *reasons(): Generator<readonly [Key, string]> {
    for (const [key, { reason }] of this.#refused) yield [key, reason];
  }

  failed(key: Key, reason: string): void {
    const delays = this.#refused.get(key)?.delays ?? backoff(FIRST_MS, CAP_MS, this.#random);
    this.#refused.set(key, { reason, delays, retryAt: this.#clock.monotonic() + delays.next().value });
  }

  succeeded(key: Key): void {
    this.#refused.delete(key);
  }

  clear(): void {
    this.#refused.clear();
  }
}
