/**
 * Rules of `nft -j list ruleset` (libnftables-json(5)), read as far as the way of a packet depends on them. What is not
 * understood makes a rule one that may apply.
 */
import * as v from 'valibot';
import type { PacketCondition } from '../packets/packet.ts';
import type { ReadChains, ReadRule, Verdict } from '../packets/walk.ts';
import { ANY_IPV4, ANY_IPV6, always, readMatch, type Sets } from './match.ts';

/** A chain that the kernel itself calls. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly hook: string;
  readonly priority: number;
  readonly policy: string;
}

export interface TablePlace {
  readonly family: string;
  readonly table: string;
}

export interface ReadRuleset {
  readonly bases: readonly BaseChain[];
  /** Tables that have flags. Which ones the JSON of nft 1.0.6 does not say: it has the name of the table there. */
  readonly flagged: readonly TablePlace[];
  /** The chains of one table. */
  chainsOf(family: string, table: string): ReadChains;
}

const Place = { family: v.string(), table: v.string() };
const Listing = v.object({
  nftables: v.array(
    v.looseObject({
      table: v.optional(
        v.looseObject({ family: v.string(), name: v.string(), flags: v.optional(v.unknown()) }),
      ),
      chain: v.optional(
        v.looseObject({
          ...Place,
          name: v.string(),
          type: v.optional(v.string(), ''),
          hook: v.optional(v.string()),
          prio: v.optional(v.number(), 0),
          policy: v.optional(v.string(), 'accept'),
        }),
      ),
      rule: v.optional(
        v.looseObject({
          ...Place,
          chain: v.string(),
          handle: v.optional(v.number()),
          comment: v.optional(v.string()),
          expr: v.array(v.record(v.string(), v.unknown())),
        }),
      ),
      set: v.optional(
        v.looseObject({ ...Place, name: v.string(), elem: v.optional(v.array(v.unknown()), []) }),
      ),
      map: v.optional(
        v.looseObject({ ...Place, name: v.string(), elem: v.optional(v.array(v.unknown()), []) }),
      ),
    }),
  ),
});

/** @throws SyntaxError, ValiError */
export function readRuleset(listing: string): ReadRuleset {
  const objects = v.parse(Listing, JSON.parse(listing)).nftables;
  const tables = Map.groupBy(objects, ({ chain, rule, set, map }) => keyOf(chain ?? rule ?? set ?? map));
  // A table may have many rules, and is asked for once for each chain that the kernel calls.
  const read = new Map<string, ReadChains>();
  return {
    bases: objects.flatMap(({ chain }) => {
      if (chain?.hook === undefined) return [];
      const { family, table, name, type, hook, prio: priority, policy } = chain;
      return [{ family, table, name, type, hook, priority, policy }];
    }),
    flagged: objects.flatMap(({ table }) =>
      table?.flags === undefined ? [] : [{ family: table.family, table: table.name }],
    ),
    chainsOf(family, table) {
      const key = `${family} ${table}`;
      const done = read.get(key);
      if (done !== undefined) return done;
      const objects = tables.get(keyOf({ family, table })) ?? [];
      const sets: Sets = new Map(
        objects.flatMap(({ set, map }) =>
          [set, map].flatMap(each => (each ? [[`@${each.name}`, each.elem]] : [])),
        ),
      );
      const chains = new Map<string, ReadRule[]>();
      for (const { rule } of objects) {
        if (rule === undefined) continue;
        const { chain, comment, handle, expr } = rule;
        const text = comment === undefined ? `handle ${handle}` : `comment "${comment}"`;
        const own = readRule(expr, text, sets).map(one => (handle === undefined ? one : { ...one, handle }));
        const known = chains.get(chain);
        if (known === undefined) chains.set(chain, own);
        else known.push(...own);
      }
      read.set(key, chains);
      return chains;
    },
  };
}

/**
 * Without the chains of tables that are switched off (nft(8), `flags dormant`): the kernel does not call them.
 * @param listing what `nft list table` prints; undefined for a table that is gone
 */
export async function withoutDormant(
  ruleset: ReadRuleset,
  listing: (table: TablePlace) => Promise<string | undefined>,
): Promise<ReadRuleset> {
  const texts = await Promise.all(ruleset.flagged.map(async place => [keyOf(place), await listing(place)]));
  const dormant = new Set(texts.flatMap(([key, text = '']) => (DORMANT.test(text) ? [key] : [])));
  return { ...ruleset, bases: ruleset.bases.filter(base => !dormant.has(keyOf(base))) };
}

/** A line of its own, in front of what is in the table. */
const DORMANT = /^\tflags [^\n]*\bdormant\b/m;

const keyOf = (place?: TablePlace) => place && `${place.family} ${place.table}`;

/** A verdict map is one rule per element. */
function readRule(expressions: readonly Readonly<Record<string, unknown>>[], text: string, sets: Sets) {
  const conditions: PacketCondition[] = [];
  const rules: ReadRule[] = [];
  for (const expression of expressions) {
    const [[kind, content] = ['', undefined]] = Object.entries(expression);
    if (kind === 'match') conditions.push(...readMatch(content, sets));
    else if (kind === 'limit' || kind === 'quota' || kind === 'ct count')
      conditions.push(always({ field: 'traffic' }));
    else if ((kind === 'set' || kind === 'meter') && isLimited(content))
      conditions.push(always({ field: 'traffic' }));
    else if (kind === 'xt') conditions.push(...readXtables(content));
    else if (kind === 'reject') conditions.push(...impliedByReject(content));
    else if (kind === 'vmap') rules.push(...readVerdictMap(content, conditions, text, sets));
    const verdict = readVerdict(expression);
    if (verdict !== undefined) rules.push({ conditions, verdict, text });
    const mark = kind === 'mangle' ? readMarkChange(content) : undefined;
    if (mark !== undefined)
      rules.push({ conditions: [...conditions], verdict: { kind: 'none' }, text, mark });
  }
  return rules;
}

