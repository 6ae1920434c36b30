/**
 * A chain of firewall rules that several networks of one host share, because flannel gives it the same name for all:
 * each cares for the rules that name its own network. A rule that names none serves every network that wants it, and
 * is damage where none does.
 */
import type { Prefix } from '../base/prefix.ts';
import { ownerOf } from './owner.ts';

export interface Shares<Rule> {
  /** What must be as we want it. */
  readonly ours: readonly Rule[];
  /** What stays as it is. */
  readonly others: readonly Rule[];
}

/**
 * @param blocksOf the blocks that a rule names.
 * @param networks ours.
 */
export function sharesOf<Rule>(
  rules: readonly Rule[],
  blocksOf: (rule: Rule) => readonly Prefix[],
  networks: readonly Prefix[],
): Shares<Rule> {
  const owners = rules.map(rule => ({
    rule,
    text: JSON.stringify(rule),
    owner: ownerOf(blocksOf(rule), networks),
  }));
  const of = (kept: readonly { readonly rule: Rule }[]) => kept.map(({ rule }) => rule);
  const others = owners.filter(({ owner }) => owner === 'another');
  // Another network may have a rule that names none as well, and needs it as much as we do.
  const isRepeated = ({ text, owner }: (typeof owners)[number], index: number) =>
    owner === 'none' && owners.findIndex(first => first.text === text) < index;
  const ours = owners.filter(
    (rule, index) => rule.owner !== 'another' && !(others.length > 0 && isRepeated(rule, index)),
  );
  const isNoneNamed = ours.every(({ owner }) => owner === 'none');
  return others.length > 0 && isNoneNamed
    ? { ours: [], others: rules }
    : { ours: of(ours), others: of(others) };
}
