/** The rule of netfilter that a packet met, in words: its chain, its text, and the command that takes it away. */
import type { HopEvent } from '../trace/hops.ts';
import { iptablesRemoval, isOurTable, nftRemoval } from '../trace/rule-removal.ts';
import type { ListedRule, Ruleset } from '../trace/ruleset.ts';

const LEGACY_PROGRAMS: Readonly<Record<string, string>> = {
  'legacy ip': 'iptables-legacy',
  'legacy ip6': 'ip6tables-legacy',
};

/** `ip filter FORWARD`, `iptables-legacy filter FORWARD`. */
export const chainText = ({ family, table, chain }: HopEvent): string =>
  `${LEGACY_PROGRAMS[family] ?? family} ${table} ${chain}`;

/** As its program writes it; `policy drop` where the packet met none. */
export function ruleText(rules: Ruleset, event: HopEvent): string {
  if (event.kind !== 'rule') return `policy ${event.verdict}`;
  const rule = listedRule(rules, event);
  return rule?.iptables ?? rule?.text ?? `rule with handle ${event.handle}`;
}

/** undefined for a policy, for a rule that is gone, and for one of Tulle, which the agent would make again. */
export function ruleRemoval(rules: Ruleset, event: HopEvent): string | undefined {
  const { family, table, chain } = event;
  const rule = event.kind === 'rule' ? listedRule(rules, event) : undefined;
  if (rule === undefined || isOurTable(table)) return undefined;
  const legacy = LEGACY_PROGRAMS[family];
  if (legacy !== undefined) return iptablesRemoval(legacy, table, chain, rule.iptables ?? rule.text);
  return nftRemoval(family, table, chain, rule.handle);
}

const listedRule = (rules: Ruleset, { family, table, chain, handle }: HopEvent): ListedRule | undefined =>
  rules.chain(family, table, chain)?.rules.find(one => one.handle === handle);
