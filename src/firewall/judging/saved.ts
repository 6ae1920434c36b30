/** Rules of the legacy iptables that judge each packet which hosts forward, in what iptables-save shows. */

import { Prefix } from '../../base/prefix.ts';
import type { SavedTables } from '../iptables/saved.ts';
import type { FastTraffic } from './conditions.ts';
import {
  type JudgingRule,
  MEASURES,
  type Measure,
  XT_MATCHES,
  XT_TARGETS,
  XT_WATCHING,
} from './judging-rule.ts';

const BUILTIN = ['PREROUTING', 'FORWARD', 'POSTROUTING'];

/** @param program `iptables-legacy`. @param tables as `parseSave` reads them */
export function judgingInSaved(
  program: string,
  tables: SavedTables,
  traffic: FastTraffic = {},
): JudgingRule[] {
  return Array.from(tables).flatMap(([table, chains]) => {
    // It sees the first packet of each connection only.
    if (table === 'nat') return [];
    const rules = new Map(
      Array.from(chains, ([name, chain]) => [name, chain.rules.map(rule => readSavedRule(rule))]),
    );
    return [...reachable(rules)].flatMap(chain =>
      (rules.get(chain) ?? []).flatMap(rule => {
        const text = judge(rule, rules, traffic);
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

function reachable(rules: Rules): ReadonlySet<string> {
  const found = new Set(BUILTIN);
  for (const chain of found)
    for (const { target } of rules.get(chain) ?? []) if (rules.has(target)) found.add(target);
  return found;
}

function judge(rule: SavedRule, rules: Rules, traffic: FastTraffic): string | undefined {
  const own = ownMeasure(rule);
  const measures: Measure[] = [
    ...rule.matches.flatMap(name => XT_MATCHES[name] ?? []),
    ...(own ? [own] : []),
  ];
  if (measures.length === 0 || !mayBeMet(rule, traffic)) return undefined;
  if (own === undefined && !isDeciding(rule, rules)) return undefined;
  const words = Array.from(new Set(measures), measure => MEASURES[measure]);
  return [...words, rule.target].join(', ');
}

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
function mayBeMet({ options }: SavedRule, { prefixes }: FastTraffic): boolean {
  const protocol = options.get('-p');
  if (protocol !== undefined && !/^(tcp|udp|6|17|all|0)$/.test(protocol)) return false;
  const states = options.get('--ctstate') ?? options.get('--state');
  if (states !== undefined && !/ESTABLISHED|UNTRACKED/.test(states)) return false;
  const [, wanted = ''] = options.get('--tcp-flags')?.split(' ') ?? [];
  if (/SYN|FIN|RST/.test(wanted)) return false;
  return ['-s', '-d'].every(option => {
    const prefix = Prefix.tryParse(options.get(option) ?? '');
    return prefix === undefined || prefixes === undefined || prefixes.some(own => own.overlaps(prefix));
  });
}
