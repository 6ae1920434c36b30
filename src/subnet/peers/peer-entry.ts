/** The data of a PeerSet: its context, what it reports, and one entry per key below `subnets`, ordered by age. */
import type { Ip } from '../../base/ip.ts';
import type { Revision } from '../../store/store.ts';
import type { NetworkConfig } from '../config/config.ts';
import {
  addressesOf,
  isLease,
  type Lease,
  type LeaseAttributes,
  type RejectedLease,
} from '../lease/lease.ts';

/** What leases are judged by. */
export interface Self {
  readonly config: NetworkConfig;
  /** What we publish: our id, and the addresses that lead back to us. */
  readonly self: LeaseAttributes;
  /** The key of our own lease, whatever it says; absent until it is known which one that is. */
  readonly ownKey?: string;
}

/** Reported once. */
export type PeerEvent =
  | { readonly type: 'rejected'; readonly key: string; readonly reason: string }
  /** A key that was rejected is a good lease now. */
  | { readonly type: 'accepted'; readonly key: string }
  /** A key that was rejected is gone. */
  | { readonly type: 'withdrawn'; readonly key: string }
  /** Several peers have one public address: packets for all of them go to the host that really has it. */
  | { readonly type: 'shared-address'; readonly address: Ip; readonly keys: readonly string[] };

export interface PeerChanges {
  readonly changed: readonly Lease[];
  /** Keys. */
  readonly removed: readonly string[];
}

export interface PeerEntry {
  readonly key: string;
  /** What the store has now. */
  latest: Lease | RejectedLease;
  /** The last value that was good, perhaps before the latest. */
  good?: Lease;
  /** What is in use: a part of `peers`, or our own. */
  active?: Lease;
  isOwn: boolean;
  /** Since when it names its VTEP MAC addresses, as far as this host has seen. */
  vtepsSince: Revision;
  /** Why the latest value is not in use. */
  reason?: string;
}

export function isOlder(entry: PeerEntry, than: Lease): boolean {
  return entry.active !== undefined && compareLeases(entry.active, than) < 0;
}

/** A lease may be old, and name another host's VTEP MAC address only since yesterday. */
export function hadVtepsBefore(a: PeerEntry, b: PeerEntry): boolean {
  return a.vtepsSince === b.vtepsSince ? a.key < b.key : a.vtepsSince < b.vtepsSince;
}

/** For sorting, the oldest first. */
export const compareAge = (a: PeerEntry, b: PeerEntry) =>
  isLease(a.latest) && isLease(b.latest) ? compareLeases(a.latest, b.latest) : 0;

/** By age, and by key for those that were made in one transaction. */
function compareLeases(a: Lease, b: Lease): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** Also when another host wrote it last: our own lease is the holder's concern. */
export function isOfSelf(lease: Lease, context: Self): boolean {
  const { hostId } = lease.attributes;
  if (lease.key === context.ownKey) return true;
  return hostId !== undefined && hostId === context.self.hostId && !isDuplicateIdentity(lease, context);
}

/**
 * Whether a lease is of another machine, at another address, under the id of this host, which has a lease itself: one
 * of the two is a copy of the other.
 */
export function isDuplicateIdentity({ key, attributes }: Lease, { self, ownKey }: Self): boolean {
  const { hostId, machine } = attributes;
  if (ownKey === undefined || key === ownKey || machine === undefined || self.machine === undefined)
    return false;
  if (hostId === undefined || hostId !== self.hostId || machine === self.machine) return false;
  const own = addressesOf(self);
  return !addressesOf(attributes).some(ip => own.some(ours => ours.equals(ip)));
}
