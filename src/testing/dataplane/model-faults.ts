/** What others do to a host of the model: to the links, entries and programs that it happens to have, and to the store. */

import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import { NTF_MASTER, NUD_NOARP, NUD_PERMANENT } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { fc } from '../properties.ts';
import { linkCases } from './link-cases.ts';
import type { MemoryPrograms } from './memory-programs.ts';
import type { MemoryTable } from './memory-table.ts';
import { hasOwnFdb, type ModelHost, OTHERS, TUN } from './model.ts';

/** To the program that holds a table. */
const STORE_FAULTS = ['restart', 'crash', 'change entries', 'refuse entries'] as const;
/** To routes and next hops, whatever they are on. */
const ROUTE_FAULTS = [
  'delete route',
  'divert route',
  'add route',
  'delete nexthop',
  'divert nexthop',
  'add nexthop',
  'flap the underlay',
] as const;
/** To one link of ours, or to the entries of a vxlan. */
const LINK_FAULTS = [
  'delete neighbor',
  'divert neighbor',
  'add neighbor',
  'delete fdb',
  'divert fdb',
  'add fdb',
  'add flood',
  'move to another port',
  'release port',
  'change port',
  'delete address',
  'add address',
  'down',
  'flap',
  'change mtu',
  'change kind',
  'delete link',
] as const;

/** To the programs of one link, of which something is said or nothing. */
const PROGRAM_FAULTS = ['detach', 'replace', 'leave one behind', 'refuse programs', 'announce'] as const;

/** A fault, and to which of those that there are. */
const faultsTo = <On extends string, What extends string>(on: On, ...whats: readonly What[]) => ({
  weight: whats.length,
  arbitrary: fc.record({
    do: fc.constant('fault' as const),
    on: fc.constant(on),
    what: fc.constantFrom(...whats),
    nth: fc.nat(9),
  }),
});

export const faults = fc.oneof(
  faultsTo('store', ...STORE_FAULTS),
  faultsTo('routes', ...ROUTE_FAULTS),
  faultsTo('link', ...LINK_FAULTS),
  faultsTo('programs', ...PROGRAM_FAULTS),
);
type Fault = typeof faults extends fc.Arbitrary<infer One> ? One : never;

const STRAY = Mac.parse('02:00:00:00:09:09');
const NO_MAC = Mac.parse('00:00:00:00:00:00');
const NOWHERE = Ip.parse('192.168.65.99');
const STRAY_SUBNET = Prefix.parse('10.3.99.0/24');

/** Refusals are part of the game: what is not there cannot be changed. */
export async function inject({ others, table, programs }: ModelHost, fault: Fault): Promise<void> {
  if (fault.on === 'store') {
    injectIntoStore(table, fault.what, fault.nth);
    return;
  }
  if (fault.on === 'programs') {
    // Where none of ours runs nobody looks for one.
    const links = (await others.links.list()).filter(({ index }) => programs.show(index) !== '');
    const link = pick(links, fault.nth);
    if (link !== undefined) injectIntoPrograms(programs, fault.what, fault.nth, link);
    return;
  }
  const links = (await others.links.list()).filter(({ name }) => !OTHERS.has(name));
  const link = pick(links, fault.nth);
  if (fault.on === 'routes') await others.apply(await routeChanges(others, fault.what, fault.nth, link));
  else if (link !== undefined) await others.apply(await linkChanges(others, fault.what, fault.nth, link));
}

function injectIntoStore(table: MemoryTable, what: (typeof STORE_FAULTS)[number], nth: number): void {
  switch (what) {
    case 'restart':
      return table.restart();
    case 'crash':
      return table.crash();
    case 'refuse entries':
      return table.refuse(({ entry }) => entry !== undefined, 1 + (nth % 3));
    case 'change entries': {
      const subnet = nth < 5 ? STRAY_SUBNET : Prefix.parse(`10.3.${nth - 4}.0/24`);
      return table.damage(TUN, subnet, nth % 2 === 0 ? undefined : { subnet, destination: NOWHERE, port: 1 });
    }
  }
}

function injectIntoPrograms(
  programs: MemoryPrograms,
  what: (typeof PROGRAM_FAULTS)[number],
  nth: number,
  { index, name }: Link,
): void {
  const point = nth % 2 === 0 ? 'ingress' : 'egress';
  switch (what) {
    case 'detach':
      return programs.damage(index, point, undefined);
    case 'replace':
      return programs.damage(index, point, nth < 5 ? 'one' : 'two');
    case 'leave one behind':
      return programs.leave(index, point);
    case 'refuse programs':
      return programs.refuse(1 + (nth % 3));
    case 'announce':
      return programs.announce(nth < 3 ? undefined : name);
  }
}

