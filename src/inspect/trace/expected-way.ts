/**
 * What the rules of iptables say of the first packet of a connection, worked out from their text: the hops that a trace
 * should have. It is for showing that a trace and the rules agree, so it knows only the matches and targets that a
 * reader can follow, and refuses the others.
 */
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { parseSave, type SavedTable, type SavedTables } from '../../firewall/iptables/saved.ts';
import type { TraceVerdict } from '../../netlink/netfilter/trace-event.ts';
import { TraceError } from './errors.ts';
import type { TraceHop } from './hops.ts';
import type { TracedPacket } from './packet.ts';
import { hopLine } from './text.ts';

/** A hop without what only a packet that was really sent has. */
export type ExpectedHop = Pick<
  TraceHop,
  'hook' | 'family' | 'table' | 'chain' | 'kind' | 'verdict' | 'target' | 'policy'
> & {
  readonly rule?: { readonly iptables: string };
  /** Of a chain without rules: iptables-save lists some that the kernel does not have. */
  readonly isOptional?: true;
};

/** What the packet is like, and what the host knows of addresses. */
export interface WayOfPacket {
  readonly packet: TracedPacket;
  /** The link it comes in by; absent for one that this host makes. */
  readonly input?: string;
  readonly isLocal: (address: Ip) => boolean;
  /** Name of the link that leads to an address. */
  readonly linkTo: (address: Ip) => Promise<string>;
}

/** Chains by hook, in the order of their priorities, include/uapi/linux/netfilter_ipv4.h. */
const TABLES_AT = {
  prerouting: ['raw', 'mangle', 'nat'],
  input: ['mangle', 'filter', 'security', 'nat'],
  forward: ['mangle', 'filter', 'security'],
  output: ['raw', 'mangle', 'nat', 'filter', 'security'],
  postrouting: ['mangle', 'nat'],
} as const;

type Hook = keyof typeof TABLES_AT;

interface Walking {
  readonly way: WayOfPacket;
  readonly hops: ExpectedHop[];
  hook: Hook;
  table: string;
  chains: SavedTable;
  packet: TracedPacket;
  input: string | undefined;
  output: string | undefined;
}

/**
 * @param saved what iptables-save prints
 * @throws TraceError UNREADABLE for a rule with a match or a target that is not known here
 */
export async function expectedHops(saved: string, way: WayOfPacket): Promise<ExpectedHop[]> {
  const tables = parseSave(saved);
  const walking: Walking = {
    way,
    hops: [],
    hook: 'prerouting',
    table: '',
    chains: new Map(),
    packet: way.packet,
    input: way.input,
    output: undefined,
  };
  if (way.input === undefined) {
    walking.output = await way.linkTo(walking.packet.destination);
    if (!passes(walking, tables, 'output')) return walking.hops;
    walking.output = await way.linkTo(walking.packet.destination);
    // What goes to the host itself leaves by the loopback device and comes in again; it is known by then.
    if (!passes(walking, tables, 'postrouting') || walking.output !== 'lo') return walking.hops;
    walking.input = 'lo';
    walking.output = undefined;
    const others = without(tables, 'nat');
    if (passes(walking, others, 'prerouting')) passes(walking, others, 'input');
    return walking.hops;
  }
  if (!passes(walking, tables, 'prerouting')) return walking.hops;
  if (way.isLocal(walking.packet.destination)) {
    passes(walking, tables, 'input');
    return walking.hops;
  }
  walking.output = await way.linkTo(walking.packet.destination);
  if (passes(walking, tables, 'forward')) passes(walking, tables, 'postrouting');
  return walking.hops;
}

/**
 * Whether a trace is what the rules say.
 *
 * @param seen its hops in words (`hopLine`)
 * @returns the first hop that differs, in words; undefined when they agree
 */
export function firstDifference(
  seen: readonly string[],
  expected: readonly ExpectedHop[],
): string | undefined {
  let at = 0;
  for (const hop of expected) {
    const line = hopLine(hop);
    if (seen[at] === line) at++;
    else if (hop.isOptional !== true) return `${seen[at] ?? 'the end'}, where the rules say ${line}`;
  }
  return at < seen.length ? `${seen[at]}, where the rules say the end` : undefined;
}

const without = (tables: SavedTables, name: string): SavedTables =>
  new Map([...tables].filter(([table]) => table !== name));

