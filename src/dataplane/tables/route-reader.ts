/**
 * Reads the kernel's routes into the table of ours. There may be several with one destination: the kernel uses the
 * first of them, and lists it first, so that one counts. What stands in the place where a route of ours was until
 * others came is taken back, unless it only came in front of ours, or an address of this host brought it.
 */

import type { ListReader } from '../../netlink/protocol.ts';
import type { Route } from '../../netlink/route/objects.ts';
import type { RepairCause } from '../report.ts';
import type { Key } from './entry.ts';
import { type ComparableRoute, isComparable, type RouteEntry } from './routes.ts';

/** What the reader needs of the table. */
interface RouteTable {
  beginDump(): void;
  found(value: RouteEntry, cause: RepairCause): void;
  isFound(key: Key): boolean;
  isHeld(key: Key): boolean;
}

export class RouteReader implements ListReader<Route> {
  readonly #table: RouteTable;
  readonly #cause: RepairCause;
  readonly #entry: (route: ComparableRoute) => RouteEntry;
  /** Routes that are in the place of ours, as far as it has been read. */
  readonly #displaced = new Map<Key, RouteEntry>();

  constructor(table: RouteTable, cause: RepairCause, entry: (route: ComparableRoute) => RouteEntry) {
    this.#table = table;
    this.#cause = cause;
    this.#entry = entry;
  }

  begin(): void {
    this.#displaced.clear();
    this.#table.beginDump();
  }

  each(route: Route): void {
    if (!isComparable(route)) return;
    const { key } = route.destination;
    const entry = this.#entry(route);
    const displacedBy = this.#displaced.get(key);
    if (displacedBy !== undefined) {
      if (entry.ownership !== 'ours') return;
      this.#displaced.delete(key);
      this.#table.found(displacedBy, this.#cause);
    } else if (!this.#table.isFound(key)) {
      const isDisplacing =
        entry.ownership === 'foreign' && entry.isBroughtByAddress !== true && this.#table.isHeld(key);
      if (isDisplacing) this.#displaced.set(key, entry);
      this.#table.found(isDisplacing ? { ...entry, ownership: 'adoptable' } : entry, this.#cause);
    }
  }
}
