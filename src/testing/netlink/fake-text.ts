/** The fake kernel's state as `ip` and `bridge` print it, one line per object, in a fixed order. */
import {
  NTF_SELF,
  NUD_PERMANENT,
  RT_SCOPE_LINK,
  RT_TABLE_MAIN,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
} from '../../netlink/route/constants.ts';
import type { LinkInfo } from '../../netlink/route/link-info.ts';
import type { Address, FdbEntry, Link, Neighbor, Nexthop, Route, Rule } from '../../netlink/route/objects.ts';
import type { FakeState } from './fake-state.ts';

/** Names from rt_protos, rt_tables and of the states of a neighbor. */
const PROTOCOLS: Readonly<Record<number, string>> = { 2: 'kernel', 4: 'static' };
const TABLES: Readonly<Record<number, string>> = { 253: 'default', 254: 'main', 255: 'local' };
const STATES: Readonly<Record<number, string>> = {
  0x01: 'INCOMPLETE',
  0x02: 'REACHABLE',
  0x04: 'STALE',
  0x20: 'FAILED',
  0x40: 'NOARP',
  0x80: 'PERMANENT',
};

export function show(
  state: FakeState,
  command: 'ip link' | 'ip addr' | 'ip route' | 'ip nexthop' | 'ip neigh' | 'ip rule' | 'bridge fdb',
): string {
  const name = (index: number | undefined) => state.links.get(index ?? 0)?.name ?? `if${index}`;
  switch (command) {
    case 'ip link':
      return lines([...state.links.values()], link => linkText(link, name));
    case 'ip addr':
      return lines(state.addresses, address => addressText(address, name));
    case 'ip route':
      return lines(sorted(state.routes), route => routeText(route, name));
    case 'ip nexthop':
      return lines(
        state.nexthops.toSorted((a, b) => a.id - b.id),
        nexthop => nexthopText(nexthop, name),
      );
    case 'ip neigh':
      return lines(
        state.neighbors.toSorted((a, b) => a.ip.compare(b.ip)),
        one => neighborText(one, name),
      );
    case 'ip rule':
      return lines(
        state.rules.filter(rule => rule.family === 'ipv4'),
        ruleText,
      );
    case 'bridge fdb':
      return lines(
        state.fdb.toSorted((a, b) => `${a.mac} ${a.destination}`.localeCompare(`${b.mac} ${b.destination}`)),
        entry => fdbText(entry, name),
      );
  }
}

type NameOf = (index: number | undefined) => string;

/** What only links of this kind have. */
function infoText(info: LinkInfo, nameOf: NameOf): string | undefined {
  switch (info.kind) {
    case 'vxlan':
      return words(
        info.collectMetadata === true ? 'external' : `id ${info.id}`,
        info.group && `remote ${info.group}`,
        info.local && `local ${info.local}`,
        info.link && `dev ${nameOf(info.link)}`,
        `dstport ${info.port}`,
        info.learning === false && 'nolearning',
        info.gbp && 'gbp',
      );
    case 'bridge':
      return words(
        info.stpState === undefined ? undefined : `stp_state ${info.stpState}`,
        info.vlanFiltering === undefined ? undefined : `vlan_filtering ${Number(info.vlanFiltering)}`,
        info.multicastSnooping === undefined ? undefined : `mcast_snooping ${Number(info.multicastSnooping)}`,
      );
    case 'macvlan':
      return `mode ${info.mode}`;
    case 'ipip':
      return `remote ${info.remote ?? '0.0.0.0'} local ${info.local ?? '0.0.0.0'}`;
    case 'veth':
    case 'tun':
    case 'wireguard':
    case 'other':
      return undefined;
  }
}

function linkText({ index, name, mtu, up, master, mac, info }: Link, nameOf: NameOf): string {
  const kind = info?.kind === 'other' ? info.name : info?.kind;
  return words(
    `${index}: ${name}: mtu ${mtu} ${up ? 'up' : 'down'}`,
    master && `master ${nameOf(master)}`,
    `link/ether ${mac}`,
    kind,
    info && infoText(info, nameOf),
  );
}

function addressText({ index, family, ip, length }: Address, nameOf: NameOf): string {
  return `${nameOf(index)} ${family === 'ipv4' ? 'inet' : 'inet6'} ${ip}/${length}`;
}

function routeText(route: Route, nameOf: NameOf): string {
  const { destination, nexthopId, gateway, oif, table, protocol, scope, flags, mtu } = route;
  return words(
    destination === undefined ? 'default' : hostOrPrefix(`${destination}`),
    route.encap && `encap ip id ${route.encap.id} dst ${route.encap.destination}`,
    nexthopId && `nhid ${nexthopId}`,
    gateway && `via ${gateway}`,
    oif && `dev ${nameOf(oif)}`,
    table !== RT_TABLE_MAIN && `table ${TABLES[table] ?? table}`,
    protocol !== RTPROT_BOOT && `proto ${PROTOCOLS[protocol] ?? protocol}`,
    scope === RT_SCOPE_LINK && 'scope link',
    route.preferredSource && `src ${route.preferredSource}`,
    route.priority && `metric ${route.priority}`,
    flags & RTNH_F_ONLINK && 'onlink',
    mtu && `mtu ${mtu}`,
  );
}

function nexthopText({ id, gateway, oif, protocol, flags, blackhole }: Nexthop, nameOf: NameOf): string {
  return words(
    `id ${id}`,
    gateway && `via ${gateway}`,
    oif && `dev ${nameOf(oif)}`,
    blackhole && 'blackhole',
    oif && 'scope link',
    protocol && `proto ${PROTOCOLS[protocol] ?? protocol}`,
    flags & RTNH_F_ONLINK && 'onlink',
  );
}

function neighborText({ ip, index, mac, state }: Neighbor, nameOf: NameOf): string {
  return words(
    `${ip} dev ${nameOf(index)}`,
    mac && `lladdr ${mac}`,
    STATES[state] ?? `0x${state.toString(16)}`,
  );
}

function fdbText(entry: FdbEntry, nameOf: NameOf): string {
  const { mac, index, destination, port, vni, master, flags, state } = entry;
  return words(
    `${mac} dev ${nameOf(index)}`,
    destination && `dst ${destination}`,
    port && `port ${port}`,
    vni && `vni ${vni}`,
    flags & NTF_SELF && 'self',
    master && `master ${nameOf(master)}`,
    state & NUD_PERMANENT ? 'permanent' : 'static',
  );
}

function ruleText({ priority, source, destination, fwmark, table }: Rule): string {
  return words(
    `${priority}: from ${source === undefined ? 'all' : hostOrPrefix(`${source}`)}`,
    destination && `to ${hostOrPrefix(`${destination}`)}`,
    fwmark && `fwmark 0x${fwmark.toString(16)}`,
    `lookup ${TABLES[table] ?? table}`,
  );
}

/** A host route is written without its length. */
function hostOrPrefix(prefix: string): string {
  return prefix.replace(/(?<=\.\d+)\/32$|\/128$/, '');
}

function sorted(routes: readonly Route[]): Route[] {
  return routes.toSorted((a, b) => {
    if (a.destination === undefined || b.destination === undefined) {
      return Number(a.destination !== undefined) - Number(b.destination !== undefined);
    }
    return a.destination.compare(b.destination);
  });
}

function lines<T>(objects: readonly T[], text: (object: T) => string): string {
  return objects.map(text).join('\n');
}

/** Joined by spaces, without those that do not apply. */
function words(...parts: readonly (string | number | boolean | undefined)[]): string {
  return parts.filter(part => typeof part === 'string' && part !== '').join(' ');
}
