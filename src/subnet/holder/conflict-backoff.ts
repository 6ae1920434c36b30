/**
 * Backs off from another writer of our key. The first overwrite may be a mistake, and is repaired at once; a writer that
 * goes on is another host with our identity, and each repair waits longer than the one before.
 */
import type { Clock } from '../../base/clock.ts';
import { addressOf, type Claimant, isLease, type Lease, type RejectedLease } from '../lease/lease.ts';
import type { OtherWriter } from './holder-state.ts';

/** Milliseconds. */
const FIRST = 500;
const CAP = 60_000;
/** After so long without an overwrite the conflict is over. Longer than two pauses: both sides make them. */
const QUIET_PERIOD = 5 * CAP;

export class ConflictBackoff {
  readonly #clock: Clock;
  #overwrites = 0;
  /** Those by a value that this host itself did not have. */
  #foreign = 0;
  #otherWriter: OtherWriter | undefined;
  #isDuplicate = false;
  #last = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isOver(): boolean {
    return this.#clock.monotonic() >= this.#until;
  }

  /** On the monotonic clock. */
  get until(): number {
    return this.#until;
  }

  /** The host whose value came more than once, or is known to have our identity, in the last QUIET_PERIOD. */
  get otherWriter(): OtherWriter | undefined {
    const isKnown = this.#foreign > 1 || this.#isDuplicate;
    return isKnown && this.#clock.monotonic() < this.#last + QUIET_PERIOD ? this.#otherWriter : undefined;
  }

  /** On the monotonic clock; when the conflict is over unless it goes on. */
  get conflictEnds(): number {
    return this.otherWriter !== undefined ? this.#last + QUIET_PERIOD : Number.POSITIVE_INFINITY;
  }

  /** @param found what our key was overwritten with. */
  recordOverwrite(lease: Lease, found: Lease | RejectedLease): void {
    const now = this.#clock.monotonic();
    if (now >= this.#last + QUIET_PERIOD) this.reset();
    this.#last = now;
    // Who puts a former value of this host back is a person, and no host.
    if (isLease(found) && !isOwnValue(lease, found)) {
      this.#foreign++;
      this.#otherWriter = otherWriterOf(lease, found.attributes);
    }
    const pause = Math.min(CAP, FIRST * 2 ** this.#overwrites++);
    this.#until = now + pause;
  }

  /** Another host has claimed our identity. It waits for our answer, so there is no need to wait. */
  recordDuplicate(lease: Lease, other: Claimant): void {
    this.#isDuplicate = true;
    this.#otherWriter = otherWriterOf(lease, other);
    this.#last = this.#clock.monotonic();
  }

  /** The next write cannot wait, and overwrites no other host's. */
  interrupt(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }

  reset(): void {
    this.#overwrites = 0;
    this.#foreign = 0;
    this.#isDuplicate = false;
    this.#otherWriter = undefined;
    this.interrupt();
  }
}

const isOwnValue = ({ attributes: own }: Lease, { attributes }: Lease): boolean =>
  own.machine !== undefined &&
  attributes.machine === own.machine &&
  addressOf(attributes)?.key === addressOf(own)?.key;

const otherWriterOf = ({ key }: Lease, other: Claimant): OtherWriter => ({ key, address: addressOf(other) });
