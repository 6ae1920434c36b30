/**
 * The nouns of the registry. A Lease is a subnet held by a host, as stored at `<prefix>/subnets/<key>`
 * (flannel.md 1.5; flannel pkg/lease/lease.go). The etcd lease it hangs on is the StoreLease.
 */
import type { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import type { Revision, StoreLeaseId } from '../store/store.ts';

/** The block or blocks of one host: at least one of the two is set. */
export interface Subnet {
  readonly ipv4?: Prefix;
  readonly ipv6?: Prefix;
}

/** The JSON value of a lease key. */
export interface LeaseAttributes {
  /** Where peers send packets for this subnet; undefined when the host has no IPv4 (stored as 0.0.0.0). */
  readonly publicIp?: Ip;
  readonly publicIpv6?: Ip;
  /** Absent for udp and alloc, as flannel stores it. */
  readonly backendType?: string;
  /** What the backend wants peers to know; its own JSON, checked by the backend. */
  readonly backendData?: unknown;
  readonly backendV6Data?: unknown;
  /** Stable identity of a Tulle host (our own extra field `TulleHost`); absent on leases flannel wrote. */
  readonly hostId?: string;
}

export interface Lease {
  /** The last path element in the store: `10.5.34.0-24`. */
  readonly key: string;
  readonly subnet: Subnet;
  readonly attributes: LeaseAttributes;
  /** 0n for a reservation: a key without expiry. */
  readonly storeLease: StoreLeaseId;
  readonly modRevision: Revision;
}

/** A key or value below `<prefix>/subnets` that is not a usable lease, and why. */
export interface RejectedLease {
  readonly key: string;
  readonly reason: string;
}
