/** The kernel's tables of one link: which events concern them, when they are stale, and how they are compared with the kernel. */
import type { ListReader } from '../../netlink/protocol.ts';
import { RT_TABLE_MAIN } from '../../netlink/route/constants.ts';
import type { FdbEntry, Nexthop } from '../../netlink/route/objects.ts';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import type { RepairCause } from '../report.ts';
import { bridgeFdbEntry } from '../tables/bridge-fdb.ts';
import { type Device, type Entry, PROTOCOL } from '../tables/entry.ts';
import { fdbEntry } from '../tables/fdb.ts';
import type { LinkTables } from '../tables/link-tables.ts';
import { neighborEntry } from '../tables/neighbors.ts';
import { isOurNexthop, nexthopEntry } from '../tables/nexthops.ts';
import { RouteReader } from '../tables/route-reader.ts';
import { isComparable, type RouteEntry, routeEntry } from '../tables/routes.ts';
import type { EntryTable } from '../tables/table.ts';
import type { PathEntries } from './path-entries.ts';

export class KernelTables {
  readonly #tables: LinkTables;
  readonly #paths: PathEntries;
  /** Why the tables are to be read again. */
  #stale: { readonly reason: string; readonly cause: RepairCause } | undefined;
  /** How often others may have put something under a number or to a destination of ours. */
  #foreignChanges = 0;
  /** Of these, how many had happened when all of theirs was read last. */
  #foreignChangesRead = 0;

  constructor(tables: LinkTables, paths: PathEntries) {
    this.#tables = tables;
    this.#paths = paths;
  }

  get isStale(): boolean {
    return this.#stale !== undefined;
  }

  /** The device is new here. */
  start(name: string): void {
    this.#stale = { reason: `${name} was set up`, cause: 'start' };
  }

  markStale(reason: string): void {
    // Always a new one: a comparison that is under way does not dispel it.
    this.#stale = { reason, cause: 'drift', ...this.#stale };
  }

  /** Announcements were lost, of what others did too. */
  noteLostEvents(): void {
    this.#foreignChanges++;
  }

  /** Takes an event. True when it contradicts what is known. */
  observe(event: KernelEvent, device: Device): boolean {
    switch (event.type) {
      case 'neighbor': {
        if (event.neighbor.index !== device.index) return false;
        return (
          device.owns.neighbors &&
          this.#tables.neighbors.known.observe(neighborEntry(event.neighbor), event.gone)
        );
      }
      case 'fdb':
        return this.#observeFdb(event.entry, event.gone, device);
      case 'nexthop': {
        const { nexthop } = event;
        if (!isOurNexthop(nexthop, device)) {
          if (this.#tables.nexthops.desired(nexthop.id) === undefined) return false;
          this.#foreignChanges++;
        }
        return this.#tables.nexthops.known.observe(nexthopEntry(nexthop), event.gone);
      }
      case 'route': {
        if (!isComparable(event.route)) return false;
        const entry = this.#routeEntry(event.route, device);
        if (entry.ownership === 'foreign' && this.#tables.routes.known.isHeld(event.route.destination.key)) {
          // It may stand in the place of ours, before it or behind it: only a dump decides.
          this.#foreignChanges++;
          this.markStale(`${this.#tables.routes.text(entry)} came or went`);
          return true;
        }
        return this.#tables.routes.known.observe(entry, event.gone);
      }
      case 'link':
      case 'port':
      case 'address':
      case 'rule':
      case 'netconf':
      case 'traffic':
      case 'overrun':
      case 'idle':
        return false;
    }
  }

  #observeFdb(entry: FdbEntry, gone: boolean, { index, owns }: Device): boolean {
    const { fdb, bridgeFdb } = this.#tables;
    if (entry.master === undefined) {
      return entry.index === index && owns.fdb && fdb.known.observe(fdbEntry(entry), gone);
    }
    if (!owns.bridgeFdb) return false;
    if (entry.index === index) return bridgeFdb.known.observe(bridgeFdbEntry(entry), gone);
    // A bridge has one entry for an address. That ours is gone to another port is not said of this one.
    if (gone || bridgeFdb.actual(entry.mac.key) === undefined) return false;
    this.markStale(`${entry.mac} was moved to another port`);
    return true;
  }

