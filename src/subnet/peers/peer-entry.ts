/** One key below `subnets` as the PeerSet knows it, and which of two is right where they cannot both be: the older one. */
import type { Ip } from '../../base/ip.ts';
import type { Revision } from '../../store/store.ts';
import { isLease, type Lease, type RejectedLease } from '../lease/lease.ts';

export interface PeerEntry {
  readonly key: string;
  /** What the store has now. */
  latest: Lease | RejectedLease;
  /** The last value that was good, perhaps before the latest. */
  good?: Lease;
  /** What is in use: a part of `peers`, or our own. */
  active?: Lease;
  isOwn: boolean;
  /** Since when it names the stations that it does, as far as this host has seen. */
  stationsSince: Revision;
  /** Why the latest value is not in use. */
  reason?: string;
}

export function isOlder(entry: PeerEntry, than: Lease): boolean {
  return entry.active !== undefined && compareLeases(entry.active, than) < 0;
}

/** A lease may be old, and name the station of somebody else only since yesterday. */
export function hadStationsBefore(a: PeerEntry, b: PeerEntry): boolean {
  return a.stationsSince === b.stationsSince ? a.key < b.key : a.stationsSince < b.stationsSince;
}

/** For sorting, the oldest first. */
export const compareAge = (a: PeerEntry, b: PeerEntry) =>
  isLease(a.latest) && isLease(b.latest) ? compareLeases(a.latest, b.latest) : 0;

/** By age, and by key for those that were made in one transaction. */
function compareLeases(a: Lease, b: Lease): number {
  if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

export const addressesOf = ({
  attributes: { publicIp, publicIpv6 },
}: Pick<Lease, 'attributes'>): readonly Ip[] => [publicIp, publicIpv6].filter(ip => ip !== undefined);