async function routeChanges(
  others: Rtnetlink,
  what: (typeof ROUTE_FAULTS)[number],
  nth: number,
  link: Link | undefined,
): Promise<readonly Change[]> {
  const stray = { gateway: NOWHERE, flags: 4, protocol: 77 };
  switch (what) {
    case 'delete route':
    case 'divert route': {
      const route = pick(
        (await others.routes.list()).filter(({ protocol }) => protocol === 77),
        nth,
      );
      if (route?.destination === undefined) return [];
      const { destination } = route;
      if (what === 'delete route') return [change.deleteRoute({ destination })];
      return route.oif === undefined ? [] : [change.replaceRoute({ destination, oif: route.oif, ...stray })];
    }
    case 'add route':
      // On a link of our own: on one of the host it would have no owner while no network uses that.
      return link === undefined
        ? []
        : [change.replaceRoute({ destination: STRAY_SUBNET, oif: link.index, ...stray })];
    case 'delete nexthop':
    case 'divert nexthop': {
      const nexthop = pick(await others.nexthops.list(), nth);
      if (nexthop === undefined) return [];
      const { id, oif } = nexthop;
      if (what === 'delete nexthop') return [change.deleteNexthop(id)];
      return oif === undefined ? [] : [change.replaceNexthop({ id, family: 'ipv4', oif, ...stray })];
    }
    case 'add nexthop':
      return link === undefined
        ? []
        : [change.addNexthop({ id: 90 + nth, family: 'ipv4', oif: link.index, ...stray })];
    case 'flap the underlay':
      return [change.changeLink('eth0', { up: false }), change.changeLink('eth0', { up: true })];
  }
}

async function linkChanges(
  others: Rtnetlink,
  what: (typeof LINK_FAULTS)[number],
  nth: number,
  { index, name, info }: Link,
): Promise<readonly Change[]> {
  const vxlan = (await others.links.list()).find(one => hasOwnFdb(one.info))?.index;
  const neighbor = pick(await others.neighbors.list({ index: vxlan ?? 0 }), nth);
  const entry = vxlan === undefined ? undefined : pick(await others.fdb.list(vxlan), nth);
  const up = (to: boolean) => change.changeLink(index, { up: to });
  const stray = Ip.parse(`10.3.9${nth}.0`);
  switch (what) {
    case 'delete neighbor':
      return neighbor === undefined
        ? []
        : [change.deleteNeighbor({ index: neighbor.index, ip: neighbor.ip })];
    case 'divert neighbor':
      return neighbor === undefined
        ? []
        : [change.replaceNeighbor({ index: neighbor.index, ip: neighbor.ip, mac: STRAY })];
    case 'add neighbor':
      return [change.replaceNeighbor({ index: vxlan ?? index, ip: stray, mac: STRAY })];
    case 'delete fdb':
      return entry === undefined ? [] : [change.deleteFdb({ index: entry.index, mac: entry.mac })];
    case 'divert fdb':
      return entry === undefined
        ? []
        : [change.replaceFdb({ index: entry.index, mac: entry.mac, destination: NOWHERE })];
    case 'add fdb':
      return vxlan === undefined
        ? []
        : [change.replaceFdb({ index: vxlan, mac: STRAY, destination: NOWHERE })];
    case 'add flood':
      return vxlan === undefined
        ? []
        : [change.appendFdb({ index: vxlan, mac: NO_MAC, destination: NOWHERE })];
    case 'move to another port': {
      if (vxlan === undefined) return [];
      const master = (await others.links.get(vxlan))?.master;
      const ofBridge = master === undefined ? [] : await others.fdb.list(master);
      const moved = pick(
        ofBridge.filter(one => one.index === vxlan && (one.state & NUD_PERMANENT) === 0),
        nth,
      );
      const port = await others.links.get('eth1');
      if (master === undefined || moved === undefined || port === undefined) return [];
      return [
        change.changeLink(port.index, { master }),
        change.replaceFdb({ index: port.index, mac: moved.mac, flags: NTF_MASTER, state: NUD_NOARP }),
      ];
    }
    case 'change port':
      return [
        change.changeLink(index, { port: { learning: true, neighborSuppression: false, isolated: true } }),
      ];
    case 'release port':
      return [change.changeLink(index, { master: 0 })];
    case 'delete address':
      return [change.deleteAddress({ index, ip: Ip.parse('10.3.0.0'), length: 32 })];
    case 'add address':
      return [change.replaceAddress({ index, ip: stray, length: 32 })];
    case 'down':
      return [up(false)];
    case 'flap':
      return [up(false), up(true)];
    case 'change mtu':
      return info?.kind === 'vxlan' || info?.kind === 'tun' ? [change.changeLink(index, { mtu: 1290 })] : [];
    case 'change kind': {
      const fault = linkCases(0).find(one => one.link.name === name && one.link.kind === info?.kind)?.fault;
      return fault?.info === undefined || fault.info.kind === 'ipip' ? [] : [change.changeLink(index, fault)];
    }
    case 'delete link':
      return [change.deleteLink(index)];
  }
}

/** The nth of them, counted around. */
function pick<T>(all: readonly T[], nth: number): T | undefined {
  return all[nth % Math.max(1, all.length)];
}
