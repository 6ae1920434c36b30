/** From the table as nft lists it to the table as it should be: the transaction of nft between the two. */
import * as v from 'valibot';
import type { Json } from '../nftables/table.ts';
import { GUARD_TABLE, type GuardChain, type GuardObject, type GuardRuleset } from './guard-table.ts';

const TABLE = { family: 'bridge', table: GUARD_TABLE } as const;
/** Before those of others at `filter` (-200): what must not cross is nobody else's business. */
const PRIORITY = -210;

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
 * @returns undefined when there is nothing to change.
 */
export function guardScript(
  listed: ListedTable | undefined,
  wanted: GuardRuleset,
  sameRules: boolean,
): Json | undefined {
  if (wanted.chains.length === 0) {
    return listed === undefined ? undefined : { nftables: [{ delete: { table: tableItself } }] };
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
  const commands = [
    ...(listed === undefined ? [{ add: { table: tableItself } }] : []),
    ...cleared,
    ...missing.map(({ kind, name, properties }) => ({ add: { [kind]: { ...TABLE, name, ...properties } } })),
    ...(rewrites ? [...wanted.chains.map(addChain), ...wanted.chains.flatMap(addRules)] : []),
    ...elementCommands(wanted.objects, present),
  ];
  return commands.length === 0 ? undefined : { nftables: commands };
}

const tableItself = { family: TABLE.family, name: TABLE.table };

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

/** What sets and maps lose and get. @param present what is there, with its elements */
function elementCommands(wanted: readonly GuardObject[], present: ReadonlyMap<string, GuardObject>): Json[] {
  const change = (verb: 'add' | 'delete', name: string, elements: readonly string[]): Json[] => {
    const elem = elements.map(text => JSON.parse(text) as Json);
    return elem.length === 0 ? [] : [{ [verb]: { element: { ...TABLE, name, elem } } }];
  };
  return wanted.flatMap(({ name, elements }) => {
    const before = present.get(name)?.elements;
    return [
      ...change('delete', name, without(before, elements)),
      ...change('add', name, without(elements, before)),
    ];
  });
}

const without = (some: ReadonlySet<string> = new Set(), others?: ReadonlySet<string>) =>
  [...some].filter(element => others?.has(element) !== true);
