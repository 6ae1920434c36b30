/** What has changed between two tables, while that is less than a new table. */
import type { Prefix } from '../base/prefix.ts';
import type { ForwarderTable } from './control/messages.ts';
import type { ForwarderRoute } from './path/route-table.ts';

/** More changes than this are cheaper as a whole table, which the forwarder indexes once. */
const MOST_SINGLE = 8;

export interface TableChanges {
  readonly set: readonly ForwarderRoute[];
  readonly deleted: readonly Prefix[];
}

/** undefined when the whole table should be sent. */
export function changesBetween(before: ForwarderTable, after: ForwarderTable): TableChanges | undefined {
  if (before.own.join() !== after.own.join()) return undefined;
  const had = new Map(before.routes.map(route => [route.subnet.key, route]));
  const set: ForwarderRoute[] = [];
  for (const route of after.routes) {
    const former = had.get(route.subnet.key);
    had.delete(route.subnet.key);
    if (former === undefined || !sameRoute(former, route)) set.push(route);
  }
  const deleted = [...had.values()].map(({ subnet }) => subnet);
  return set.length + deleted.length > MOST_SINGLE ? undefined : { set, deleted };
}

function sameRoute(a: ForwarderRoute, b: ForwarderRoute): boolean {
  return a === b || (a.remote.equals(b.remote) && a.port === b.port && a.mtu === b.mtu);
}
