/** When a lease is to be renewed, and until when it can be relied on. All times are of the monotonic clock. */

export interface RenewalOptions {
  /** Milliseconds before its end at which a lease is renewed at the latest; it always is after a third of its time. */
  readonly margin: number;
  readonly random: () => number;
}

export class Renewal {
  readonly #options: RenewalOptions;
  #due = Number.POSITIVE_INFINITY;
  #deadline: number | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** When the lease has to be taken for lost without renewal; undefined when it never ends. */
  get deadline(): number | undefined {
    return this.#deadline;
  }

  /** When the next renewal is due. */
  get due(): number {
    return this.#due;
  }

  /** The store had the lease when it was asked at `sent`, for `ttl` seconds more. */
  confirmed(sent: number, ttl: number): void {
    const { margin, random } = this.#options;
    const lasts = ttl * 1000;
    // We must give up believing before the store does, whatever the answer took and the clocks differ.
    this.#deadline = sent + lasts - Math.min(10_000, lasts / 10);
    const interval = Math.max(lasts / 100, Math.min(lasts / 3, lasts - margin));
    // Hosts that started together must not renew together.
    this.#due = sent + interval * (0.8 + 0.2 * random());
  }

  /** There is nothing to renew: a reservation, or no lease. */
  stop(): void {
    this.#due = Number.POSITIVE_INFINITY;
    this.#deadline = undefined;
  }
}
