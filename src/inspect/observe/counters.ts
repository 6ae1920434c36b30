/**
 * Counters of the kernel that move when packets are lost: of links, IP, ICMP, UDP, TCP, connection tracking, and of the
 * queue between a card and the stack. They are read before and after; packets of other flows move them too.
 */
import { readFileSync } from 'node:fs';
import type { CounterChange } from '../../api/inspection.ts';
import { isCode } from '../../base/errors.ts';
import type { Netns } from '../../sys/netns.ts';

/** Value by name: `Udp InCsumErrors`. */
export type KernelCounters = ReadonlyMap<string, number>;

interface Source {
  /** Below /proc/thread-self/net: of the namespace that the thread is in. */
  readonly file: string;
  readonly parse: (text: string) => Iterable<readonly [string, number]>;
}

const SOURCES: readonly Source[] = [
  { file: 'dev', parse: linkCounters },
  { file: 'snmp', parse: pairedLines },
  { file: 'netstat', parse: pairedLines },
  { file: 'snmp6', parse: ipv6Counters },
  { file: 'stat/nf_conntrack', parse: conntrackCounters },
];
/** Of the machine, not of a namespace. */
const OF_MACHINE: Source = { file: 'softnet_stat', parse: softnetCounters };

/** @param isHost with what is the machine's. What this kernel does not have is not among them. */
export function readCounters(netns: Netns, isHost: boolean): KernelCounters {
  return netns.run(
    () =>
      new Map(
        [...SOURCES, ...(isHost ? [OF_MACHINE] : [])].flatMap(({ file, parse }) => [...parse(textOf(file))]),
      ),
  );
}

function textOf(file: string): string {
  try {
    return readFileSync(`/proc/thread-self/net/${file}`, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}

/** What grew, by how much. A counter that is new, of a new link, has grown from 0. */
export function counterChanges(
  before: KernelCounters,
  after: KernelCounters,
  container?: string,
): CounterChange[] {
  return [...after].flatMap(([name, value]) => {
    const by = value - (before.get(name) ?? 0);
    return by > 0 ? [{ name, by, ...(container === undefined ? {} : { container }) }] : [];
  });
}

/** Columns of net/core/net-procfs.c that mean a loss, by their place behind the name. */
const LINK_COLUMNS = [
  [2, 'rx_errors'],
  [3, 'rx_dropped'],
  [4, 'rx_fifo_errors'],
  [5, 'rx_frame_errors'],
  [10, 'tx_errors'],
  [11, 'tx_dropped'],
  [12, 'tx_fifo_errors'],
  [14, 'tx_carrier_errors'],
] as const;

export function* linkCounters(text: string): Iterable<readonly [string, number]> {
  for (const line of text.split('\n')) {
    const [, name, rest] = /^ *(\S+): *(.*)$/.exec(line) ?? [];
    if (name === undefined || rest === undefined) continue;
    const columns = rest.split(/ +/);
    for (const [at, what] of LINK_COLUMNS) yield [`${name} ${what}`, Number(columns[at] ?? 0)];
  }
}

/** Not counts of events, or counts of bytes and of packets of all kinds. */
const USELESS =
  /^(IcmpMsg .*|Icmp6 (In|Out)Type\d+|Ip(Ext|6) (\w*Octets|\w*Pkts)|Ip (Forwarding|DefaultTTL)|Tcp (RtoAlgorithm|RtoMin|RtoMax|MaxConn|CurrEstab)|conntrack entries)$/;

/** A line of names, then one of values: `Udp: InDatagrams NoPorts ...`. */
export function* pairedLines(text: string): Iterable<readonly [string, number]> {
  const lines = text.split('\n');
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [group = '', ...names] = (lines[at] ?? '').split(' ');
    const values = (lines[at + 1] ?? '').split(' ').slice(1);
    for (const [column, name] of names.entries()) {
      const full = `${group.slice(0, -1)} ${name}`;
      if (!USELESS.test(full)) yield [full, Number(values[column] ?? 0)];
    }
  }
}

/** `Ip6InReceives       12`. */
export function* ipv6Counters(text: string): Iterable<readonly [string, number]> {
  for (const line of text.split('\n')) {
    const [, group, name, value] = /^([A-Z][a-z]+(?:Lite)?6)(\w+)\s+(\d+)$/.exec(line) ?? [];
    const full = `${group} ${name}`;
    if (group !== undefined && !USELESS.test(full)) yield [full, Number(value)];
  }
}

/** Names, then a line of hexadecimal numbers for each processor (net/netfilter/nf_conntrack_standalone.c). */
export function* conntrackCounters(text: string): Iterable<readonly [string, number]> {
  const [head = '', ...lines] = text.trim().split('\n');
  const names = head.split(/\s+/).filter(Boolean);
  for (const [column, name] of names.entries()) {
    if (!USELESS.test(`conntrack ${name}`)) yield [`conntrack ${name}`, sumOf(lines, column)];
  }
}

/** Second and third number of each processor (net/core/net-procfs.c). */
export function* softnetCounters(text: string): Iterable<readonly [string, number]> {
  const lines = text.trim().split('\n');
  yield ['softnet dropped', sumOf(lines, 1)];
  yield ['softnet time_squeeze', sumOf(lines, 2)];
}

const sumOf = (lines: readonly string[], column: number) =>
  lines.reduce((sum, line) => sum + (Number.parseInt(line.trim().split(/\s+/)[column] ?? '', 16) || 0), 0);
