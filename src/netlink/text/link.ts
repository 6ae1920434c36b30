/** Links in the words of `ip -d -o link`: what Link holds, in that order. */
import type { Ip } from '../../base/ip.ts';
import type { BridgePort } from '../route/bridge-port.ts';
import { IFF_UP } from '../route/constants.ts';
import { type LinkInfo, linkKind, type VxlanInfo } from '../route/link-info.ts';
import type { Link } from '../route/objects.ts';
import { bitWords, joinWords, linkLayerWord, operStateWord } from './words.ts';

/** The name of the link with this index. */
export type NameOf = (index: number) => string;

/** Names as `ip` prints them: a link that is not listed is `if7`. */
export function linkNames(links: Iterable<Pick<Link, 'index' | 'name'>>): NameOf {
  const names = new Map(Array.from(links, ({ index, name }) => [index, name]));
  return index => names.get(index) ?? `if${index}`;
}

const IFF_RUNNING = 0x40;

/** IFF_*: include/uapi/linux/if.h. */
const FLAGS = [
  [0x8, 'LOOPBACK'],
  [0x2, 'BROADCAST'],
  [0x10, 'POINTOPOINT'],
  [0x1000, 'MULTICAST'],
  [0x80, 'NOARP'],
  [0x200, 'ALLMULTI'],
  [0x100, 'PROMISC'],
  [0x400, 'MASTER'],
  [0x800, 'SLAVE'],
  [IFF_UP, 'UP'],
  [0x10000, 'LOWER_UP'],
  [0x20000, 'DORMANT'],
] as const;

/** `3: flannel.88: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 state UNKNOWN link/ether 02:... vxlan id 88 ...`. */
export function linkLine(link: Link, nameOf: NameOf): string {
  const { index, name, flags, mtu, master, operState, type, mac, info, port } = link;
  const hasNoCarrier = (flags & (IFF_UP | IFF_RUNNING)) === IFF_UP;
  const flagWords = [...(hasNoCarrier ? ['NO-CARRIER'] : []), ...bitWords(flags, FLAGS)];
  return joinWords(
    `${index}: ${name}${lowerText(link, nameOf)}:`,
    `<${flagWords.join(',')}>`,
    mtu !== undefined && `mtu ${mtu}`,
    master !== undefined && `master ${nameOf(master)}`,
    operState !== undefined && `state ${operStateWord(operState)}`,
    `link/${linkLayerWord(type)}`,
    mac?.toString(),
    info && linkInfoWords(info, nameOf),
    port && bridgePortWords(port),
  );
}

/** What `ip` calls the ways in which a bridge treats a port, in its order. */
export const BRIDGE_PORT_WORDS = [
  ['hairpin', 'hairpin'],
  ['learning', 'learning'],
  ['unicastFlood', 'flood'],
  ['multicastFlood', 'mcast_flood'],
  ['broadcastFlood', 'bcast_flood'],
  ['neighborSuppression', 'neigh_suppress'],
  ['isolated', 'isolated'],
] as const satisfies readonly (readonly [keyof BridgePort, string])[];

/** `bridge_slave hairpin off learning on flood on ...`. */
function bridgePortWords(port: BridgePort): string {
  const words = BRIDGE_PORT_WORDS.map(([key, word]) => [word, onOff(port[key])] as const);
  return joinWords('bridge_slave', options(Object.fromEntries(words)));
}

/** A lower link of another namespace has no name here. */
function lowerText({ lower, netnsId }: Link, nameOf: NameOf): string {
  if (lower === undefined || lower === 0) return '';
  return netnsId === undefined ? `@${nameOf(lower)}` : `@if${lower}`;
}

/** Kind and data: `vxlan id 88 local 192.168.65.3 dev eth0 ...`. */
export function linkInfoWords(info: LinkInfo, nameOf: NameOf): string {
  return joinWords(linkKind(info), dataWords(info, nameOf));
}

function dataWords(info: LinkInfo, nameOf: NameOf): string {
  switch (info.kind) {
    case 'vxlan':
      return vxlanWords(info, nameOf);
    case 'bridge':
      return options({
        forward_delay: info.forwardDelay,
        ageing_time: info.ageingTime,
        stp_state: info.stpState,
        vlan_filtering: digit(info.vlanFiltering),
        mcast_snooping: digit(info.multicastSnooping),
      });
    case 'tun':
      return options({
        type: info.type,
        pi: onOff(info.packetInformation),
        vnet_hdr: onOff(info.vnetHeader),
        persist: onOff(info.persist),
        user: info.owner,
        group: info.group,
      });
    case 'macvlan':
      return options({ mode: info.mode });
    case 'ipip':
      return options({
        remote: info.remote,
        local: info.local,
        dev: info.link === undefined || info.link === 0 ? undefined : nameOf(info.link),
        ttl: info.ttl === 0 ? 'inherit' : info.ttl,
      });
    case 'veth':
    case 'wireguard':
    case 'other':
      return '';
  }
}

function vxlanWords(info: VxlanInfo, nameOf: NameOf): string {
  const { id, group, local, link, portRange, port, tos, df, label, ageing, limit } = info;
  return joinWords(
    info.collectMetadata === true && 'external',
    info.vnifilter === true && 'vnifilter',
    id !== undefined && `id ${id}`,
    group && `${group.isMulticast ? 'group' : 'remote'} ${group}`,
    local && `local ${local}`,
    link !== undefined && link !== 0 && `dev ${nameOf(link)}`,
    portRange && `srcport ${portRange.low} ${portRange.high}`,
    port !== undefined && `dstport ${port}`,
    info.learning === false && 'nolearning',
    info.proxy === true && 'proxy',
    info.rsc === true && 'rsc',
    info.l2miss === true && 'l2miss',
    info.l3miss === true && 'l3miss',
    tos !== undefined && tos !== 0 && `tos ${tos === 1 ? 'inherit' : `0x${tos.toString(16)}`}`,
    ttlWords(info),
    df !== undefined && df !== 0 && `df ${df === 1 ? 'set' : 'inherit'}`,
    label !== undefined && label !== 0 && `flowlabel 0x${label.toString(16)}`,
    ageing !== undefined && `ageing ${ageing === 0 ? 'none' : ageing}`,
    limit !== undefined && limit !== 0 && `maxaddr ${limit}`,
    withNo('udpcsum', info.udpCsum),
    withNo('udp6zerocsumtx', info.udpZeroCsum6Tx),
    withNo('udp6zerocsumrx', info.udpZeroCsum6Rx),
    info.remcsumTx === true && 'remcsumtx',
    info.remcsumRx === true && 'remcsumrx',
    info.gbp === true && 'gbp',
    info.gpe === true && 'gpe',
  );
}

function ttlWords({ ttl, ttlInherit }: VxlanInfo): string | undefined {
  if (ttlInherit === true) return 'ttl inherit';
  return ttl === undefined ? undefined : `ttl ${ttl === 0 ? 'auto' : ttl}`;
}

function withNo(word: string, value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : `${value ? '' : 'no'}${word}`;
}

/** `name value`, for those that have a value. */
function options(values: Readonly<Record<string, string | number | Ip | undefined>>): string {
  const entries = Object.entries(values);
  return joinWords(...entries.map(([name, value]) => value !== undefined && `${name} ${value}`));
}

const digit = (value: boolean | undefined) => (value === undefined ? undefined : Number(value));
const onOff = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'on' : 'off');
