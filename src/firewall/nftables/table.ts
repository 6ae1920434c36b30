/**
 * Rules as nft writes them in JSON (libnftables-json(5)): rendering, and reading what `nft -j list` says.
 * No effects.
 *
 * Tables and chains have the names that flannel gives them, so that either takes over what the other left:
 * table `ip flannel-ipv4` and `ip6 flannel-ipv6`, each with `postrtg` (nat) and `forward` (filter). The rules
 * are those of iptables mode; flannel's own nftables mode negates the fourth one differently, which makes its
 * last rule unreachable, and compares the whole mark instead of one bit.
 *
 * Three more chains are our own: `source` (nat, before those of all others), `mark` and `segments` (filter).
 */
import * as v from 'valibot';
import { unreachable } from '../../base/errors.ts';
import { ADDRESS_BITS, type Family } from '../../base/ip.ts';
import { OVERLAY_MARK } from '../packets/overlay-packets.ts';
import {
  type AddressMatch,
  type FirewallRule,
  type LinkMatch,
  MASQUERADE_MARK,
  type RuleSet,
} from '../rules.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const NFT_FAMILY = { ipv4: 'ip', ipv6: 'ip6' } as const satisfies Record<Family, string>;
export const NFT_TABLE = { ipv4: 'flannel-ipv4', ipv6: 'flannel-ipv6' } as const satisfies Record<
  Family,
  string
>;

type JsonObject = { readonly [key: string]: Json };

/** As nft lists it. */
export type TableChain = JsonObject & { readonly name: Json };

/** As nft lists it; `chain` is a name. */
export type TableRule = JsonObject & { readonly chain: Json; readonly comment?: Json; readonly expr: Json };

/**
 * In front of srcnat (100), where dockerd and iptables masquerade. What was given a source here is given no other one:
 * a mere accept would leave that to the next chain.
 */
export const SOURCE_PRIORITY = 99;

/** After mangle (-150), where others restore marks of connections. */
const MARK_PRIORITY = -149;

/** Where mangle is, as in iptables mode: that what comes later accepts a packet does not matter. */
const ISOLATION_PRIORITY = -150;

/** Everything in a table of flannel's name, in comparable form: what is listed and what is wanted look the same. */
export interface NftTable {
  readonly chains: readonly TableChain[];
  readonly rules: readonly TableRule[];
}

/** The table that holds `wanted`, or undefined when there should be none. */
export function renderTable(family: Family, wanted: RuleSet): NftTable | undefined {
  const { masquerade, forward, isolation, source, mark, randomFully } = wanted;
  const table = { family: NFT_FAMILY[family], table: NFT_TABLE[family] };
  const contents = [
    { name: 'mark', rules: mark, hook: base('filter', 'prerouting', MARK_PRIORITY) },
    { name: 'source', rules: source, hook: base('nat', 'postrouting', SOURCE_PRIORITY) },
    { name: 'postrtg', rules: masquerade, hook: base('nat', 'postrouting', 100) },
    { name: 'segments', rules: isolation, hook: base('filter', 'forward', ISOLATION_PRIORITY) },
    { name: 'forward', rules: forward, hook: base('filter', 'forward', 0) },
  ].filter(({ rules }) => rules.length > 0);
  if (contents.length === 0) return undefined;
  return {
    chains: contents.map(({ name, hook }) => ({ ...table, name, ...hook })),
    rules: contents.flatMap(({ name, rules }) =>
      rules.map(rule => renderRule(family, name, rule, randomFully)),
    ),
  };
}

/** One transaction that leaves exactly `wanted` in the table, whatever was there. */
export function replaceScript(family: Family, wanted: NftTable | undefined): Json {
  const table = { table: { family: NFT_FAMILY[family], name: NFT_TABLE[family] } };
  // Deleting a table that does not exist is refused; adding one that does is not.
  const clear = [{ add: table }, { delete: table }];
  const fill =
    wanted === undefined
      ? []
      : [
          { add: table },
          ...wanted.chains.map(chain => ({ add: { chain } })),
          ...wanted.rules.map(rule => ({ add: { rule } })),
        ];
  return { nftables: [...clear, ...fill] };
}

