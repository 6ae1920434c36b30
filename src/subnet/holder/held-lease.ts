/**
 * A lease that is this host's, and the store lease that its key is attached to: renews it, writes it, and reads it again
 * when it may have changed. The LeaseHolder decides what follows from what was read.
 *
 * A write whose answer was lost may have been done. It is remembered, so that it is not taken for another writer's when
 * it is found.
 */
import { bytesEqual } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { StoreError, type StoreLeaseId } from '../../store/store.ts';
import { encodeAttributes } from '../lease/attributes.ts';
import {
  isHeldBy,
  isLease,
  isReservation,
  type Lease,
  type LeaseAttributes,
  type RejectedLease,
  valueFor,
} from '../lease/lease.ts';
import type { Registry } from '../registry.ts';
import type { KeyEvent, LossCause } from './holder-state.ts';
import type { Renewal } from './renewal.ts';

export class HeldLease {
  readonly #registry: Registry;
  readonly #renewal: Renewal;
  readonly #clock: Clock;
  /** As it is in the store, to the best of our knowledge. */
  #lease: Lease;
  #storeLease: StoreLeaseId;
  #isReserved: boolean;
  #isStoreLeaseGone = false;
  /** What was written without an answer. */
  #unanswered: Uint8Array | undefined;

  constructor(
    registry: Registry,
    lease: Lease,
    storeLease: StoreLeaseId,
    { renewal, clock }: { readonly renewal: Renewal; readonly clock: Clock },
  ) {
    this.#registry = registry;
    this.#lease = lease;
    this.#storeLease = storeLease;
    this.#isReserved = isReservation(lease);
    this.#renewal = renewal;
    this.#clock = clock;
  }

  get lease(): Lease {
    return this.#lease;
  }

  /** The one we keep alive; 0n for a reservation, and for a lease that is only remembered. */
  get storeLease(): StoreLeaseId {
    return this.#storeLease;
  }

  /** Whether the lease in the store has these attributes. */
  isPublished(attributes: LeaseAttributes): boolean {
    return bytesEqual(this.#encode(attributes), encodeAttributes(this.#lease.attributes));
  }

  /** Whether there is something to write: another value, or another store lease. */
  differsFrom(attributes: LeaseAttributes): boolean {
    return !this.isPublished(attributes) || this.#lease.storeLease !== this.#storeLease;
  }

  /** False when the store lease is gone. @throws StoreError */
  async renew(): Promise<boolean> {
    const sent = this.#clock.monotonic();
    const ttl = await this.#registry.store.keepAlive(this.#storeLease);
    this.#isStoreLeaseGone = ttl === undefined;
    if (ttl !== undefined) this.#renewal.confirmed(sent, ttl);
    return ttl !== undefined;
  }

  /**
   * Reads our key, and says what became of it since it was last read, if anything; one that is still ours is attached
   * to a valid store lease afterwards. @throws StoreError
   */
  async look(own: LeaseAttributes): Promise<KeyEvent | undefined> {
    const before = this.#lease;
    const found = await this.#registry.get(before.key);
    if (found === undefined) return { type: 'lost', lease: before, cause: await this.#causeOfEnd() };
    if (isLease(found) && !isHeldBy(found, own))
      return { type: 'lost', lease: before, cause: 'taken', by: found };

    const event = this.#compare(found, own);
    if (event?.type === 'reserved') {
      await this.revoke();
      this.#storeLease = 0n;
      this.#isReserved = true;
      this.#renewal.stop();
    }
    if (this.#isStoreLeaseGone && this.#storeLease !== 0n) await this.#replaceStoreLease();
    // A value that is not a lease has none of our attributes, so they are written again.
    const { createRevision, modRevision } = found;
    this.#lease = isLease(found)
      ? found
      : { ...before, attributes: { publicIp: {} }, createRevision, modRevision };
    return event;
  }

  /**
   * Makes the value in the store ours. False when it is not as we know it, or its store lease is gone.
   * @throws StoreError
   */
  async publish(attributes: LeaseAttributes): Promise<boolean> {
    const value = this.#valueOf(attributes);
    this.#unanswered = encodeAttributes(value);
    try {
      const written = await this.#registry.replace(this.#lease, value, this.#storeLease);
      this.#unanswered = undefined;
      if (written.ok) this.#lease = written.lease;
      return written.ok;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'LEASE_LOST') throw error;
      this.#unanswered = undefined;
      this.#isStoreLeaseGone = true;
      return false;
    }
  }

  /** Ends the store lease before its time is over; a failure is of no consequence. */
  async revoke(): Promise<void> {
    if (this.#isStoreLeaseGone) return;
    await this.giveBack().catch(() => undefined);
  }

  /** Deletes our key, but only while it is attached to this store lease: never another host's. @throws StoreError */
  async giveBack(): Promise<void> {
    if (this.#storeLease !== 0n) await this.#registry.store.revoke(this.#storeLease);
  }

  #compare(found: Lease | RejectedLease, own: LeaseAttributes): KeyEvent | undefined {
    const lease = this.#lease;
    if (found.modRevision === lease.modRevision) return undefined;
    if (!isLease(found)) return { type: 'overwritten', lease, found };
    const { claim, reserved } = found.attributes;
    if (claim !== undefined) return { type: 'claimed', lease, by: claim };
    if (isReservation(found) && reserved === true && !this.#isReserved)
      return { type: 'reserved', lease: found };
    // Our own write, whose answer was lost.
    if (this.#isOurWrite(found, own)) return { type: 'published', lease: found };
    return { type: 'overwritten', lease, found };
  }

  /** A store lease that ends deletes its key; a key that is gone without it was deleted. */
  async #causeOfEnd(): Promise<LossCause> {
    if (this.#storeLease !== 0n && !this.#isStoreLeaseGone) await this.renew();
    return this.#isStoreLeaseGone ? 'expired' : 'deleted';
  }

  async #replaceStoreLease(): Promise<void> {
    const sent = this.#clock.monotonic();
    const { id, ttl } = await this.#registry.store.grant(this.#registry.ttl);
    this.#storeLease = id;
    this.#isStoreLeaseGone = false;
    this.#renewal.confirmed(sent, ttl);
  }

  #isOurWrite(found: Lease, own: LeaseAttributes): boolean {
    if (found.storeLease !== this.#storeLease) return false;
    const value = encodeAttributes(found.attributes);
    const isUnanswered = this.#unanswered !== undefined && bytesEqual(value, this.#unanswered);
    return isUnanswered || bytesEqual(value, this.#encode(own));
  }

  #encode(attributes: LeaseAttributes): Uint8Array {
    return encodeAttributes(this.#valueOf(attributes));
  }

  #valueOf(attributes: LeaseAttributes): LeaseAttributes {
    return valueFor(this.#lease, attributes, this.#isReserved);
  }
}
