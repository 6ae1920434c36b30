/** From the table as nft lists it to the table as it should be: the transactions of nft between the two. */
import * as v from 'valibot';
import type { Json } from '../nftables/table.ts';
import { GUARD_TABLE, type GuardChain, type GuardObject, type GuardRuleset } from './guard-table.ts';

const TABLE = { family: 'bridge', table: GUARD_TABLE } as const;
/** Before those of others at `filter` (-200): what must not cross is nobody else's business. */
const PRIORITY = -210;

/** A transaction is one argument of nft, and Linux takes 128 KiB in one (MAX_ARG_STRLEN). */
const MOST_ELEMENTS = 1000;

/** What is in the table. */
export interface ListedTable {
  /** Chains and rules as text, without handles: the same text, the same rules. */
  readonly rules: string;
  readonly chains: readonly string[];
  readonly objects: readonly GuardObject[];
  /** Packets by name of the counter. */
  readonly counts: ReadonlyMap<string, number>;
}

const Named = v.looseObject({ name: v.string() });
const Listing = v.object({
  nftables: v.array(
    v.looseObject({
      chain: v.optional(Named),
      rule: v.optional(v.looseObject({ chain: v.string() })),
      set: v.optional(Named),
      map: v.optional(Named),
      limit: v.optional(Named),
      counter: v.optional(v.looseObject({ name: v.string(), packets: v.number() })),
    }),
  ),
});

/** @param listing of `nft -j list table`. @throws SyntaxError, ValiError */
export function readGuardTable(listing: string): ListedTable {
  const { nftables } = v.parse(Listing, JSON.parse(listing));
  const chains = nftables.flatMap(({ chain }) => chain ?? []);
  const rules = nftables.flatMap(({ rule }) => rule ?? []);
  return {
    rules: JSON.stringify([chains, rules], (key, value: unknown) => (key === 'handle' ? undefined : value)),
    chains: chains.map(({ name }) => name),
    objects: nftables.flatMap(object => OBJECT_KINDS.flatMap(kind => objectIn(kind, object[kind]))),
    counts: new Map(nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : []))),
  };
}

const OBJECT_KINDS = ['map', 'set', 'counter', 'limit'] as const;
/** What is compared of each; nft lists more. */
const PROPERTIES: Readonly<Record<GuardObject['kind'], readonly string[]>> = {
  map: ['type', 'map'],
  set: ['type'],
  counter: [],
  limit: ['rate', 'per', 'burst'],
};

function objectIn(kind: GuardObject['kind'], listed: v.InferOutput<typeof Named> | undefined): GuardObject[] {
  if (listed === undefined) return [];
  const properties = Object.fromEntries(PROPERTIES[kind].map(name => [name, listed[name] as Json]));
  const listedElements = Array.isArray(listed['elem']) ? listed['elem'] : [];
  const elements = new Set(listedElements.map(element => JSON.stringify(element)));
  const hasElements = kind === 'map' || kind === 'set';
  return [{ kind, name: listed.name, properties, ...(hasElements ? { elements } : {}) }];
}

/**
 * @param listed undefined when there is no table.
 * @param sameRules whether chains and rules are as wanted already.
 * @returns transactions in order. Only the elements of large sets are in later ones.
 */
export function guardScripts(
  listed: ListedTable | undefined,
  wanted: GuardRuleset,
  sameRules: boolean,
): readonly Json[] {
  if (wanted.chains.length === 0) {
    return listed === undefined ? [] : [transaction([{ delete: { table: tableItself } }])];
  }
  const present = new Map((listed?.objects ?? []).map(object => [object.name, object]));
  const isKept = (object: GuardObject) =>
    wanted.objects.some(other => other.name === object.name && hasSameProperties(other, object));
  const useless = (listed?.objects ?? []).filter(object => !isKept(object));
  for (const { name } of useless) present.delete(name);
  const missing = wanted.objects.filter(({ name }) => !present.has(name));
  const rewrites = !sameRules || missing.length > 0 || useless.length > 0;
  const cleared = rewrites && listed !== undefined ? clear(listed, useless, wanted.chains) : [];
  for (const { kind, name } of cleared.length > 0 ? wanted.objects : []) {
    if (kind === 'map') present.delete(name);
  }
  const [first = [], ...later] = elementCommands(wanted.objects, present);
  const commands = [
    ...(listed === undefined ? [{ add: { table: tableItself } }] : []),
    ...cleared,
    ...missing.map(({ kind, name, properties }) => ({ add: { [kind]: { ...TABLE, name, ...properties } } })),
    ...(rewrites ? [...wanted.chains.map(addChain), ...wanted.chains.flatMap(addRules)] : []),
    ...first,
  ];
  return commands.length === 0 ? [] : [commands, ...later].map(transaction);
}

const tableItself = { family: TABLE.family, name: TABLE.table };

const transaction = (commands: readonly Json[]): Json => ({ nftables: commands });

const hasSameProperties = (a: GuardObject, b: GuardObject) =>
  a.kind === b.kind && JSON.stringify(a.properties) === JSON.stringify(b.properties);

/** Maps refer to chains and rules to objects, so that those go first. */
function clear(listed: ListedTable, useless: readonly GuardObject[], wanted: readonly GuardChain[]): Json[] {
  const names = new Set(wanted.map(({ name }) => name));
  const gone = listed.chains.filter(name => !names.has(name));
  const maps = listed.objects.filter(({ kind }) => kind === 'map');
  return [
    ...listed.chains.map(name => ({ flush: { chain: { ...TABLE, name } } })),
    ...maps.map(({ name }) => ({ flush: { map: { ...TABLE, name } } })),
    ...gone.map(name => ({ delete: { chain: { ...TABLE, name } } })),
    ...useless.map(({ kind, name }) => ({ delete: { [kind]: { ...TABLE, name } } })),
  ];
}

const addChain = ({ name, hook }: GuardChain): Json => ({
  add: {
    chain: {
      ...TABLE,
      name,
      ...(hook === undefined ? {} : { type: 'filter', hook, prio: PRIORITY, policy: 'accept' }),
    },
  },
});

const addRules = ({ name, rules }: GuardChain): Json[] =>
  rules.map(expr => ({ add: { rule: { ...TABLE, chain: name, expr } } }));

/** What sets and maps lose and get, in portions of a transaction. @param present what is there, with its elements */
function elementCommands(
  wanted: readonly GuardObject[],
  present: ReadonlyMap<string, GuardObject>,
): Json[][] {
  const portions: Json[][] = [];
  let room = 0;
  const put = (verb: 'add' | 'delete', name: string, elements: readonly string[]) => {
    for (let at = 0; at < elements.length; ) {
      if (room === 0) portions.push([]);
      room ||= MOST_ELEMENTS;
      const part = elements.slice(at, at + room);
      const elem = part.map(text => JSON.parse(text) as Json);
      portions.at(-1)?.push({ [verb]: { element: { ...TABLE, name, elem } } });
      at += part.length;
      room -= part.length;
    }
  };
  for (const { name, elements } of wanted) {
    const before = present.get(name)?.elements;
    put(
      'delete',
      name,
      [...(before ?? [])].filter(element => elements?.has(element) !== true),
    );
    put(
      'add',
      name,
      [...(elements ?? [])].filter(element => before?.has(element) !== true),
    );
  }
  return portions;
}
