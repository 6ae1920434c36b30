/**
 * A lease that is this host's, and the store lease it hangs on: renewed, written, and looked after when it may not be
 * as we know it. What is to be done about what is found is the LeaseHolder's business.
 *
 * A write whose answer was lost may have been done. It is remembered, so that our own words are not taken for those
 * of a stranger when they are found.
 */
import { bytesEqual } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { StoreError, type StoreLeaseId } from '../../store/store.ts';
import { encodeAttributes } from '../lease/attributes.ts';
import {
  type Claimant,
  isHeldBy,
  isLease,
  isReservation,
  type Lease,
  type LeaseAttributes,
  type RejectedLease,
  valueFor,
} from '../lease/lease.ts';
import type { Registry } from '../registry.ts';
import type { LossCause } from './holder-state.ts';
import type { Renewal } from './renewal.ts';

/** What our key says. */
export type Finding =
  | { readonly type: 'unchanged' }
  /** What we wrote ourselves, without having heard that it was done. */
  | { readonly type: 'written' }
  | { readonly type: 'overwritten'; readonly found: Lease | RejectedLease }
  /** Somebody asks whether we live. */
  | { readonly type: 'claimed'; readonly by: Claimant }
  /** It has no expiry any more. */
  | { readonly type: 'reserved' }
  | { readonly type: 'lost'; readonly cause: LossCause; readonly by?: Lease };

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

  /** Whether this is what the lease in the store says. */
  says(attributes: LeaseAttributes): boolean {
    return bytesEqual(this.#encode(attributes), encodeAttributes(this.#lease.attributes));
  }

  /** Whether there is something to write: another value, or another store lease. */
  differsFrom(attributes: LeaseAttributes): boolean {
    return !this.says(attributes) || this.#lease.storeLease !== this.#storeLease;
  }

  /** False when the store lease is gone. @throws StoreError */
  async renew(): Promise<boolean> {
    const sent = this.#clock.monotonic();
    const ttl = await this.#registry.store.keepAlive(this.#storeLease);
    this.#isStoreLeaseGone = ttl === undefined;
    if (ttl !== undefined) this.#renewal.confirmed(sent, ttl);
    return ttl !== undefined;
  }

  /** Reads our key and draws the conclusion; one that is still ours hangs on a good store lease then. @throws StoreError */
  async look(own: LeaseAttributes): Promise<Finding> {
    const before = this.#lease;
    const found = await this.#registry.get(before.key);
    if (found === undefined) return { type: 'lost', cause: await this.#causeOfEnd() };
    if (isLease(found) && !isHeldBy(found, own)) return { type: 'lost', cause: 'taken', by: found };

    const finding = this.#compare(found, own);
    if (finding.type === 'reserved') {
      await this.revoke();
      this.#storeLease = 0n;
      this.#isReserved = true;
      this.#renewal.stop();
    }
    if (this.#isStoreLeaseGone && this.#storeLease !== 0n) await this.#replaceStoreLease();
    // A value that is no lease has none of our attributes, so that they are written again.
    const { createRevision, modRevision } = found;
    this.#lease = isLease(found) ? found : { ...before, attributes: {}, createRevision, modRevision };
    return finding;
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

  /** What nobody uses any more ends by itself too; this only tidies up earlier. */
  async revoke(): Promise<void> {
    if (this.#isStoreLeaseGone) return;
    await this.giveBack().catch(() => undefined);
  }

  /** Deletes our key, but only where it still hangs on this store lease: nobody else can be hurt. @throws StoreError */
  async giveBack(): Promise<void> {
    if (this.#storeLease !== 0n) await this.#registry.store.revoke(this.#storeLease);
  }

  #compare(found: Lease | RejectedLease, own: LeaseAttributes): Finding {
    if (found.modRevision === this.#lease.modRevision) return { type: 'unchanged' };
    if (!isLease(found)) return { type: 'overwritten', found };
    const { claim, reserved } = found.attributes;
    if (claim !== undefined) return { type: 'claimed', by: claim };
    if (isReservation(found) && reserved === true && !this.#isReserved) return { type: 'reserved' };
    return this.#isOurWord(found, own) ? { type: 'written' } : { type: 'overwritten', found };
  }

  /** A store lease takes its key along; a key that is gone alone was deleted by somebody. */
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

  #isOurWord(found: Lease, own: LeaseAttributes): boolean {
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