/** The content of one table from `nft -j list table`. @throws SyntaxError, ValiError */
export function parseTable(listing: string): NftTable {
  // Validation must not add defaults here: what is compared is what was printed.
  const objects = v.parse(v.object({ nftables: v.array(v.record(v.string(), v.unknown())) }), parse(listing));
  return {
    chains: pick<TableChain>(objects.nftables, 'chain'),
    rules: pick<TableRule>(objects.nftables, 'rule').map(withoutCounts),
  };
}

/** Names (`ip flannel-ipv4`) from `nft list tables`. Not as JSON: nft 1.0.6 aborts when a table has an owner. */
export const parseTables = (listing: string): string[] =>
  Array.from(listing.matchAll(/^table (\w+ \S+)/gm), ([, name = '']) => name);

const parse = (listing: string): unknown => JSON.parse(listing);

const base = (type: string, hook: string, prio: number) => ({ type, hook, prio, policy: 'accept' });

const COUNTER = { counter: null } as const;

const MARK = { meta: { key: 'mark' } } as const;

function renderRule(family: Family, chain: string, rule: FirewallRule, randomFully: boolean): TableRule {
  const matches = [
    rule.mark && {
      match: {
        op: '==',
        left: { '&': [MARK, MASQUERADE_MARK] },
        right: MASQUERADE_MARK,
      },
    },
    rule.source && renderMatch(family, 'saddr', rule.source),
    rule.destination && renderMatch(family, 'daddr', rule.destination),
    rule.input && renderLink('iifname', rule.input),
    rule.output && renderLink('oifname', rule.output),
    rule.isRedirected && { match: { op: 'in', left: { ct: { key: 'status' } }, right: 'dnat' } },
  ].filter(match => match !== undefined);
  return {
    family: NFT_FAMILY[family],
    table: NFT_TABLE[family],
    chain,
    ...(rule.network && { comment: `of ${rule.network}` }),
    expr: [
      ...matches,
      ...(rule.verdict === 'drop' ? [COUNTER] : []),
      renderVerdict(family, rule.verdict, randomFully),
    ],
  };
}

function renderMatch(family: Family, field: 'saddr' | 'daddr', { prefix, not }: AddressMatch): Json {
  const addr = prefix.ip.toString();
  return {
    match: {
      op: not ? '!=' : '==',
      left: { payload: { protocol: NFT_FAMILY[family], field } },
      // nft lists a prefix of full length as the plain address.
      right: prefix.length === ADDRESS_BITS[family] ? addr : { prefix: { addr, len: prefix.length } },
    },
  };
}

const renderLink = (key: 'iifname' | 'oifname', { name, not }: LinkMatch): Json => ({
  match: { op: not ? '!=' : '==', left: { meta: { key } }, right: name },
});

function renderVerdict(family: Family, verdict: FirewallRule['verdict'], randomFully: boolean): Json {
  switch (verdict) {
    case 'return':
      return { return: null };
    case 'accept':
      return { accept: null };
    case 'drop':
      return { drop: null };
    case 'masquerade':
      return { masquerade: randomFully ? { flags: 'fully-random' } : null };
    case 'keep':
      return { snat: { addr: { payload: { protocol: NFT_FAMILY[family], field: 'saddr' } } } };
    case 'mark':
      return { mangle: { key: MARK, value: { '|': [MARK, OVERLAY_MARK] } } };
    default:
      return unreachable(verdict);
  }
}

/** What a rule has counted says nothing about it. */
function withoutCounts(rule: TableRule): TableRule {
  if (!Array.isArray(rule.expr)) return rule;
  const isCounter = (part: Json) => typeof part === 'object' && part !== null && 'counter' in part;
  return { ...rule, expr: rule.expr.map((part: Json) => (isCounter(part) ? COUNTER : part)) };
}

/** The listed objects of one kind, without their handles: the kernel's number of an object says nothing about it. */
function pick<T extends JsonObject>(
  objects: readonly Readonly<Record<string, unknown>>[],
  kind: 'chain' | 'rule',
): T[] {
  return objects
    .filter(object => object[kind] !== undefined)
    .map(
      object =>
        Object.fromEntries(Object.entries(object[kind] as T).filter(([name]) => name !== 'handle')) as T,
    );
}
