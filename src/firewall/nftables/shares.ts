/** Which part of a table of flannel's name is ours, where several networks of one host use it. No effects. */
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { sharesOf } from '../../ownership/shared-chain.ts';
import type { Json, NftTable } from './table.ts';

export interface TableShares {
  /** What must be as we want it. */
  readonly ours: NftTable;
  /** What stays as it is; undefined when it is all ours. */
  readonly others: NftTable | undefined;
}

/** @param networks ours. */
export function tableShares({ chains, rules }: NftTable, networks: readonly Prefix[]): TableShares {
  const parts = chains.map(chain => {
    const own = rules.filter(rule => rule.chain === chain.name);
    return {
      chain,
      ...sharesOf(own, ({ expr, comment }) => [...blocksIn(expr), ...blockOfComment(comment)], networks),
    };
  });
  const others = parts.filter(part => part.others.length > 0);
  const ours = parts.filter(part => part.ours.length > 0 || part.others.length === 0);
  const tableOf = (kept: typeof parts, which: 'ours' | 'others') => ({
    chains: kept.map(({ chain }) => chain),
    rules: kept.flatMap(part => part[which]),
  });
  return {
    ours: tableOf(ours, 'ours'),
    others: others.length === 0 ? undefined : tableOf(others, 'others'),
  };
}

/** What is wanted, and what others have in the same table. */
export function inOneTable(wanted: NftTable | undefined, others: NftTable | undefined): NftTable | undefined {
  if (wanted === undefined || others === undefined) return wanted ?? others;
  const known = new Set(wanted.chains.map(({ name }) => name));
  const written = new Set(wanted.rules.map(rule => JSON.stringify(rule)));
  return {
    chains: [...wanted.chains, ...others.chains.filter(({ name }) => !known.has(name))],
    rules: [...wanted.rules, ...others.rules.filter(rule => !written.has(JSON.stringify(rule)))],
  };
}

/** For whom a rule is that names no address of it: `of 10.9.0.0/16`. */
function blockOfComment(comment: Json | undefined): Prefix[] {
  const [, text = ''] = typeof comment === 'string' ? (/^of (\S+)$/.exec(comment) ?? []) : [];
  const block = Prefix.tryParse(text);
  return block === undefined ? [] : [block];
}

/** The blocks that the expressions of a rule name, wherever in them. */
function blocksIn(expression: Json | undefined): Prefix[] {
  if (typeof expression === 'string') {
    const ip = Ip.tryParse(expression);
    return ip === undefined ? [] : [Prefix.ofOne(ip)];
  }
  if (typeof expression !== 'object' || expression === null) return [];
  if (Array.isArray(expression)) return expression.flatMap(blocksIn);
  const { addr, len } = expression as Readonly<Record<string, Json>>;
  const isBlock = typeof addr === 'string' && typeof len === 'number';
  const block = isBlock ? Prefix.tryParse(`${addr}/${len}`) : undefined;
  return block === undefined ? Object.values(expression).flatMap(blocksIn) : [block];
}
