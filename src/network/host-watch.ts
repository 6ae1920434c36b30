/**
 * This host's own network, kept up to date from the kernel's announcements: what the choice of the underlay is
 * made of. Links and addresses follow from the announcements (host-tables.ts); of a route one only says that something may
 * have changed, and what is there now is read again.
 */

import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { Pace } from '../base/pace.ts';
import { increment, Watchable } from '../base/watchable.ts';
import type { Link } from '../netlink/route/objects.ts';
import type { EventGroup, KernelEvent, Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { HostTables } from './host-tables.ts';
import { keepFollowing } from './keep-following.ts';
import type { UnderlayCriteria } from './options.ts';
import { type HostNetwork, isChosenByRoute, isForeignRoute, readHostNetwork } from './underlay.ts';

/** Milliseconds in which further changes are gathered: an address often moves in several steps. */
const SETTLE = 100;

export interface HostWatchOptions {
  readonly rtnetlink: Rtnetlink;
  readonly criteria: UnderlayCriteria;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class HostWatch {
  readonly #options: HostWatchOptions;
  /** undefined until it was read for the first time. */
  readonly network = new Watchable<HostNetwork | undefined>(undefined);
  /** Whether the backend needs the routes of the underlay. */
  readonly needsRoutes = new Watchable(false);

  constructor(options: HostWatchOptions) {
    this.#options = options;
  }

  /** Reads, and reads again after every change that matters; ends when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const failure = "this host's links and addresses could not be read";
    await keepFollowing({ ...this.#options, failure }, onSuccess => this.#follow(signal, onSuccess), signal);
  }

  async #follow(signal: AbortSignal, onSuccess: () => void): Promise<void> {
    const { rtnetlink, criteria, clock } = this.#options;
    const changed = new Watchable(0);
    const tables = new HostTables(rtnetlink);
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    // Watching begins before reading, so that a change in between is not missed.
    const watching = (async () => {
      for await (const event of rtnetlink.watch(this.#groups(), both)) {
        if (this.#matters(event, tables)) increment(changed);
        tables.announced(event);
      }
    })();
    const pace = new Pace(clock, { least: SETTLE });
    const needsRoutes = this.needsRoutes.value;
    const reading = (async () => {
      for await (const _ of changed.changes(both)) {
        pace.begin();
        this.network.set(await readHostNetwork(rtnetlink, tables, { criteria, needsRoutes }));
        onSuccess();
        await pace.rest(both);
      }
    })();
    const otherNeeds = this.needsRoutes.until(needs => needs !== needsRoutes, both);
    try {
      await Promise.race([watching, reading, otherNeeds]);
    } finally {
      stop.abort();
      await Promise.allSettled([watching, reading, otherNeeds]);
    }
  }

  #groups(): readonly EventGroup[] {
    return this.needsRoutes.value || isChosenByRoute(this.#options.criteria)
      ? ['link', 'address', 'route']
      : ['link', 'address'];
  }

  #matters(event: KernelEvent, tables: HostTables): boolean {
    if (event.type === 'link') return event.gone || !sameLink(event.link, tables.link(event.link.index));
    if (event.type === 'route') {
      if (event.route.destination === undefined || this.#options.criteria.canReach !== undefined) return true;
      return this.needsRoutes.value && isForeignRoute(event.route);
    }
    return event.type === 'address' || event.type === 'overrun';
  }
}

/** The kernel announces a link also when only its statistics or the state of its bridge port changed. */
const sameLink = (a: Link, b: Link | undefined) =>
  b !== undefined &&
  a.name === b.name &&
  a.up === b.up &&
  a.running === b.running &&
  a.mtu === b.mtu &&
  a.master === b.master;
