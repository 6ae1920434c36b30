/**
 * The tables of one link together.
 *
 * Entries are added from the far end of the packet's way to the near one (tunnel, FDB, FDB of the bridge, neighbor, next hop, route, command) and
 * removed in the other direction, so that no packet is sent into a way that is not complete.
 */
import type { Change } from '../../netlink/protocol.ts';
import type { EntryOwners } from '../reconcile/entry-owners.ts';
import { type BridgeFdbEntry, bridgeFdbKind } from './bridge-fdb.ts';
import { commandKind, type HostCommandEntry } from './commands.ts';
import type { Device, Entry, TableEnvironment } from './entry.ts';
import { fdbKind, type TunnelFdbEntry } from './fdb.ts';
import { type NeighborEntry, neighborKind } from './neighbors.ts';
import { type NexthopEntry, nexthopKind } from './nexthops.ts';
import { type RouteEntry, routeKind } from './routes.ts';
import type { TableStores } from './store.ts';
import { StoredTable } from './stored-table.ts';
import { EntryTable, type EntryTableOptions } from './table.ts';
import type { EntryFailure } from './table-entry.ts';
import { type TunnelEntry, tunnelKind } from './tunnels.ts';
import type { TableWriter, Write } from './write.ts';

/** What tables of different entries have in common. */
type AnyTable = Pick<
  EntryTable<Entry>,
  | 'wanted'
  | 'failed'
  | 'inSync'
  | 'nextRetry'
  | 'isDue'
  | 'isDoneFor'
  | 'failures'
  | 'removeAll'
  | 'forgetActual'
> & {
  additions(device: Device): Iterable<Write>;
  removals(device: Device): Iterable<Write>;
};

/** What the tables of all links share. */
export interface TablesEnvironment extends Omit<TableEnvironment, 'onStale'> {
  /** Sends the changes of the kernel's tables. */
  readonly netlinkWriter: TableWriter<Change>;
  /** A host has one route to a destination, whichever link it leads over. */
  readonly routeOwners: EntryOwners<RouteEntry>;
  readonly stores: TableStores;
}

export class LinkTables {
  readonly tunnels: StoredTable<TunnelEntry>;
  readonly fdb: EntryTable<TunnelFdbEntry>;
  readonly bridgeFdb: EntryTable<BridgeFdbEntry>;
  readonly neighbors: EntryTable<NeighborEntry>;
  readonly nexthops: EntryTable<NexthopEntry>;
  readonly routes: EntryTable<RouteEntry>;
  readonly commands: StoredTable<HostCommandEntry>;
  /** In the order of additions. */
  readonly #all: readonly AnyTable[];

  /** @param link the name of the device. @param onStale of the kernel's tables */
  constructor(link: string, environment: TablesEnvironment, onStale: TableEnvironment['onStale']) {
    const { netlinkWriter: writer, routeOwners: owners, stores } = environment;
    const common = { writer, link, environment: { ...environment, onStale } };
    this.tunnels = new StoredTable({
      kind: tunnelKind(stores.tunnel !== undefined),
      link,
      environment,
      store: stores.tunnel,
    });
    this.fdb = tableOf({ ...common, kind: fdbKind });
    this.bridgeFdb = tableOf({ ...common, kind: bridgeFdbKind });
    this.neighbors = tableOf({ ...common, kind: neighborKind });
    this.nexthops = tableOf({ ...common, kind: nexthopKind });
    this.routes = tableOf({ ...common, kind: routeKind, owners });
    this.commands = new StoredTable({
      kind: commandKind(stores.command !== undefined),
      link,
      environment,
      store: stores.command,
    });
    const { tunnels, fdb, bridgeFdb, neighbors, nexthops, routes, commands } = this;
    this.#all = [tunnels, fdb, bridgeFdb, neighbors, nexthops, routes, commands];
  }

  /** Those that are not the kernel's. */
  get stored(): readonly Pick<StoredTable<Entry>, 'staleReason' | 'read' | 'markStale' | 'object'>[] {
    return [this.tunnels, this.commands];
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

  /** Whether nothing that this network wants is still to be written. */
  isDoneFor(network: string): boolean {
    return this.#all.every(table => table.isDoneFor(network));
  }

  /** When the next refused entry is to be tried again, on the monotonic clock; undefined when there is none. */
  get nextRetry(): number | undefined {
    const times = this.#all.map(table => table.nextRetry).filter(time => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  *failures(): Generator<EntryFailure> {
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

/** Its kind makes the changes that its writer sends. */
function tableOf<Value extends Entry>(options: EntryTableOptions<Value, Change>): EntryTable<Value> {
  return new EntryTable<Value>(options);
}
