/** As ruleset.ts, of the legacy iptables: in what iptables-save shows. */

import { Prefix } from '../../base/prefix.ts';
import type { SavedTables } from '../iptables/saved.ts';
import { type FastTraffic, type Packets, packetsOf } from './conditions.ts';
import {
  type JudgingRule,
  MEASURES,
  type Measure,
  OF_FLOWS,
  XT_MATCHES,
  XT_TARGETS,
  XT_WATCHING,
} from './judging-rule.ts';

const BUILTIN: Readonly<Record<Packets['of'], readonly string[]>> = {
  flow: ['PREROUTING', 'FORWARD', 'POSTROUTING'],
  tunnel: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
};

/** @param program `iptables-legacy`. @param tables as `parseSave` reads them */
export function judgingInSaved(
  program: string,
  tables: SavedTables,
  traffic: FastTraffic = {},
): JudgingRule[] {
  const found = packetsOf(traffic).flatMap(packets => judgingOf(program, tables, packets));
  return [...new Map(found.map(rule => [`${rule.look}\n${rule.rule}`, rule])).values()];
}

function judgingOf(program: string, tables: SavedTables, packets: Packets): JudgingRule[] {
  return Array.from(tables).flatMap(([table, chains]) => {
    // It sees the first packet of each connection only.
    if (table === 'nat') return [];
    const rules = new Map(
      Array.from(chains, ([name, chain]) => [name, chain.rules.map(rule => readSavedRule(rule))]),
    );
    return [...reachable(rules, packets)].flatMap(chain =>
      (rules.get(chain) ?? []).flatMap(rule => {
        const text = judge(rule, rules, packets);
        if (text === undefined) return [];
        const where = `chain ${chain} of ${program} table ${table}`;
        return [{ where, rule: text, look: `${program} -t ${table} -S ${chain}` }];
      }),
    );
  });
}

interface SavedRule {
  readonly matches: readonly string[];
  /** Option -> its value; `!` in front of one that is turned round. */
  readonly options: ReadonlyMap<string, string>;
  readonly target: string;
}

type Rules = ReadonlyMap<string, readonly SavedRule[]>;

/** @param text without the `-A CHAIN ` in front */
function readSavedRule(text: string): SavedRule {
  const words = text.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  const matches: string[] = [];
  const options = new Map<string, string>();
  let target = '';
  for (const [index, word] of words.entries()) {
    if (!word.startsWith('-')) continue;
    const values = words.slice(index + 1, nextOption(words, index + 1));
    const value = values.join(' ');
    if (word === '-m') matches.push(value);
    else if (word === '-j' || word === '-g') target = value;
    options.set(words[index - 1] === '!' ? `! ${word}` : word, value);
  }
  return { matches, options, target };
}

function nextOption(words: readonly string[], from: number): number {
  const next = words.findIndex((word, index) => index >= from && /^(-|!$)/.test(word));
  return next < 0 ? words.length : next;
}

function reachable(rules: Rules, packets: Packets): ReadonlySet<string> {
  const found = new Set(BUILTIN[packets.of]);
  for (const chain of found)
    for (const rule of rules.get(chain) ?? [])
      if (rules.has(rule.target) && mayBeMet(rule, packets)) found.add(rule.target);
  return found;
}

function judge(rule: SavedRule, rules: Rules, packets: Packets): string | undefined {
  const matters = (measure: Measure | undefined): measure is Measure =>
    measure !== undefined && (packets.of === 'flow' || !OF_FLOWS.has(measure));
  const own = [ownMeasure(rule)].filter(matters);
  const looks = [...rule.matches.map(name => XT_MATCHES[name]), flagsMeasure(rule)].filter(matters);
  if (looks.length + own.length === 0 || !mayBeMet(rule, packets)) return undefined;
  if (own.length === 0 && !isDeciding(rule, rules)) return undefined;
  const words = Array.from(new Set([...looks, ...own]), measure => MEASURES[measure]);
  return [...words, rule.target].join(', ');
}

/** Flags that only some packets of a connection have. */
const flagsMeasure = ({ options }: SavedRule): Measure | undefined =>
  /^\S*(PSH|URG|ALL)/.test(tcpFlags(options)) ? 'header' : undefined;

/** `MASK SET`, of a rule that is turned round as well. */
const tcpFlags = (options: SavedRule['options']) =>
  options.get('--tcp-flags') ?? options.get('! --tcp-flags') ?? '';

function ownMeasure({ target, options }: SavedRule): Measure | undefined {
  if (target !== 'CT') return XT_TARGETS[target];
  if (options.has('--helper')) return 'helper';
  return options.has('--zone') || options.has('--zone-orig') || options.has('--zone-reply')
    ? 'zone'
    : undefined;
}

function isDeciding({ target }: SavedRule, rules: Rules, above: readonly string[] = []): boolean {
  if (target === '' || XT_WATCHING.has(target)) return false;
  const called = rules.get(target);
  if (called === undefined || above.includes(target)) return true;
  return called.some(rule => rule.target !== 'RETURN' && isDeciding(rule, rules, [...above, target]));
}

/** As `mayBeMet` of conditions.ts. */
function mayBeMet({ options }: SavedRule, packets: Packets): boolean {
  const protocol = options.get('-p');
  const protocols = packets.of === 'flow' ? /^(tcp|udp|6|17|all|0)$/ : /^(udp|17|all|0)$/;
  if (protocol !== undefined && !protocols.test(protocol)) return false;
  const states = options.get('--ctstate') ?? options.get('--state');
  const wantedStates = packets.of === 'flow' ? /ESTABLISHED|UNTRACKED/ : /ESTABLISHED|UNTRACKED|NEW/;
  if (states !== undefined && !wantedStates.test(states)) return false;
  if (packets.of === 'tunnel')
    return isToPort(options.get('--dport') ?? options.get('--dports'), packets.ports);
  const [mask = '', wanted = ''] = options.get('--tcp-flags')?.split(' ') ?? [];
  // All packets have ACK.
  if (/SYN|FIN|RST/.test(wanted) || (/ACK|ALL/.test(mask) && !/ACK|ALL/.test(wanted))) return false;
  const { prefixes } = packets;
  return ['-s', '-d'].every(option => {
    const prefix = Prefix.tryParse(options.get(option) ?? '');
    return prefix === undefined || prefixes === undefined || prefixes.some(own => own.overlaps(prefix));
  });
}

/** @param text `53`, `53,67:68`. */
const isToPort = (text: string | undefined, ports: readonly number[]): boolean =>
  text === undefined ||
  text.split(',').some(range => {
    const [from = 0, to = from] = range.split(':').map(Number);
    return ports.some(port => from <= port && port <= to);
  });
