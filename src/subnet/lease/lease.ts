/**
 * The nouns of the registry. A Lease is a subnet held by a host, as stored at `<prefix>/subnets/<key>` (flannel
 * pkg/lease/lease.go). The etcd lease it hangs on is the StoreLease.
 */
import { bytesEqual } from '../../base/bytes.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { familiesOf, type PerFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { KeyValue, Revision, StoreLeaseId } from '../../store/store.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import { parseLeaseKey } from './key.ts';

/** The block or blocks of one host, at least one. */
export type Subnet = PerFamily<Prefix>;

/** The JSON value of a lease key. */
export interface LeaseAttributes {
  /** Where peers send packets for this subnet. */
  readonly publicIp: PerFamily<Ip>;
  /** Absent for udp and alloc, as flannel stores it. */
  readonly backendType?: string;
  /** What the backend wants peers to know; its own JSON, checked by the backend. Absent where no family has any. */
  readonly backendData?: PerFamily<unknown>;
  /** Stable identity of a Tulle host (our own extra field `TulleHost`); absent on leases flannel wrote. */
  readonly hostId?: string;
  /** What the host calls itself (our own extra field `TulleHostName`): for people, and no proof of anything. */
  readonly hostName?: string;
  /** What only this machine has (our own extra field `TulleMachine`): see identity.ts. */
  readonly machine?: string;
  /** Without expiry on purpose (our own extra field `TulleReserved`), and not because a put took it off its store lease. */
  readonly reserved?: true;
  /** Which host asks whether the holder runs (our own extra field `TulleClaim`); a running holder removes it. */
  readonly claim?: Claimant;
  /** UDP port on which the host takes tunnel packets (our own extra field `TulleTunnelPort`); flannel publishes none. */
  readonly tunnelPort?: number;
  /** TCP port where its agent answers other hosts (our own extra field `TullePeerApi`); absent where it does not. */
  readonly peerApiPort?: number;
  /** Underlay addresses that its tunnel packets come from, where these are not its public ones (our own extra field `TulleSendsFrom`). */
  readonly sendsFrom?: readonly Ip[];
  /** By which other ways the host can be reached (our own extra field `TulleWays`): that of the backend auto. */
  readonly ways?: PublishedWays;
  /** Unknown members of the JSON object; kept when the lease is written again. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface PublishedWays {
  /** Packets for its containers may be sent to its public address as they are, by hosts on the same link. */
  readonly direct: boolean;
  /** UDP port on which its forwarder takes them; absent when it has none. */
  readonly udp?: number;
}

/** A host as a lease names it. */
export type Claimant = Pick<LeaseAttributes, 'hostId' | 'publicIp'>;

export interface Lease {
  /** The last path element in the store: `10.5.34.0-24`. */
  readonly key: string;
  readonly subnet: Subnet;
  readonly attributes: LeaseAttributes;
  /** 0n for a reservation: a key without expiry. */
  readonly storeLease: StoreLeaseId;
  /** The older of two leases has the lower one. */
  readonly createRevision: Revision;
  readonly modRevision: Revision;
}

/** A key or value below `<prefix>/subnets` that is not a usable lease, and why. */
export interface RejectedLease {
  readonly key: string;
  readonly reason: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
}

export function isReservation(lease: Lease): boolean {
  return lease.storeLease === 0n;
}

/**
 * Whether a host wrote this lease with an expiry that it has lost: a plain `etcdctl put` over a lease takes it off its
 * store lease, which makes no reservation of it. A put that makes the key does.
 */
export function hasLostExpiry(lease: Lease): boolean {
  const { reserved, hostId, backendType, machine } = lease.attributes;
  const isWrittenOver = lease.modRevision !== lease.createRevision;
  const isOfHost = hostId !== undefined && (backendType !== undefined || machine !== undefined);
  return isReservation(lease) && reserved !== true && isWrittenOver && isOfHost;
}

