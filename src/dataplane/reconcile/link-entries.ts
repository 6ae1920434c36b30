/**
 * The entries of one link: which events concern its tables, when the tables are stale, and how they are compared with
 * the kernel.
 */

import type { ListReader } from '../../netlink/protocol.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { Nexthop } from '../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { DesiredPeer, PeerPath } from '../desired.ts';
import type { DesiredLink } from '../desired-link.ts';
import type { BoundLink } from '../links/host.ts';
import type { RepairCause } from '../report.ts';
import { type Device, type Entry, type Key, PROTOCOL, type TableEnvironment } from '../tables/entry.ts';
import { fdbEntry } from '../tables/fdb.ts';
import { LinkTables } from '../tables/link-tables.ts';
import { neighborEntry } from '../tables/neighbors.ts';
import { isOurNexthop, nexthopEntry } from '../tables/nexthops.ts';
import { RouteReader } from '../tables/route-reader.ts';
import { isComparable, type RouteEntry, routeEntry } from '../tables/routes.ts';
import type { EntryTable } from '../tables/table.ts';
import type { EntryReport } from '../tables/table-entry.ts';
import type { Write } from '../tables/write.ts';
import { PathEntries } from './path-entries.ts';

export interface LinkEntriesOptions {
  readonly name: string;
  /** All peers with a path over this device, with that path. */
  readonly peers: () => Iterable<readonly [DesiredPeer, PeerPath]>;
  readonly environment: Omit<TableEnvironment, 'onStale'>;
}

export class LinkEntries {
  readonly name: string;
  readonly #tables: LinkTables;
  readonly #paths: PathEntries;
  #device: Device | undefined;
  /** Why the tables are to be read again. */
  #stale: { readonly reason: string; readonly cause: RepairCause } | undefined;
  /** Destinations of routes that another device of ours has until now. */
  readonly #inherited = new Map<Key, LinkEntries>();
  /** How often others may have put something under a number or to a destination of ours. */
  #foreignChanges = 0;
  /** Of these, how many had happened when all of theirs was read last. */
  #foreignChangesRead = 0;

