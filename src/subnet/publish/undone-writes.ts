/**
 * Notices that another writer takes back what this host has published: a copy of this host with its identity, of which each
 * believes that the other's keys are its own. Each repair then waits longer than the one before, so that two copies do
 * not write against each other for ever. What is undone once, by a person, is repaired at once.
 */
import type { Clock } from '../../base/clock.ts';

/** Milliseconds. */
const FIRST = 500;
const CAP = 60_000;
/** After so long without it, it is over. Longer than two pauses: both sides make them. */
const QUIET_PERIOD = 5 * CAP;

export class UndoneWrites {
  readonly #clock: Clock;
  /** By what it is (a key, say): what was published. */
  readonly #published = new Map<string, string>();
  #count = 0;
  #last = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** When the next repair may be written, on the monotonic clock; the past when at once. */
  get until(): number {
    return this.#until;
  }

  /** Whether just this was published here before: then somebody has taken it back. */
  isRepair(what: string, value: string): boolean {
    return this.#published.get(what) === value;
  }

  /** @param isRepair whether one of these was published before */
  record(written: ReadonlyMap<string, string>, isRepair: boolean): void {
    for (const [what, value] of written) this.#published.set(what, value);
    if (!isRepair) return;
    const now = this.#clock.monotonic();
    if (now >= this.#last + QUIET_PERIOD) this.#count = 0;
    this.#last = now;
    this.#until = this.#count === 0 ? now : now + Math.min(CAP, FIRST * 2 ** (this.#count - 1));
    this.#count++;
  }

  /** It is not wanted any more: when it is again, that is no repair. */
  forget(what: string): void {
    this.#published.delete(what);
  }
}
