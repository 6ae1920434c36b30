/** What is full or held back on the way of overlay packets: connection tracking, queues, programs on links. */

import { ownProgram } from '../../fastpath/own-program.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { programOf } from '../../netlink/route/program-filter.ts';
import {
  TC_H_CLSACT,
  TC_H_CLSACT_EGRESS,
  TC_H_CLSACT_INGRESS,
  TC_H_ROOT,
} from '../../netlink/route/traffic-constants.ts';
import type { Qdisc, TrafficFilter } from '../../netlink/route/traffic-control.ts';
import { type LinkProgram, linkPrograms, linkProgramText } from '../fastpath/link-programs.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { NamespaceReader } from '../host/namespace-reader.ts';
import { readCounters } from '../observe/counters.ts';
import { type Cause, removing } from './check.ts';
import { underlayOf } from './underlay.ts';

export async function checkLimits(host: HostReader): Promise<Cause[]> {
  const [links, qdiscs] = await Promise.all([linksOnWay(host), host.qdiscs()]);
  const [programs, ...filters] = await Promise.all([
    linkPrograms(host, links),
    ...links.map(link => filtersOf(host, link, qdiscs)),
  ]);
  return [
    ...conntrackCauses(path => host.sysctl(path), readCounters(host.netns, false).get('conntrack drop') ?? 0),
    ...links.flatMap((link, at) => [
      ...queueCauses(
        link,
        qdiscs.filter(({ index }) => index === link.index),
      ),
      ...filterCauses(link, filters[at] ?? []),
      ...tcxCauses(
        link,
        programs.filter(({ index, by }) => index === link.index && by === 'tcx'),
      ),
      ...programCauses(link),
    ]),
  ];
}

/** The underlay's link, the devices of the overlay, bridges with containers of it, and these containers' links. */
async function linksOnWay(host: HostReader): Promise<Link[]> {
  const [links, underlay, overlay, addresses, peers] = await Promise.all([
    host.links(),
    underlayOf(host),
    host.overlay(),
    host.addresses(),
    host.peers(),
  ]);
  const names = new Set(peers.flatMap(peer => peer.links ?? []));
  const isBridge = ({ index }: Link) =>
    addresses.some(
      ({ ip, index: own }) => own === index && overlay?.subnets.some(subnet => subnet.contains(ip)),
    );
  const first = links.filter(
    link => link.index === underlay.link?.index || names.has(link.name) || isBridge(link),
  );
  const bridges = new Set(first.filter(({ info }) => info?.kind === 'bridge').map(({ index }) => index));
  return [...first, ...links.filter(({ master }) => master !== undefined && bridges.has(master))];
}

interface FoundFilter {
  readonly filter: TrafficFilter;
  readonly direction: 'ingress' | 'egress';
}

/** Those of others. */
export async function filtersOf(
  reader: NamespaceReader,
  { index }: Link,
  qdiscs: readonly Qdisc[],
): Promise<FoundFilter[]> {
  const own = qdiscs.filter(qdisc => qdisc.index === index);
  const asks: Promise<FoundFilter[]>[] = [];
  const ask = async (parent: number, direction: FoundFilter['direction']) =>
    (await reader.filters(index, parent))
      .filter(filter => !isOwnFilter(filter))
      .map(filter => ({ filter, direction }));
  for (const { kind, parent } of own) {
    if (kind === 'clsact' || kind === 'ingress' || parent === TC_H_CLSACT)
      asks.push(ask(TC_H_CLSACT_INGRESS, 'ingress'));
    if (kind === 'clsact') asks.push(ask(TC_H_CLSACT_EGRESS, 'egress'));
  }
  return (await Promise.all(asks)).flat();
}

function isOwnFilter(filter: TrafficFilter): boolean {
  const id = programOf(filter)?.id;
  return id !== undefined && ownProgram(id) !== undefined;
}

/** @param drops packets of new connections that found no room since the namespace was made */
export function conntrackCauses(read: (path: string) => string | undefined, drops: number): Cause[] {
  const [count, most] = ['count', 'max'].map(name => Number(read(`net/netfilter/nf_conntrack_${name}`) ?? 0));
  if (count === undefined || most === undefined || most === 0 || count < 0.9 * most) return [];
  const isFull = count >= most;
  return [
    {
      code: 'CONNTRACK_FULL',
      severity: isFull ? 'error' : 'warning',
      layer: 'limits',
      reason: `the table of connections is ${isFull ? 'full' : 'nearly full'}: packets of new connections are dropped`,
      evidence: [
        `net.netfilter.nf_conntrack_count = ${count}`,
        `net.netfilter.nf_conntrack_max = ${most}`,
        `packets dropped by it so far: ${drops}`,
      ],
      remedy: `sysctl -w net.netfilter.nf_conntrack_max=${Math.max(262_144, most * 4)}`,
    },
  ];
}