const Counting = v.object({ stmt: v.union([v.array(v.unknown()), v.unknown()]) });

/** `add @m { ip saddr limit rate over 3/second }`: the rule goes on for what is above the limit, or below. */
const isLimited = (content: unknown): boolean =>
  v.is(Counting, content) &&
  [content.stmt].flat().some(one => !v.is(v.object({ counter: v.unknown() }), one));

/** Of what such an answer belongs to; nft leaves the match away that it has made for it. */
const REJECTED: Readonly<Record<string, PacketCondition>> = {
  'tcp reset': always({ field: 'protocol', names: ['tcp'] }),
  icmp: always({ field: 'source', prefixes: [ANY_IPV4] }),
  icmpv6: always({ field: 'source', prefixes: [ANY_IPV6] }),
};

const impliedByReject = (content: unknown): readonly PacketCondition[] => {
  const condition = v.is(v.object({ type: v.string() }), content) ? REJECTED[content.type] : undefined;
  return condition === undefined ? [] : [condition];
};

const Target = v.object({ target: v.string() });
const VERDICTS: Readonly<Record<string, Verdict>> = {
  accept: { kind: 'accept' },
  // What a program in user space decides is its own affair.
  queue: { kind: 'accept' },
  drop: { kind: 'drop' },
  reject: { kind: 'drop' },
  // To another device, past everything that follows.
  fwd: { kind: 'drop' },
  return: { kind: 'return' },
  masquerade: { kind: 'nat', isMasquerade: true },
  snat: { kind: 'nat' },
  dnat: { kind: 'nat' },
  redirect: { kind: 'nat' },
};
const XT_VERDICTS: Readonly<Record<string, Verdict>> = {
  REJECT: { kind: 'drop' },
  MASQUERADE: { kind: 'nat', isMasquerade: true },
  SNAT: { kind: 'nat' },
  DNAT: { kind: 'nat' },
  REDIRECT: { kind: 'nat' },
  // Of ebtables: another MAC address.
  dnat: { kind: 'nat' },
};

const AddressChange = v.object({
  key: v.object({
    payload: v.object({ protocol: v.picklist(['ip', 'ip6']), field: v.picklist(['saddr', 'daddr']) }),
  }),
});

function readVerdict(expression: unknown): Verdict | undefined {
  const [[kind, content] = ['', undefined]] = Object.entries(expression ?? {});
  const call = v.safeParse(Target, content);
  if ((kind === 'jump' || kind === 'goto') && call.success) return { kind, chain: call.output.target };
  if (kind === 'xt') return XT_VERDICTS[v.is(v.object({ name: v.string() }), content) ? content.name : ''];
  // Without connection tracking, so that answers are not changed back.
  if (kind === 'mangle') return v.is(AddressChange, content) ? { kind: 'nat' } : undefined;
  return VERDICTS[kind];
}

const MarkChange = v.object({
  key: v.object({ meta: v.object({ key: v.literal('mark') }) }),
  value: v.number(),
});

/** `meta mark set 0x99`. */
function readMarkChange(content: unknown): ReadRule['mark'] {
  return v.is(MarkChange, content) ? { value: content.value, mask: 0xffff_ffff } : undefined;
}

/** A match or target of iptables, of which nft knows the name only. */
function readXtables(content: unknown): PacketCondition[] {
  const isKnown = v.is(
    v.union([v.object({ type: v.literal('target') }), v.object({ name: v.literal('comment') })]),
    content,
  );
  return isKnown ? [] : [always({ field: 'unknown' })];
}

const VerdictMap = v.object({
  key: v.unknown(),
  data: v.union([v.string(), v.object({ set: v.array(v.unknown()) })]),
});

function readVerdictMap(
  content: unknown,
  before: readonly PacketCondition[],
  text: string,
  sets: Sets,
): ReadRule[] {
  const { success, output } = v.safeParse(VerdictMap, content);
  if (!success) return [];
  const elements = typeof output.data === 'string' ? (sets.get(output.data) ?? []) : output.data.set;
  return elements.flatMap(element => {
    const [key, verdict] = Array.isArray(element) ? (element as unknown[]) : [];
    const read = readVerdict(verdict);
    if (read === undefined) return [];
    return [
      {
        conditions: [...before, ...readMatch({ op: '==', left: output.key, right: key }, sets)],
        verdict: read,
        text,
      },
    ];
  });
}

/** Names of the links of a chain for devices, in what `nft list chain` prints. The JSON of nft 1.0.6 does not have them. */
export function devicesInListing(listing: string): string[] {
  const [, devices = ''] = /\bhook \w+ devices? (?:= )?(\{[^}]*\}|\S+)/.exec(listing) ?? [];
  return devices.match(/[^\s{},"]+/g) ?? [];
}