/** @returns false when the packet is dropped at this hook */
function passes(walking: Walking, tables: SavedTables, hook: Hook): boolean {
  walking.hook = hook;
  for (const table of TABLES_AT[hook]) {
    const chains = tables.get(table);
    const chain = chains?.get(hook.toUpperCase());
    if (chains === undefined || chain === undefined) continue;
    walking.table = table;
    walking.chains = chains;
    const verdict = walk(walking, hook.toUpperCase());
    if (verdict === 'drop') return false;
    if (verdict === 'accept') continue;
    const policy = chain.policy === 'DROP' ? 'drop' : 'accept';
    const hop = { ...placeOf(walking, hook.toUpperCase()), kind: 'policy', verdict: policy, policy } as const;
    const isOptional = chain.rules.length === 0 && policy === 'accept';
    walking.hops.push(isOptional ? { ...hop, isOptional } : hop);
    if (policy === 'drop') return false;
  }
  return true;
}

const placeOf = ({ hook, table }: Walking, chain: string) => ({ hook, family: 'ip', table, chain });

/** undefined when no rule of the chain decides. */
function walk(walking: Walking, chain: string): 'accept' | 'drop' | undefined {
  const place = placeOf(walking, chain);
  for (const text of walking.chains.get(chain)?.rules ?? []) {
    const { holds, target, isGoto, to } = readRuleFor(walking, text);
    if (!holds) continue;
    const isChain = walking.chains.has(target);
    const verdict = isChain ? (isGoto ? 'goto' : 'jump') : verdictOf(target, text);
    const hop = { ...place, kind: 'rule' as const, rule: { iptables: text }, verdict };
    walking.hops.push(isChain ? { ...hop, target } : hop);
    if (isChain) {
      const decided = walk(walking, target);
      if (decided !== undefined || isGoto) return decided;
    }
    if (verdict === 'return') return undefined;
    if (verdict === 'accept' || verdict === 'drop') {
      if (to !== undefined) walking.packet = translated(walking.packet, to);
      return verdict;
    }
  }
  if (walking.chains.get(chain)?.policy === '-')
    walking.hops.push({ ...place, kind: 'end', verdict: 'continue' });
  return undefined;
}

const VERDICTS: Readonly<Record<string, TraceVerdict>> = {
  ACCEPT: 'accept',
  DROP: 'drop',
  REJECT: 'drop',
  RETURN: 'return',
  DNAT: 'accept',
  SNAT: 'accept',
  MASQUERADE: 'accept',
  '': 'continue',
};

function verdictOf(target: string, text: string): TraceVerdict {
  return VERDICTS[target] ?? unknown(`the target ${target}`, text);
}

function translated(packet: TracedPacket, to: string): TracedPacket {
  const [, address = '', port] = /^([^:]*)(?::(\d+))?$/.exec(to) ?? [];
  return {
    ...packet,
    ...(address === '' ? {} : { destination: Ip.parse(address) }),
    ...(port === undefined ? {} : { destinationPort: Number(port) }),
  };
}

interface RuleForPacket {
  readonly holds: boolean;
  readonly target: string;
  readonly isGoto: boolean;
  /** Of a DNAT: the new destination. */
  readonly to: string | undefined;
}

function readRuleFor(walking: Walking, text: string): RuleForPacket {
  const words: readonly string[] = text.match(/"[^"]*"|\S+/g) ?? [];
  let [holds, not] = [true, false];
  for (let at = 0; at < words.length; at++) {
    const option = words[at] ?? '';
    if (option === '!') {
      not = true;
      continue;
    }
    const value = words[++at] ?? '';
    if (option === '-j' || option === '-g') {
      const to = words[words.indexOf('--to-destination') + 1];
      return { holds, target: value, isGoto: option === '-g', to: value === 'DNAT' ? to : undefined };
    }
    if (option === '-m' || option === '--comment') continue;
    if (matches(walking, option, value, text) === not) holds = false;
    not = false;
  }
  return { holds, target: '', isGoto: false, to: undefined };
}

function matches(walking: Walking, option: string, value: string, text: string): boolean {
  const { packet, input, output, way } = walking;
  switch (option) {
    case '-s':
      return Prefix.parse(value).contains(packet.source);
    case '-d':
      return Prefix.parse(value).contains(packet.destination);
    case '-i':
      return isNamed(value, input);
    case '-o':
      return isNamed(value, output);
    case '-p':
      return value === packet.protocol;
    case '--dport':
      return Number(value) === packet.destinationPort;
    case '--ctstate':
      return value.split(',').includes('NEW');
    case '--src-type':
    case '--dst-type':
      if (value !== 'LOCAL') return unknown(`${option} ${value}`, text);
      return way.isLocal(option === '--src-type' ? packet.source : packet.destination);
    default:
      return unknown(option, text);
  }
}

/** A `+` at the end stands for anything. */
const isNamed = (pattern: string, name = ''): boolean =>
  pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

function unknown(what: string, text: string): never {
  throw new TraceError('UNREADABLE', `what ${what} does is not known here: ${text}`);
}
