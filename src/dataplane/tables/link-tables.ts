/**
 * The four tables of one link together.
 *
 * Entries are added from the far end of the packet's way to the near one (FDB, neighbor, next hop, route) and removed
 * in the other direction, so that no packet is sent into a way that is not complete.
 */
import type { Device, Entry, TableEnvironment } from './entry.ts';
import { fdbKind, type TunnelFdbEntry } from './fdb.ts';
import { type NeighborEntry, neighborKind } from './neighbors.ts';
import { type NexthopEntry, nexthopKind } from './nexthops.ts';
import { type RouteEntry, routeKind } from './routes.ts';
import { EntryTable } from './table.ts';
import type { Write } from './write.ts';

/** What tables of different entries have in common. */
type AnyTable = Pick<
  EntryTable<Entry>,
  | 'wanted'
  | 'failed'
  | 'inSync'
  | 'nextRetry'
  | 'isDue'
  | 'failures'
  | 'removeAll'
  | 'forgetActual'
  | 'additions'
  | 'removals'
>;

export class LinkTables {
  readonly fdb: EntryTable<TunnelFdbEntry>;
  readonly neighbors: EntryTable<NeighborEntry>;
  readonly nexthops: EntryTable<NexthopEntry>;
  readonly routes: EntryTable<RouteEntry>;
  /** In the order of additions. */
  readonly #all: readonly AnyTable[];

  /** @param link the name of the device. */
  constructor(link: string, environment: TableEnvironment) {
    this.fdb = new EntryTable(fdbKind, link, environment);
    this.neighbors = new EntryTable(neighborKind, link, environment);
    this.nexthops = new EntryTable(nexthopKind, link, environment);
    this.routes = new EntryTable(routeKind, link, environment);
    this.#all = [this.fdb, this.neighbors, this.nexthops, this.routes];
  }

  get wanted(): number {
    return this.#all.reduce((sum, table) => sum + table.wanted, 0);
  }

  get failed(): number {
    return this.#all.reduce((sum, table) => sum + table.failed, 0);
  }

  get inSync(): boolean {
    return this.#all.every(table => table.inSync);
  }

  /** Whether there is something to write now. */
  isDue(): boolean {
    return this.#all.some(table => table.isDue());
  }

  /** When the next refused entry is to be tried again, on the monotonic clock; undefined when there is none. */
  get nextRetry(): number | undefined {
    const times = this.#all.map(table => table.nextRetry).filter(time => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Refusals, in words. */
  *failures(): Generator<string> {
    for (const table of this.#all) yield* table.failures();
  }

  removeAll(): void {
    for (const table of this.#all) table.removeAll();
  }

  forgetActual(): void {
    for (const table of this.#all) table.forgetActual();
  }

  /** One iterable per table. */
  additions(device: Device): Iterable<Write>[] {
    return this.#all.map(table => table.additions(device));
  }

  /** One iterable per table. */
  removals(device: Device): Iterable<Write>[] {
    return this.#all.toReversed().map(table => table.removals(device));
  }
}
