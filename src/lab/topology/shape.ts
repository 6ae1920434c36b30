/** Which values have the shape of a topology. What names, addresses and numbers mean is for `planTopology`. */
import * as v from 'valibot';
import type { Problem } from '../../base/errors.ts';
import { type LabTopology, STORE_KINDS } from './topology.ts';

const optional = v.exactOptional;
const text = v.string('want a text');
const number = v.pipe(v.number('want a number'), v.finite('want a finite number'));
const flag = v.boolean('want true or false');
const textList = v.array(text, 'want a list of texts');
const texts = v.lazy(value =>
  Array.isArray(value) ? textList : v.string('want a text, or a list of texts'),
);

const members = <const Entries extends v.ObjectEntries>(entries: Entries, what: string) =>
  v.strictObject(entries, ({ expected, path }) =>
    expected === 'never'
      ? `${what} has no such member; it has ${Object.keys(entries).join(', ')}`
      : path?.at(-1)?.origin === 'key'
        ? 'is missing'
        : `want the members of ${what}: ${Object.keys(entries).join(', ')}`,
  );

const byName = <const Value extends v.GenericSchema>(value: Value, what: string) =>
  v.lazy(
    (given): v.GenericSchema<unknown, Record<string, v.InferOutput<Value>>> =>
      Array.isArray(given)
        ? v.never(`want ${what} by name, not a list`)
        : v.record(v.string(), value, `want ${what} by name`),
  );

/** Either a yes or no, or yes with settings. */
const flagOr = <const Settings extends v.GenericSchema>(settings: Settings) =>
  v.lazy(
    (value): v.GenericSchema<unknown, boolean | v.InferOutput<Settings>> =>
      typeof value === 'object' && value !== null ? settings : v.boolean('want true, false, or settings'),
  );

const object = v.record(v.string(), v.unknown(), 'want an object');

const segment = members(
  { subnet: optional(texts), mtu: optional(number), loss: optional(number), delay: optional(number) },
  'a segment',
);

const link = members(
  { segment: text, address: optional(texts), name: optional(text), mtu: optional(number) },
  'a link',
);

const containers = v.lazy(
  (value): v.GenericSchema<unknown, NonNullable<LabTopology['hosts'][string]['containers']>> =>
    Array.isArray(value)
      ? textList
      : byName(
          members({ command: optional(textList), flags: optional(textList) }, 'a container'),
          'containers',
        ),
);

const host = members(
  {
    links: optional(v.array(link, 'want a list of links')),
    routes: optional(v.array(members({ to: text, via: text }, 'a route'), 'want a list of routes')),
    forwarding: optional(flag),
    agent: optional(flagOr(members({ flags: optional(textList), flanneld: optional(text) }, 'an agent'))),
    docker: optional(
      flagOr(
        members(
          { plugin: optional(flag), leased: optional(flag), config: optional(object), image: optional(text) },
          'docker',
        ),
      ),
    ),
    containers: optional(containers),
    bridge: optional(texts),
  },
  'a host',
);

const kinds = v.picklist(STORE_KINDS, `want ${STORE_KINDS.join(' or ')}`);

export const TopologyShape: v.GenericSchema<unknown, LabTopology> = members(
  {
    name: optional(text),
    segments: optional(byName(segment, 'segments')),
    hosts: byName(host, 'hosts'),
    store: optional(members({ on: text, kind: optional(kinds) }, 'a store')),
    network: optional(object),
  },
  'a topology',
);

export interface ShapeProblems {
  readonly problems: readonly Problem[];
  /** Whether the value is a topology but for members that no topology has. */
  readonly isTopology: boolean;
}

/** Everything about a value that is not as a topology is. */
export function problemsOfShape(value: unknown): ShapeProblems {
  const { issues = [] } = v.safeParse(TopologyShape, value);
  const isTopology = issues.every(({ type, expected }) => type === 'strict_object' && expected === 'never');
  const problems = issues.map(({ path = [], input, message, expected }) => {
    const isMissing = message === 'is missing';
    const isUnknown = expected === 'never';
    return {
      path: path.reduce((at, { key }) => join(at, key), '') || 'topology',
      message,
      ...(isMissing || isUnknown || input === undefined ? {} : { value: input }),
    };
  });
  return { problems, isTopology };
}

const join = (at: string, key: unknown) =>
  typeof key === 'number' ? `${at}[${key}]` : at === '' ? String(key) : `${at}.${String(key)}`;
