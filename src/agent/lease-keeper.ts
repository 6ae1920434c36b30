/** This host's own lease as the agent sees it: its condition, its events, and its part of the status document. */
import type { LeaseStatus } from '../api/status.ts';
import type { Clock } from '../base/clock.ts';
import type { KeyValue } from '../store/store.ts';
import type { HolderEvent, HolderState } from '../subnet/holder-state.ts';
import { formatSubnet, isLease, isReservation, type Lease } from '../subnet/lease.ts';
import type { Registry } from '../subnet/registry.ts';
import type { EventLog } from './event-log.ts';
import type { OwnedWarning, Trouble } from './health.ts';
import { isoTime } from './status-document.ts';

/** The lease this host had when the store was last heard of. */
export function ownLeaseAmong(
  known: Iterable<KeyValue>,
  registry: Registry,
  hostId: string,
): Lease | undefined {
  for (const kv of known) {
    if (!kv.key.startsWith(registry.subnetsPrefix)) continue;
    const lease = registry.decode(kv);
    if (isLease(lease) && lease.attributes.hostId === hostId) return lease;
  }
  return undefined;
}

/** Why this host cannot be reached by its peers; undefined when it can, or when that is about to be settled. */
export function leaseTrouble({ lease, trouble }: HolderState): Trouble | undefined {
  return lease === undefined ? trouble : undefined;
}

export function leaseWarnings(state: HolderState): OwnedWarning[] {
  return [unpublished(state), duplicateIdentity(state)].filter(warning => warning !== undefined);
}

/** What peers believe of this host and is not so any more, because the store does not take the news. */
function unpublished({ lease, published, trouble }: HolderState): OwnedWarning | undefined {
  if (lease === undefined || published !== false || trouble === undefined) return undefined;
  const { reason, hint } = trouble;
  return {
    id: 'unpublished',
    code: 'LEASE_NOT_PUBLISHED',
    severity: 'error',
    title: 'this host has changed, and the store does not take the news for its peers',
    text: `the lease ${lease.key} still has the former address or device: ${reason}`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/** A host that was cloned with its disk has the identity of the other one, and takes its lease. */
function duplicateIdentity({ lease, rival }: HolderState): OwnedWarning | undefined {
  if (lease === undefined || rival === undefined) return undefined;
  const address = rival.attributes.publicIp ?? rival.attributes.publicIpv6 ?? 'an unknown address';
  return {
    id: 'identity',
    code: 'DUPLICATE_IDENTITY',
    severity: 'error',
    title: 'another host has the identity of this one',
    text: `it publishes ${address} in the lease ${lease.key}, as this host does; peers send the packets of both to one of them`,
    hint: 'one of them was probably copied with its disk: there, stop the agent, delete identity.json in its state directory, and start it again',
  };
}

export function leaseStatus(
  { lease, ownership, deadline }: HolderState,
  clock: Clock,
): LeaseStatus | undefined {
  if (lease === undefined) return undefined;
  const { key, subnet, storeLease } = lease;
  return {
    key,
    ...(subnet.ipv4 && { ipv4: subnet.ipv4.toString() }),
    ...(subnet.ipv6 && { ipv6: subnet.ipv6.toString() }),
    ...(storeLease === 0n ? {} : { storeLease: storeLease.toString(16) }),
    ...(deadline === undefined ? {} : { expires: isoTime(clock.now() + deadline - clock.monotonic()) }),
    reservation: isReservation(lease),
    ownership: ownership ?? 'unconfirmed',
  };
}

/** Tells what happened to the lease. What concerns the store alone is told by its condition. */
export function tellLeaseEvent(events: EventLog, event: HolderEvent): void {
  switch (event.type) {
    case 'acquired': {
      const { lease, origin } = event;
      const text = `this host has the subnet ${formatSubnet(lease.subnet)} (${origin})`;
      return events.add('info', 'lease-acquired', text, { key: lease.key, origin });
    }
    case 'published': {
      const { key, modRevision } = event.lease;
      const text = 'what peers need to know of this host was written to the lease';
      return events.add('info', 'lease-published', text, { key, revision: String(modRevision) });
    }
    case 'reserved': {
      const text = `the subnet ${formatSubnet(event.lease.subnet)} is reserved for this host now`;
      return events.add('info', 'lease-reserved', text, { key: event.lease.key });
    }
    case 'lost': {
      const { lease, cause, by } = event;
      const to = by?.attributes.publicIp ?? by?.attributes.publicIpv6;
      const whom = to === undefined ? '' : `, and ${to} has it now`;
      const text = `the lease of ${formatSubnet(lease.subnet)} is lost: ${cause}${whom}`;
      return events.add('error', 'lease-lost', text, { key: lease.key, cause });
    }
    case 'overwritten': {
      const text = 'something else wrote to the lease of this host; it is written again';
      return events.add('warning', 'lease-overwritten', text, { key: event.lease.key });
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
