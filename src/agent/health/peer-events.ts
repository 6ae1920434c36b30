/** What is remarkable about the peers: told once as an event, and as a warning for as long as it lasts. */
import { enumerate } from '../../base/enumerate.ts';
import { unreachable } from '../../base/errors.ts';
import type { PeerTracker, TrackerEvent } from '../../subnet/peers/peers.ts';
import type { EventLog } from './event-log.ts';
import type { Health } from './health.ts';

/** Contact to the store is told by its condition. */
export function emitPeerEvent(events: EventLog, event: TrackerEvent): void {
  switch (event.type) {
    case 'rejected': {
      const { key, reason } = event;
      return events.add('warning', 'lease-rejected', `the lease ${key} is not used: ${reason}`, {
        key,
        reason,
      });
    }
    case 'accepted':
      return events.add('info', 'lease-accepted', `the lease ${event.key} is used now`, { key: event.key });
    case 'withdrawn': {
      const text = `the lease ${event.key}, which was not used, is gone`;
      return events.add('info', 'lease-withdrawn', text, { key: event.key });
    }
    case 'forgotten': {
      const text =
        'the store was emptied or set back and has forgotten leases that are in use; they stay in use until ' +
        `their hosts write them again: ${enumerate(event.keys)}`;
      return events.add('warning', 'leases-forgotten', text, { keys: event.keys });
    }
    case 'shared-address':
    case 'interrupted':
    case 'resumed':
      return;
    default:
      return unreachable(event);
  }
}

export function warnOfPeers(health: Health, tracker: PeerTracker): void {
  const hint = 'every host needs an address of its own: see --public-ip and --iface';
  const shared = Array.from(tracker.sharedAddresses(), ({ address, keys }) => ({
    id: `shared ${address}`,
    code: 'SHARED_PUBLIC_IP',
    severity: 'warning' as const,
    title: `several peers have the public address ${address}`,
    text: `packets for ${enumerate(keys)} all go to whichever host really has it`,
    hint,
  }));
  const claimed = Array.from(tracker.claimsOfOwnAddress(), ({ address, key }) => ({
    id: `own ${key}`,
    code: 'DUPLICATE_PUBLIC_IP',
    severity: 'warning' as const,
    title: `another lease has the public address of this host, ${address}`,
    text: `the lease ${key} is not used here, and other hosts send its packets to one of the two`,
    hint: `${hint}; a lease that is left from an earlier identity of this host ends by itself`,
  }));
  const kept = [...tracker.kept()];
  const forgotten = {
    id: 'forgotten',
    code: 'PEERS_KEPT',
    severity: 'warning' as const,
    title: 'the store was emptied or set back, and has forgotten leases that are in use',
    text: `they stay in use until their hosts write them again, for a day at most: ${enumerate(kept)}`,
    hint: 'if those hosts are gone for good, a restart of this agent forgets them too',
  };
  health.warn('peers', [...shared, ...claimed, ...(kept.length === 0 ? [] : [forgotten])]);
}