  /** Compares the pending events with what is known. The notification socket must have been read empty after the last acknowledgement. */
  processPending(): void {
    this.#tables.fdb.known.processPending();
    this.#tables.bridgeFdb.known.processPending();
    this.#tables.neighbors.known.processPending();
    // The kernel removes the routes of a next hop together with it, and says nothing of them.
    if (this.#tables.nexthops.known.processPending() > 0) this.markStale('next hops were changed');
    this.#tables.routes.known.processPending();
  }

  /** Compares everything with the kernel. The socket of its announcements must have been read empty. */
  async resync(rtnetlink: Rtnetlink, usesNexthops: boolean, device: Device): Promise<void> {
    const stale = this.#stale;
    const cause = stale?.cause ?? 'drift';
    const { neighbors, nexthops, routes } = this.#tables;
    const [link, ofLink] = [{ index: device.index }, { oif: device.index }];
    // Others may have a great deal. It is read only at the start, and when something of theirs may be in the way.
    const foreignChanges = this.#foreignChanges;
    const isAlone =
      this.#paths.isReady &&
      foreignChanges === this.#foreignChangesRead &&
      nexthops.refusals === 0 &&
      routes.refusals === 0;
    if (isAlone) {
      const entry = (nexthop: Nexthop) => (isOurNexthop(nexthop, device) ? nexthopEntry(nexthop) : undefined);
      await compare(nexthops, cause, reader => rtnetlink.nexthops.read(ofLink, reader), entry);
    } else {
      const ours = await this.#readNexthops(rtnetlink, usesNexthops, device);
      nexthops.known.beginDump();
      for (const nexthop of ours) nexthops.known.found(nexthopEntry(nexthop), cause);
      nexthops.known.endDump(cause);
    }
    const { owns } = device;
    if (owns.fdb || owns.bridgeFdb) await this.#compareFdbs(rtnetlink, cause, device);
    if (owns.neighbors) {
      await compare(neighbors, cause, reader => rtnetlink.neighbors.read(link, reader), neighborEntry);
    }
    const ofOurs = owns.routes ? ofLink : { ...ofLink, protocol: PROTOCOL };
    const filter = { table: RT_TABLE_MAIN, ...(isAlone ? ofOurs : {}) };
    const reader = new RouteReader(routes.known, cause, route => this.#routeEntry(route, device));
    await rtnetlink.routes.read(filter, reader);
    routes.known.endDump(cause);
    this.#foreignChangesRead = foreignChanges;
    // Only now it is dispelled: a dump that fails leaves it, and one that arose meanwhile stays.
    if (this.#stale === stale) this.#stale = undefined;
  }

  /** The kernel lists both tables of a port together. */
  async #compareFdbs(rtnetlink: Rtnetlink, cause: RepairCause, { index, owns }: Device): Promise<void> {
    const { fdb, bridgeFdb } = this.#tables;
    await rtnetlink.fdb.read(
      { index },
      {
        begin() {
          fdb.known.beginDump();
          bridgeFdb.known.beginDump();
        },
        each(entry) {
          if (entry.master !== undefined) {
            if (owns.bridgeFdb) bridgeFdb.known.found(bridgeFdbEntry(entry), cause);
          } else if (owns.fdb) fdb.known.found(fdbEntry(entry), cause);
        },
      },
    );
    fdb.known.endDump(cause);
    bridgeFdb.known.endDump(cause);
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
  { known }: EntryTable<Value>,
  cause: RepairCause,
  read: (reader: ListReader<Item>) => Promise<void>,
  entry: (item: Item) => Value | undefined,
): Promise<void> {
  await read({
    begin: () => known.beginDump(),
    each(item) {
      const found = entry(item);
      if (found !== undefined) known.found(found, cause);
    },
  });
  known.endDump(cause);
}
