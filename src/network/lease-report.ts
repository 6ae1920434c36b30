/** Reports on this host's own lease: its condition, its warnings, its events and its part of the status. */
import type { LeaseReport } from '../api/status.ts';
import type { Clock } from '../base/clock.ts';
import { mapFamilies } from '../base/per-family.ts';
import type { KeyValue } from '../store/store.ts';
import { evidenceOf } from '../subnet/allocate/identity.ts';
import { COPIED_DISK, type HolderEvent, type HolderState } from '../subnet/holder/holder-state.ts';
import type { OwnAttributes } from '../subnet/holder/lease-holder.ts';
import { addressOf, formatSubnet, isLease, isReservation, type Lease } from '../subnet/lease/lease.ts';
import type { Registry } from '../subnet/registry.ts';
import type { ConditionFailure, EventReporter, OwnedWarning } from './reports.ts';

/** The lease this host had at the last contact with the store; not that of the host whose disk was copied to this one. */
export function ownLeaseAmong(
  known: Iterable<KeyValue>,
  registry: Registry,
  own: OwnAttributes,
): Lease | undefined {
  for (const kv of known) {
    if (!kv.key.startsWith(registry.subnetsPrefix)) continue;
    const lease = registry.decode(kv);
    if (!isLease(lease) || lease.attributes.hostId !== own.hostId) continue;
    if (evidenceOf(lease.attributes, own) !== 'copy') return lease;
  }
  return undefined;
}

/** Why this host cannot be reached by its peers; undefined when it can, or when that is about to be settled. */
export function leaseFailure({ lease, failure }: HolderState): ConditionFailure | undefined {
  return lease === undefined ? failure : undefined;
}

export function leaseWarnings(state: HolderState): OwnedWarning[] {
  return [unpublished(state), refused(state), duplicateIdentity(state)].filter(
    warning => warning !== undefined,
  );
}

/** The store does not accept what has changed on this host, so that peers know what was. */
function unpublished({ lease, published, failure }: HolderState): OwnedWarning | undefined {
  if (lease === undefined || published !== false || failure === undefined) return undefined;
  const { reason, hint } = failure;
  return {
    id: 'unpublished',
    code: 'LEASE_NOT_PUBLISHED',
    severity: 'error',
    title: 'this host has changed, and the store does not accept the change',
    text: `the lease ${lease.key} still has the previous address or device: ${reason}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** A lease that is in use and that the store does not give this host any more: for a reason of its own, not for being away. */
function refused({ lease, ownership, published, failure }: HolderState): OwnedWarning | undefined {
  if (lease === undefined || ownership !== 'unconfirmed' || published === false) return undefined;
  if (failure === undefined || failure.code === 'STORE_UNAVAILABLE') return undefined;
  const { reason, hint } = failure;
  return {
    id: 'refused',
    code: 'LEASE_REFUSED',
    severity: 'error',
    title: 'the store does not give this host a lease',
    text: `the lease ${lease.key} stays in use meanwhile: ${reason}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** A host that was cloned with its disk has the identity of the other one, and wants its lease. */
function duplicateIdentity({ otherWriter }: HolderState): OwnedWarning | undefined {
  if (otherWriter === undefined) return undefined;
  const { key, address = 'an unknown address' } = otherWriter;
  return {
    id: 'identity',
    code: 'DUPLICATE_IDENTITY',
    severity: 'error',
    title: 'another host has the identity of this one',
    text: `${address} claims the lease ${key} with the same host id as this host; only one of the two can have it`,
    hint: COPIED_DISK,
  };
}

export function leaseStatus(
  { lease, ownership, deadline }: HolderState,
  clock: Clock,
): LeaseReport | undefined {
  if (lease === undefined) return undefined;
  const { key, subnet, storeLease } = lease;
  return {
    key,
    subnet: mapFamilies(subnet, String),
    ...(storeLease === 0n ? {} : { storeLease: storeLease.toString(16) }),
    ...(deadline === undefined
      ? {}
      : { expires: new Date(clock.now() + deadline - clock.monotonic()).toISOString() }),
    reservation: isReservation(lease),
    ownership: ownership ?? 'unconfirmed',
  };
}

/** Contact with the store is a condition of its own. */
export function emitLeaseEvent(events: EventReporter, event: HolderEvent): void {
  switch (event.type) {
    case 'acquired': {
      const { lease, origin } = event;
      const text = `this host has the subnet ${formatSubnet(lease.subnet)} (${origin})`;
      return events.add('info', 'lease-acquired', text, { key: lease.key, origin });
    }
    case 'published': {
      const { key, modRevision } = event.lease;
      const text = 'the address and device of this host were published in its lease';
      return events.add('info', 'lease-published', text, { key, revision: String(modRevision) });
    }
    case 'reserved': {
      const text = `the subnet ${formatSubnet(event.lease.subnet)} is reserved for this host now`;
      return events.add('info', 'lease-reserved', text, { key: event.lease.key });
    }
    case 'lost': {
      const { lease, cause, by } = event;
      const to = by && addressOf(by.attributes);
      const whom = to === undefined ? '' : `, and ${to} has it now`;
      const text = `the lease of ${formatSubnet(lease.subnet)} is lost: ${cause}${whom}`;
      return events.add('error', 'lease-lost', text, { key: lease.key, cause });
    }
    case 'overwritten': {
      const { found } = event;
      const isBare = isLease(found) && isReservation(found) && !isReservation(event.lease);
      const hint = isBare ? '; it had lost its expiry: use `tulle lease reserve` for a reservation' : '';
      const text = `another program wrote to the lease of this host; it is restored${hint}`;
      return events.add('warning', 'lease-overwritten', text, { key: event.lease.key });
    }
    case 'claimed': {
      const { lease, by } = event;
      const text = `${addressOf(by) ?? 'a host'} asked whether the holder of ${lease.key} is alive; this host answered`;
      return events.add('warning', 'lease-claimed', text, { key: lease.key });
    }
    case 'conflict': {
      const text = `the lease ${event.lease.key} has the identity of this host, and another host holds it`;
      return events.add('error', 'lease-conflict', text, { key: event.lease.key });
    }
    case 'waiting':
      return events.add('warning', 'lease-waiting', event.reason);
    case 'unconfirmed': {
      const text = 'the lease could not be renewed in time; it stays in use until the store is back';
      return events.add('warning', 'lease-unconfirmed', text, { key: event.lease.key });
    }
    case 'store-failed':
    case 'store-recovered':
      return;
  }
}
