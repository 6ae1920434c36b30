/** The fake kernel's state as `ip` and `bridge` print it, one line per object, in a fixed order. */
import type { Route } from '../../netlink/route/objects.ts';
import {
  addressLine,
  fdbLine,
  neighborLine,
  nexthopLine,
  routeLine,
  ruleLine,
} from '../../netlink/text/entries.ts';
import { linkLine, linkNames } from '../../netlink/text/link.ts';
import type { FakeState } from './fake-state.ts';

export function show(
  state: FakeState,
  command: 'ip link' | 'ip addr' | 'ip route' | 'ip nexthop' | 'ip neigh' | 'ip rule' | 'bridge fdb',
): string {
  return linesOf(state, command).join('\n');
}

function linesOf(state: FakeState, command: Parameters<typeof show>[1]): string[] {
  const nameOf = linkNames(state.links.values());
  switch (command) {
    case 'ip link':
      return Array.from(state.links.values(), link => linkLine(link, nameOf));
    case 'ip addr':
      return state.addresses.map(address => addressLine(address, nameOf));
    case 'ip route':
      return state.routes.toSorted(byDestination).map(route => routeLine(route, nameOf));
    case 'ip nexthop':
      return state.nexthops.toSorted((a, b) => a.id - b.id).map(nexthop => nexthopLine(nexthop, nameOf));
    case 'ip neigh':
      return state.neighbors.toSorted((a, b) => a.ip.compare(b.ip)).map(one => neighborLine(one, nameOf));
    case 'ip rule':
      return state.rules.filter(rule => rule.family === 'ipv4').map(ruleLine);
    case 'bridge fdb':
      return state.fdb
        .toSorted((a, b) => `${a.mac} ${a.destination}`.localeCompare(`${b.mac} ${b.destination}`))
        .map(entry => fdbLine(entry, nameOf));
  }
}

/** The default route is the first one. */
function byDestination(a: Route, b: Route): number {
  if (a.destination === undefined || b.destination === undefined) {
    return Number(a.destination !== undefined) - Number(b.destination !== undefined);
  }
  return a.destination.compare(b.destination);
}
