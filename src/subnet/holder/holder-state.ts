/** What a LeaseHolder reports: the state of the lease, and what happened to it. */
import type { Ip } from '../../base/ip.ts';
import type { StoreError } from '../../store/store.ts';
import type { Acquisition, Origin } from '../allocate/acquire.ts';
import { addressOf, type Claimant, type Lease, type RejectedLease } from '../lease/lease.ts';

export interface HolderState {
  /** The lease to work with. While it is absent the host keeps what it has and gets no new peers' traffic. */
  readonly lease?: Lease;
  /**
   * held         the store has confirmed it, and its time is not over
   * unconfirmed  known from before, or the store was away for longer than the lease lasts: still ours unless
   *              another host took it, which shows when the store is back
   */
  readonly ownership?: 'held' | 'unconfirmed';
  /** Whether the lease in the store says what peers should know of this host now. */
  readonly published?: boolean;
  /** When the store would let it go without renewal, on the monotonic clock; absent for a reservation. */
  readonly deadline?: number;
  /** Why there is no lease, or no contact to the store. */
  readonly failure?: LeaseFailure;
  /** Another host with our id, which wants this lease too. */
  readonly otherWriter?: OtherWriter;
}

export interface OtherWriter {
  readonly key: string;
  readonly address: Ip | undefined;
}

export interface LeaseFailure {
  readonly code: /** Every subnet is taken; the holder waits for one. */
    | 'OUT_OF_SUBNETS'
    /** Another host has the subnet now, or it was deleted; the holder is getting another. */
    | 'LEASE_LOST'
    /** Another host has this host's id and its lease; the holder waits for its end. */
    | 'DUPLICATE_IDENTITY'
    /** The store does not answer; the holder tries again. */
    | 'STORE_UNAVAILABLE'
    /** The store refuses; the holder tries again, in case a person changes that. */
    | 'STORE_REFUSED';
  readonly reason: string;
  readonly hint?: string;
}

/** One change of state; every one is reported, in order. */
export type HolderEvent =
  | { readonly type: 'acquired'; readonly lease: Lease; readonly origin: Origin }
  /** Our attributes were written, for peers to read. */
  | { readonly type: 'published'; readonly lease: Lease }
  /** The lease has become a reservation: it does not expire any more. */
  | { readonly type: 'reserved'; readonly lease: Lease }
  | { readonly type: 'lost'; readonly lease: Lease; readonly cause: LossCause; readonly by?: Lease }
  /** Our key was written with our own id, or with a value that is not a lease; ours is written again. */
  | { readonly type: 'overwritten'; readonly lease: Lease; readonly found: Lease | RejectedLease }
  /** Another host asked whether we run, and got our answer. */
  | { readonly type: 'claimed'; readonly lease: Lease; readonly by: Claimant }
  /** Another host has our id and the lease that goes with it. */
  | { readonly type: 'conflict'; readonly lease: Lease }
  | { readonly type: 'waiting'; readonly reason: string }
  /** The lease's time passed without contact to the store. */
  | { readonly type: 'unconfirmed'; readonly lease: Lease }
  | { readonly type: 'store-failed'; readonly error: StoreError }
  | { readonly type: 'store-recovered' };

/** What may become of our key without us. */
export type KeyEvent = Extract<
  HolderEvent,
  { readonly type: 'published' | 'reserved' | 'claimed' | 'overwritten' | 'lost' }
>;

/** The store lease ended; the key was deleted by a person or program; another host has the key. */
export type LossCause = 'expired' | 'deleted' | 'taken';

export function failureByLoss({
  lease: { key },
  cause,
  by,
}: Extract<HolderEvent, { readonly type: 'lost' }>): LeaseFailure {
  const holder = by && addressOf(by.attributes);
  const reason = {
    expired: `the lease ${key} ended: it was revoked, was not renewed in time, or the store has forgotten it`,
    deleted: `the lease ${key} was deleted`,
    taken: `the subnet ${key} is held by another host now${holder === undefined ? '' : ` (${holder})`}`,
  }[cause];
  return { code: 'LEASE_LOST', reason };
}

/** Event and failure of a host that has to wait for its lease. */
export function waitingEvent(
  result: Exclude<Acquisition, { readonly outcome: 'acquired' }>,
): readonly [HolderEvent, LeaseFailure] {
  if (result.outcome === 'full') {
    const { reason } = result;
    const hint = 'widen the network or its range, or release leases of hosts that are gone';
    return [
      { type: 'waiting', reason },
      { code: 'OUT_OF_SUBNETS', reason, hint },
    ];
  }
  const { lease } = result;
  const address = addressOf(lease.attributes) ?? 'without address';
  const reason = `the lease ${lease.key} has the id of this host, but belongs to another host (${address})`;
  return [
    { type: 'conflict', lease },
    { code: 'DUPLICATE_IDENTITY', reason, hint: COPIED_DISK },
  ];
}

/** What to do about two hosts with one identity. */
export const COPIED_DISK =
  'one of them is probably a copy of the other disk: there, stop the agent, delete identity.json in its state directory, ' +
  'and start it again; if the other host is gone permanently, release its lease with `tulle lease release --force`';

export function failureByStore({ retriable, message, hint }: StoreError): LeaseFailure {
  const code = retriable ? 'STORE_UNAVAILABLE' : 'STORE_REFUSED';
  return { code, reason: message, ...(hint === undefined ? {} : { hint }) };
}