/** The blocks of a subnet, IPv4 first. */
export function blocksOf(subnet: Subnet): readonly Prefix[] {
  return valuesOf(subnet);
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return blocksOf(a).some(block => blocksOf(b).some(other => block.overlaps(other)));
}

/** `10.5.34.0/24`, `fd00:0:0:1::/64`, or both with a comma between. */
export function formatSubnet(subnet: Subnet): string {
  return blocksOf(subnet).join(', ');
}

/** The public addresses of a host, IPv4 first. */
export function addressesOf({ publicIp }: Pick<LeaseAttributes, 'publicIp'>): readonly Ip[] {
  return valuesOf(publicIp);
}

/** The public address by which a message names a host. */
export function addressOf(host: Pick<LeaseAttributes, 'publicIp'>): Ip | undefined {
  return addressesOf(host)[0];
}

/** Whether two hosts' public addresses show that they are the same host, as far as addresses can show that. */
export function shareAddress({ publicIp: a }: LeaseAttributes, { publicIp: b }: LeaseAttributes): boolean {
  // The first family that both have decides.
  const family = familiesOf(a).find(one => b[one] !== undefined);
  return family !== undefined && a[family]?.equals(b[family]) === true;
}

/** Whether a lease of the host that publishes `own` is still its own, now that it says this. */
export function isHeldBy(lease: Lease, own: LeaseAttributes): boolean {
  const { hostId } = lease.attributes;
  if (hostId !== undefined) return hostId === own.hostId;
  // It names no other host.
  if (addressesOf(lease.attributes).length === 0) return true;
  // The way to pin a host's subnet that flannel documents: a put of its address without expiry.
  return isReservation(lease) && shareAddress(own, lease.attributes);
}

/**
 * Whether two hosts are one by what they publish: same addresses and same device. A device has a MAC address that no
 * other host makes, so this proves more than the address, which two hosts may share by mistake.
 */
export function leadToOneDevice(a: LeaseAttributes, b: LeaseAttributes): boolean {
  return a.backendData !== undefined && shareAddress(a, b) && isSamePath(a, b);
}

/** Whether packets take the same path by both: all members that flannel publishes as well. */
export function isSamePath(a: LeaseAttributes, b: LeaseAttributes): boolean {
  const essence = ({ publicIp, backendType, backendData }: LeaseAttributes) =>
    JSON.stringify([publicIp, backendType, backendData]);
  return essence(a) === essence(b);
}

/** Whether two values are the same but for a claim, which is for the holder alone. */
export function isSameValue(a: LeaseAttributes, b: LeaseAttributes): boolean {
  const encode = ({ claim: _claim, ...attributes }: LeaseAttributes) => encodeAttributes(attributes);
  return bytesEqual(encode(a), encode(b));
}

/** What a host that publishes `own` writes to a lease it has: members of others stay, and reservations say so. */
export function valueFor(lease: Lease, own: LeaseAttributes, isReserved: boolean): LeaseAttributes {
  const { extra } = lease.attributes;
  return { ...own, ...(isReserved && { reserved: true }), ...(extra !== undefined && { extra }) };
}

/** Reads what the store has; `key` is the last path element of `kv.key`. */
export function decodeLease(key: string, kv: KeyValue): Lease | RejectedLease {
  try {
    return {
      key,
      subnet: parseLeaseKey(key),
      attributes: decodeAttributes(kv.value),
      storeLease: kv.lease,
      createRevision: kv.createRevision,
      modRevision: kv.modRevision,
    };
  } catch (error) {
    const { createRevision, modRevision } = kv;
    return { key, reason: messageOf(error), createRevision, modRevision };
  }
}

export function isLease(read: Lease | RejectedLease | undefined): read is Lease {
  return read !== undefined && 'subnet' in read;
}

export function isRejected(read: Lease | RejectedLease): read is RejectedLease {
  return !isLease(read);
}
