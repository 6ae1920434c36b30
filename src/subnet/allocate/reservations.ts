/**
 * Reservations: a subnet pinned to a host by a key that never expires. A host finds its reservation by its id or
 * its public address and uses it as it is; nothing a host does turns it into an ordinary lease. One that is made here
 * says so in its value: a lease whose expiry was overwritten gets it back from its host.
 */

import { FAMILIES } from '../../base/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { formatLeaseKey } from '../lease/key.ts';
import { addressOf, isLease, type Lease, type LeaseAttributes, type Subnet } from '../lease/lease.ts';
import { checkSubnet } from '../lease/lease-check.ts';
import { olderOverlap, takenWithin } from '../lease/taken-blocks.ts';
import type { Registry } from '../registry.ts';

/** Who a subnet is reserved for: an id, an address, or several. */
export type ReservationOwner = Pick<LeaseAttributes, 'hostId' | 'publicIp'>;

export type ReserveResult =
  | { readonly ok: true; readonly lease: Lease }
  | { readonly ok: false; readonly reason: string };

/** Makes a reservation, or makes one of the lease that the same host holds now. @throws StoreError */
export async function reserve(
  registry: Registry,
  config: NetworkConfig,
  subnet: Subnet,
  owner: ReservationOwner,
): Promise<ReserveResult> {
  const wrong = checkSubnet(subnet, config);
  if (wrong !== undefined) return { ok: false, reason: wrong };
  const key = formatLeaseKey(subnet);
  const found = await registry.get(key);
  if (found !== undefined) {
    if (!isLease(found) || !isSameOwner(found.attributes, owner))
      return { ok: false, reason: takenBy(found) };
    const written = await registry.replace(found, { ...found.attributes, reserved: true }, 0n);
    return written.ok ? written : { ok: false, reason: takenBy(written.found) };
  }

  const written = await registry.create(subnet, { ...owner, reserved: true }, 0n);
  if (!written.ok) return { ok: false, reason: takenBy(written.found) };
  const takenBlocks = await registry.takenAfter(0n);
  const older = olderOverlap(takenWithin(takenBlocks, config), written.lease);
  if (older === undefined) return written;
  await registry.remove(written.lease);
  return { ok: false, reason: `it overlaps ${older.block}, which is taken (${older.key})` };
}

function isSameOwner(attributes: LeaseAttributes, owner: ReservationOwner): boolean {
  if (owner.hostId !== undefined && attributes.hostId !== undefined) {
    return owner.hostId === attributes.hostId;
  }
  return FAMILIES.some(family => owner.publicIp[family]?.equals(attributes.publicIp[family]) === true);
}

function takenBy(found: Awaited<ReturnType<Registry['get']>>): string {
  if (!isLease(found)) return 'another writer changed it at the same time, or its value is not a lease';
  const { hostId } = found.attributes;
  const holder = addressOf(found.attributes) ?? 'a host without address';
  return `it is held by ${holder}${hostId === undefined ? '' : ` (host ${hostId})`}`;
}