  constructor({ name, peers, environment }: LinkEntriesOptions) {
    this.name = name;
    this.#tables = new LinkTables(name, { ...environment, onStale: reason => this.markStale(reason) });
    this.#paths = new PathEntries({
      link: name,
      tables: this.#tables,
      peers,
      onRepair: environment.onRepair,
    });
  }

  get index(): number | undefined {
    return this.#device?.index;
  }

  get staleReason(): string | undefined {
    return this.#device === undefined ? undefined : this.#stale?.reason;
  }

  /** Whether there is something to do about it now. */
  isDue(): boolean {
    if (this.#device === undefined) return false;
    return this.#stale !== undefined || !this.#paths.isDone || this.#tables.isDue();
  }

  get wanted(): number {
    return this.#tables.wanted;
  }

  get failed(): number {
    return this.#tables.failed;
  }

  get inSync(): boolean {
    return (
      this.#device !== undefined && this.#stale === undefined && this.#paths.isDone && this.#tables.inSync
    );
  }

  get nextRetry(): number | undefined {
    return this.#tables.nextRetry;
  }

  failures(): Generator<string> {
    return this.#tables.failures();
  }

  /** The device is there, under this index, and may have lost entries unannounced. */
  bind({ index, desired }: BoundLink): void {
    this.#device = { name: this.name, index, owns: ownTables(desired) };
    this.#tables.forgetActual();
    this.#stale = { reason: `${this.name} was set up`, cause: 'start' };
  }

  /** The device is gone, and everything with it. */
  unbind(): void {
    this.#device = undefined;
    this.#tables.forgetActual();
  }

  /** @param isDeaf announcements were lost, of what others did too. */
  markStale(reason: string, eventsLost = false): void {
    if (eventsLost) this.#foreignChanges++;
    // Always a new one: a comparison that is under way does not dispel it.
    this.#stale = { reason, cause: 'drift', ...this.#stale };
  }

  /** States a peer's path over this device, in the place of what it was. */
  restate(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    this.#paths.restate(peer, path, before);
  }

  /** No path wants anything here any more. */
  removeAll(): void {
    this.#paths.clear();
    this.#tables.removeAll();
  }

  /** States the entries of the paths that were stated. */
  async stateAll(): Promise<void> {
    await this.#paths.stateAll();
    const { routes } = this.#tables;
    for (const [key, former] of this.#inherited) {
      const found = former.#tables.routes.actual(key);
      if (found !== undefined) routes.assumeActual(key, { ...found, ownership: 'adoptable' });
    }
    this.#inherited.clear();
  }

  /**
   * The wanted route takes the place of the one that another device of ours has for the same subnet, in one step:
   * there is no moment without a route.
   */
  replaceRouteOf(other: LinkEntries, { subnet }: PeerPath): void {
    this.#inherited.set(subnet.key, other);
  }

  /** Takes an event. True when it contradicts what is known. */
  observe(event: KernelEvent): boolean {
    const device = this.#device;
    if (device === undefined) return false;
    switch (event.type) {
      case 'neighbor': {
        if (event.neighbor.index !== device.index) return false;
        return (
          device.owns.neighbors && this.#tables.neighbors.observe(neighborEntry(event.neighbor), event.gone)
        );
      }
      case 'fdb': {
        if (event.entry.index !== device.index) return false;
        return device.owns.fdb && this.#tables.fdb.observe(fdbEntry(event.entry), event.gone);
      }
      case 'nexthop': {
        const { nexthop } = event;
        if (!isOurNexthop(nexthop, device)) {
          if (this.#tables.nexthops.desired(nexthop.id) === undefined) return false;
          this.#foreignChanges++;
        }
        return this.#tables.nexthops.observe(nexthopEntry(nexthop), event.gone);
      }
      case 'route': {
        if (!isComparable(event.route)) return false;
        const entry = this.#routeEntry(event.route, device);
        if (entry.ownership === 'foreign' && this.#tables.routes.isHeld(event.route.destination.key)) {
          // It may stand in the place of ours, before it or behind it: only a dump decides.
          this.#foreignChanges++;
          this.markStale(`${entry.description ?? 'another route'} came or went`);
          return true;
        }
        return this.#tables.routes.observe(entry, event.gone);
      }
      case 'link':
      case 'address':
      case 'rule':
      case 'netconf':
      case 'overrun':
      case 'idle':
        return false;
    }
  }

  /** Compares the pending events with what is known. The notification socket must have been read empty after the last acknowledgement. */
  processPending(): void {
    this.#tables.fdb.processPending();
    this.#tables.neighbors.processPending();
    // The kernel removes the routes of a next hop together with it, and says nothing of them.
    if (this.#tables.nexthops.processPending() > 0) this.markStale('next hops were changed');
    this.#tables.routes.processPending();
  }

  /** Compares everything with the kernel. The socket of its announcements must have been read empty. */
  async resync(rtnetlink: Rtnetlink, usesNexthops: boolean): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    const stale = this.#stale;
    const cause = stale?.cause ?? 'drift';
    const { fdb, neighbors, nexthops, routes } = this.#tables;
    const [link, ofLink] = [{ index: device.index }, { oif: device.index }];
    // Others may have a great deal. It is read only at the start, and when something of theirs may be in the way.
    const foreignChanges = this.#foreignChanges;
    const isAlone =
      this.#paths.isReady &&
      foreignChanges === this.#foreignChangesRead &&
      nexthops.failed === 0 &&
      routes.failed === 0;
    if (isAlone) {
      const entry = (nexthop: Nexthop) => (isOurNexthop(nexthop, device) ? nexthopEntry(nexthop) : undefined);
      await compare(nexthops, cause, reader => rtnetlink.nexthops.read(ofLink, reader), entry);
    } else {
      const ours = await this.#readNexthops(rtnetlink, usesNexthops, device);
      nexthops.beginDump();
      for (const nexthop of ours) nexthops.found(nexthopEntry(nexthop), cause);
      nexthops.endDump(cause);
    }
    const { owns } = device;
    if (owns.fdb) await compare(fdb, cause, reader => rtnetlink.fdb.read(link, reader), fdbEntry);
    if (owns.neighbors) {
      await compare(neighbors, cause, reader => rtnetlink.neighbors.read(link, reader), neighborEntry);
    }
    const ofOurs = owns.routes ? ofLink : { ...ofLink, protocol: PROTOCOL };
    const filter = { table: RT_TABLE_MAIN, ...(isAlone ? ofOurs : {}) };
    const reader = new RouteReader(routes, cause, route => this.#routeEntry(route, device));
    await rtnetlink.routes.read(filter, reader);
    routes.endDump(cause);
    this.#foreignChangesRead = foreignChanges;
    // Only now it is dispelled: a dump that fails leaves it, and one that arose meanwhile stays.
    if (this.#stale === stale) this.#stale = undefined;
  }

  /** One iterable per table. */
  additions(): Iterable<Write>[] {
    return this.#device === undefined ? [] : this.#tables.additions(this.#device);
  }

  /** One iterable per table. */
  removals(): Iterable<Write>[] {
    return this.#device === undefined ? [] : this.#tables.removals(this.#device);
  }

  /** What a path comes to; nothing before the kernel was looked at. */
  inspect(peer: DesiredPeer, path: PeerPath): EntryReport[] {
    return this.#paths.inspect(peer, path);
  }

  /** Reads those of others too, whose numbers ours must not have. Returns ours. */
  async #readNexthops(
    rtnetlink: Rtnetlink,
    usesNexthops: boolean,
    device: Device,
  ): Promise<readonly Nexthop[]> {
    const all = usesNexthops ? await rtnetlink.nexthops.list() : [];
    const ours = all.filter(nexthop => isOurNexthop(nexthop, device));
    const foreign = all.filter(nexthop => !isOurNexthop(nexthop, device)).map(({ id }) => id);
    this.#paths.takeNexthops(usesNexthops ? ours : undefined, foreign);
    await this.#paths.stateAll();
    return ours;
  }

  #routeEntry(route: Parameters<typeof routeEntry>[0], device: Device): RouteEntry {
    const { nexthops, routes } = this.#tables;
    const desired = routes.desired(route.destination.key);
    return routeEntry(route, device, desired, id => nexthops.actual(id) !== undefined);
  }
}

/** Passes a dump to a table while it is read. @param entry undefined for what does not belong into the table. */
async function compare<Item, Value extends Entry>(
  table: EntryTable<Value>,
  cause: RepairCause,
  read: (reader: ListReader<Item>) => Promise<void>,
  entry: (item: Item) => Value | undefined,
): Promise<void> {
  await read({
    begin: () => table.beginDump(),
    each(item) {
      const found = entry(item);
      if (found !== undefined) table.found(found, cause);
    },
  });
  table.endDump(cause);
}

/**
 * The kernel has permanent FDB entries of its own on links of every kind but vxlan, and there too where it has a default
 * destination.
 */
function ownTables(desired: DesiredLink): Device['owns'] {
  const fdb = desired.kind === 'vxlan' && desired.remote === undefined && desired.external !== true;
  const isOurs = desired.kind !== 'existing';
  return { fdb, neighbors: isOurs, routes: isOurs };
}
