/** What iptables-save prints: tables of chains of rules, and each rule as far as the way of a packet depends on it. */
import { Prefix } from '../../base/prefix.ts';
import type { PacketCondition } from '../packets/packet.ts';
import type { ReadChains, ReadRule, Verdict } from '../packets/walk.ts';

/** One chain as iptables-save shows it. */
export interface SavedChain {
  /** `ACCEPT` or `DROP` for a built-in chain, `-` for others. */
  readonly policy: string;
  /** Without the `-A CHAIN ` in front. */
  readonly rules: readonly string[];
}

/** Of a table, chain name -> chain. */
export type SavedTable = ReadonlyMap<string, SavedChain>;

/** Table name -> chain name -> chain. */
export type SavedTables = ReadonlyMap<string, SavedTable>;

/** Reads the output of iptables-save. Lines of no interest (comments, counters) are skipped. */
export function parseSave(text: string): SavedTables {
  const tables = new Map<string, Map<string, { policy: string; rules: string[] }>>();
  let chains = new Map<string, { policy: string; rules: string[] }>();
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
      continue;
    }
    const chain = /^:(\S+) (\S+)/.exec(line);
    if (chain?.[1] !== undefined) chains.set(chain[1], { policy: chain[2] ?? '-', rules: [] });
    const rule = /^-A (\S+) (.*)$/.exec(line);
    if (rule?.[1] !== undefined) chains.get(rule[1])?.rules.push((rule[2] ?? '').trim());
  }
  return tables;
}

/** Matches that look at a packet's own kind, not at whose it is; what others look at is not known. */
const TRAFFIC_MATCHES = new Set(
  (
    'tcp udp udplite icmp icmp6 sctp dccp esp ah multiport conntrack state limit hashlimit connlimit recent ' +
    'statistic length pkttype ttl hl dscp tos ecn tcpmss string time quota owner rpfilter'
  ).split(' '),
);

const VERDICTS: Readonly<Record<string, Verdict>> = {
  ACCEPT: { kind: 'accept' },
  // What a program in user space decides is its own affair.
  NFQUEUE: { kind: 'accept' },
  DROP: { kind: 'drop' },
  REJECT: { kind: 'drop' },
  RETURN: { kind: 'return' },
  MASQUERADE: { kind: 'nat', isMasquerade: true },
  SNAT: { kind: 'nat' },
  NETMAP: { kind: 'nat' },
  DNAT: { kind: 'nat' },
  REDIRECT: { kind: 'nat' },
};

export function readChains(table: SavedTable): ReadChains {
  return new Map(Array.from(table, ([name, { rules }]) => [name, rules.map(rule => readRule(rule, table))]));
}

/** @param text without the `-A CHAIN ` in front. @param table knows which targets are chains. */
export function readRule(text: string, table: SavedTable): ReadRule {
  const words = text.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  const conditions: PacketCondition[] = [];
  let verdict: Verdict = { kind: 'none' };
  let match = '';
  let mark: ReadRule['mark'];
  let not = false;
  for (let index = 0; index < words.length; ) {
    const option = words[index++] ?? '';
    if (option === '!') {
      not = true;
      continue;
    }
    const values: string[] = [];
    while (index < words.length && !/^(!|-.*)$/.test(words[index] ?? '')) values.push(words[index++] ?? '');
    const [value = ''] = values;
    if (option === '-m') match = value;
    else if (option === '-j' || option === '-g') {
      const kind = option === '-j' ? 'jump' : 'goto';
      if (value === 'MARK') mark = readMarkChange(words.slice(index));
      verdict = table.has(value) ? { kind, chain: value } : (VERDICTS[value] ?? verdict);
      // What follows is the target's.
      break;
    } else if (option !== '--comment') conditions.push({ not, on: readOption(option, values, match) });
    not = false;
  }
  return { conditions, verdict, text, ...(mark && { mark }) };
}

/** `--set-xmark 0x10000/0x10000`. */
function readMarkChange([option, value = '']: readonly string[]): ReadRule['mark'] {
  if (option !== '--set-xmark' && option !== '--set-mark') return undefined;
  const [set = '', mask = '0xffffffff'] = value.split('/');
  return { value: Number(set), mask: Number(mask) };
}

function readOption(option: string, values: readonly string[], match: string): PacketCondition['on'] {
  const [value = ''] = values;
  switch (option) {
    case '-s':
    case '-d':
      return readAddress(option === '-s' ? 'source' : 'destination', value);
    case '-i':
    case '-o':
      return { field: option === '-i' ? 'input' : 'output', names: [value.replace(/\+$/, '*')] };
    case '-p':
      return { field: 'protocol', names: [value === '17' ? 'udp' : value] };
    case '--dport':
    case '--dports':
      return { field: 'destinationPort', ranges: value.split(',').map(readRange) };
    case '--state':
    case '--ctstate':
      return { field: 'state', states: value.toLowerCase().split(',') };
    case '--tcp-flags':
      return isFirstOfConnection(values) ? { field: 'state', states: ['new'] } : { field: 'traffic' };
    case '--dst-type':
      return { field: value === 'LOCAL' ? 'local' : 'unknown' };
    case '--mark':
      return match === 'mark' ? readMark(value) : { field: 'unknown' };
    default:
      return { field: TRAFFIC_MATCHES.has(match) || option === '-f' ? 'traffic' : 'unknown' };
  }
}

/** `FIN,SYN,RST,ACK SYN`, which is typed as `--syn`: what a connection begins with. */
function isFirstOfConnection([examined = '', set = '']: readonly string[]): boolean {
  const flags = examined.split(',');
  return set === 'SYN' && flags.includes('SYN') && flags.includes('ACK');
}

function readAddress(field: 'source' | 'destination', value: string): PacketCondition['on'] {
  const prefix = Prefix.tryParse(value);
  return prefix === undefined ? { field: 'unknown' } : { field, prefixes: [prefix] };
}

function readRange(text: string): [number, number] {
  const [low = '', high = low] = text.split(':');
  return [Number(low), Number(high)];
}

function readMark(value: string): PacketCondition['on'] {
  const [wanted = '', mask = '0xffffffff'] = value.split('/');
  return { field: 'mark', mask: Number(mask), value: Number(wanted) };
}
