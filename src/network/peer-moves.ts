/**
 * Peers that join, leave or say something else about themselves, told as events: one by one while they are few, and
 * together when they are many, so that a cluster of thousands that starts tells a line and not thousands.
 */

import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { enumerate } from '../base/enumerate.ts';
import { Watchable } from '../base/watchable.ts';
import { formatSubnet, type Lease } from '../subnet/lease/lease.ts';
import type { EventReporter } from './reports.ts';

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

/** As many are told one by one. */
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

  /** Tells them until `signal` aborts: the first at once, and the next ones when they have settled. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#count.changes(signal)) {
      if (this.#waiting.length === 0) continue;
      this.#tell();
      await this.#clock.sleep(SETTLE, signal).catch(() => undefined);
    }
  }

  #tell(): void {
    const moves = this.#waiting;
    this.#waiting = [];
    for (const [kind, group] of Map.groupBy(moves, ({ kind }) => kind)) {
      const leases = group.map(({ lease }) => lease);
      if (leases.length > FEW) this.#tellMany(kind, leases);
      else for (const lease of leases) this.#tellOne(kind, lease);
    }
  }

  #tellOne(kind: PeerMove['kind'], lease: Lease): void {
    const { hostName, hostId, publicIp, publicIpv6 } = lease.attributes;
    const addresses = [publicIp, publicIpv6].filter(ip => ip !== undefined).join(' ');
    const text = `${nameOf(lease)} ${VERB[kind]}: ${formatSubnet(lease.subnet)}${addresses && ` at ${addresses}`}`;
    const facts = { key: lease.key, host: hostName, hostId, addresses };
    this.#events.add('info', `peer-${kind}`, text, defined(facts));
  }

  #tellMany(kind: PeerMove['kind'], leases: readonly Lease[]): void {
    const names = leases.map(lease => `${nameOf(lease)} ${formatSubnet(lease.subnet)}`);
    const text = `${leases.length.toLocaleString('en-US')} hosts ${VERB[kind]}: ${enumerate(names)}`;
    const keys = leases.slice(0, MOST_KEYS).map(({ key }) => key);
    this.#events.add('info', `peer-${kind}`, text, { count: leases.length, keys });
  }
}

const nameOf = ({ attributes: { hostName, hostId } }: Lease): string =>
  hostName ?? (hostId === undefined ? 'a flannel host' : `host ${hostId}`);
