/**
 * Reports on peers. Those that join, leave or change are events: one by one while they are few, and together when they
 * are many, so that the start of a cluster of thousands is one line. What is wrong with their leases is an event and,
 * for as long as it lasts, a warning.
 */

import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { enumerate } from '../base/enumerate.ts';
import { unreachable } from '../base/errors.ts';
import { Watchable } from '../base/watchable.ts';
import { COPIED_DISK } from '../subnet/holder/holder-state.ts';
import { addressesOf, formatSubnet, type Lease } from '../subnet/lease/lease.ts';
import type { PeerTracker, TrackerEvent } from '../subnet/peers/peers.ts';
import type { EventReporter, HealthReporter } from './reports.ts';

export interface PeerMove {
  readonly kind: 'added' | 'removed' | 'changed';
  readonly lease: Lease;
}

/** What a person calls it; and of a change what there is now. */
const VERB: Readonly<Record<PeerMove['kind'], string>> = {
  added: 'joined',
  removed: 'left',
  changed: 'changed',
};

/** Milliseconds in which further moves are gathered. */
const SETTLE = 1000;

/** So many are reported one by one. */
const FEW = 3;

/** Keys that an event of many has among its facts. */
const MOST_KEYS = 100;

export class PeerMoves {
  readonly #events: EventReporter;
  readonly #clock: Clock;
  readonly #count = new Watchable(0);
  #waiting: PeerMove[] = [];

  constructor({ events, clock }: { readonly events: EventReporter; readonly clock: Clock }) {
    this.#events = events;
    this.#clock = clock;
  }

  add(moves: readonly PeerMove[]): void {
    if (moves.length === 0) return;
    for (const move of moves) this.#waiting.push(move);
    this.#count.set(this.#count.value + moves.length);
  }

  /** Emits them until `signal` aborts: the first at once, and the next ones when they have settled. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#count.changes(signal)) {
      if (this.#waiting.length === 0) continue;
      this.#emit();
      await this.#clock.sleep(SETTLE, signal).catch(() => undefined);
    }
  }

  #emit(): void {
    const moves = this.#waiting;
    this.#waiting = [];
    for (const [kind, group] of Map.groupBy(moves, ({ kind }) => kind)) {
      const leases = group.map(({ lease }) => lease);
      if (leases.length > FEW) this.#emitMany(kind, leases);
      else for (const lease of leases) this.#emitOne(kind, lease);
    }
  }

  #emitOne(kind: PeerMove['kind'], lease: Lease): void {
    const { hostName, hostId } = lease.attributes;
    const addresses = addressesOf(lease.attributes).join(' ');
    const text = `${nameOf(lease)} ${VERB[kind]}: ${formatSubnet(lease.subnet)}${addresses && ` at ${addresses}`}`;
    const facts = { key: lease.key, host: hostName, hostId, addresses };
    this.#events.add('info', `peer-${kind}`, text, defined(facts));
  }

  #emitMany(kind: PeerMove['kind'], leases: readonly Lease[]): void {
    const name = (lease: Lease) => `${nameOf(lease)} ${formatSubnet(lease.subnet)}`;
    const text = `${leases.length.toLocaleString('en-US')} hosts ${VERB[kind]}: ${enumerate(leases, { name })}`;
    const keys = leases.slice(0, MOST_KEYS).map(({ key }) => key);
    this.#events.add('info', `peer-${kind}`, text, { count: leases.length, keys });
  }
}

const nameOf = ({ attributes: { hostName, hostId } }: Lease): string =>
  hostName ?? (hostId === undefined ? 'a flannel host' : `host ${hostId}`);

/** Contact with the store is a condition of its own. */
export function emitPeerEvent(events: EventReporter, event: TrackerEvent): void {
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

export function warnOfPeers(health: HealthReporter, tracker: PeerTracker): void {
  const hint = 'every host needs an address of its own: see --public-ip and --iface';
  const shared = Array.from(tracker.sharedAddresses(), ({ address, keys }) => ({
    id: `shared ${address}`,
    code: 'SHARED_PUBLIC_IP',
    severity: 'warning' as const,
    title: `several peers have the public address ${address}`,
    text: `packets for ${enumerate(keys)} all go to the host that really has it`,
    hint,
  }));
  const claimed = Array.from(tracker.leasesAtOwnAddress(), ({ address, key }) => ({
    id: `own ${key}`,
    code: 'DUPLICATE_PUBLIC_IP',
    severity: 'warning' as const,
    title: `another lease has the public address of this host, ${address}`,
    text: `the lease ${key} is not used here, and other hosts send its packets to one of the two`,
    hint: `${hint}; a lease from an earlier identity of this host expires by itself`,
  }));
  const duplicates = Array.from(tracker.duplicateIdentities(), ({ key, attributes }) => ({
    id: `duplicate ${key}`,
    code: 'DUPLICATE_IDENTITY',
    severity: 'error' as const,
    title: 'another host has the identity of this one',
    text: `the lease ${key} at ${enumerate(addressesOf(attributes))} has the host id of this host, and is of another machine`,
    hint: COPIED_DISK,
  }));
  const kept = [...tracker.kept()];
  const forgotten = {
    id: 'forgotten',
    code: 'PEERS_KEPT',
    severity: 'warning' as const,
    title: 'the store was emptied or set back, and has forgotten leases that are in use',
    text: `they stay in use until their hosts write them again, for a day at most: ${enumerate(kept)}`,
    hint: 'if those hosts are gone permanently, restart this agent to forget them',
  };
  health.warn('peers', [...duplicates, ...shared, ...claimed, ...(kept.length === 0 ? [] : [forgotten])]);
}