/** Those that let nothing through (net/sched/sch_blackhole.c). */
const BLACK_HOLES = new Set(['blackhole', 'noop']);

/** Those that let only so much through on purpose, or lose. */
const SHAPERS = new Set(['tbf', 'htb', 'hfsc', 'cbq', 'netem', 'drr', 'ets', 'plug']);

export function queueCauses({ name, up }: Link, qdiscs: readonly Qdisc[]): Cause[] {
  return qdiscs.flatMap((qdisc): Cause[] => {
    const { kind, parent, drops = 0 } = qdisc;
    const line = `qdisc ${kind} ${handleText(qdisc.handle)} dev ${name} root, dropped ${drops}`;
    if (parent === TC_H_ROOT && BLACK_HOLES.has(kind) && up) {
      return [
        {
          code: 'TC_DROP',
          severity: 'error',
          layer: 'limits',
          reason: `the queue of ${name} (${kind}) drops all that is sent over it`,
          evidence: [line],
          remedy: `tc qdisc delete dev ${name} root`,
        },
      ];
    }
    const isShort = (kind === 'pfifo' || kind === 'bfifo') && drops > 0;
    if (parent !== TC_H_ROOT || !(SHAPERS.has(kind) || isShort)) return [];
    return [
      {
        code: 'RATE_LIMIT',
        severity: drops > 0 ? 'warning' : 'info',
        layer: 'limits',
        reason: `the queue of ${name} (${kind}) holds back or drops what is sent over it: ${drops} packets so far`,
        evidence: [line],
        remedy: `tc qdisc delete dev ${name} root  # tc -s qdisc show dev ${name} shows what it does`,
      },
    ];
  });
}

/** `8001:`. */
const handleText = (handle: number) => `${(handle >>> 16).toString(16)}:`;

const WAYS = { ingress: 'come in by', egress: 'leave by' } as const;

/** @param programs at the link; what Tulle's own do with packets is no cause */
export function tcxCauses({ name }: Link, programs: readonly LinkProgram[]): Cause[] {
  const foreign = programs.filter(({ role }) => role === undefined);
  return [...Map.groupBy(foreign, ({ point }) => point)].map(([point, found]) => ({
    code: 'TC_DROP',
    severity: 'warning' as const,
    layer: 'limits' as const,
    reason: `BPF programs (tcx) see the packets that ${WAYS[point]} ${name}, and may drop or redirect them`,
    evidence: found.slice(0, 10).map(linkProgramText),
    remedy: removing(`bpftool net show dev ${name}; bpftool prog show id ${found[0]?.id}`),
  }));
}

export function filterCauses({ name }: Link, found: readonly FoundFilter[]): Cause[] {
  const byDirection = Map.groupBy(found, ({ direction }) => direction);
  return [...byDirection].map(([direction, filters]) => ({
    code: 'TC_DROP',
    severity: 'warning' as const,
    layer: 'limits' as const,
    reason: `filters of tc see the packets that ${WAYS[direction]} ${name}, and may drop or redirect them`,
    evidence: filters
      .slice(0, 10)
      .map(
        ({ filter: { kind, priority, protocol } }) =>
          `filter dev ${name} ${direction} protocol ${protocolText(protocol)} pref ${priority} ${kind}`,
      ),
    remedy: `tc -s filter show dev ${name} ${direction}`,
  }));
}

/** ETH_P_*. */
const protocolText = (protocol: number) =>
  ({ 0x0003: 'all', 0x0800: 'ip', 0x0806: 'arp', 0x86dd: 'ipv6' })[protocol] ?? `[${protocol}]`;

export function programCauses({ name, xdpProgram }: Link): Cause[] {
  if (xdpProgram === undefined || xdpProgram === 0) return [];
  return [
    {
      code: 'XDP_PROGRAM',
      severity: 'warning',
      layer: 'underlay',
      reason: `a BPF program (XDP) sees what comes in by ${name} before the kernel does, and may drop it`,
      evidence: [`ip link show ${name}: prog/xdp id ${xdpProgram}`],
      remedy: `ip link set dev ${name} xdp off  # bpftool prog show id ${xdpProgram} shows what it is`,
    },
  ];
}
