/**
 * What daemon.json should say beside what its author wrote, and what stands in the way. A pure function:
 *
 *     lease, resolver ──> wanted settings ─┐
 *     daemon.json of the person ───────────┼──> the new file, what changes in it, problems
 *     command line of dockerd ─────────────┘
 */
import type { Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { RESOLVER_ADDRESS } from '../../console/defaults.ts';
import type { DaemonJson } from '../../docker/daemon-json.ts';
import { OVERLAY_MARK } from '../../firewall/packets/overlay-packets.ts';
import { type DockerSettings, leaseSettings } from '../../subnet/docker-settings.ts';
import type { SubnetFile } from '../../subnet/subnet-env.ts';
import { type Dockerd, flagsIn } from './dockerd.ts';

export interface SettingChange {
  readonly key: string;
  /** Absent where there was none. */
  readonly before?: unknown;
  /** Absent where there is none any more. */
  readonly after?: unknown;
}

export interface DaemonPlan {
  readonly config: DaemonJson;
  readonly changes: readonly SettingChange[];
  /** What dockerd would not start with, or would be contradicted by. */
  readonly problems: readonly Problem[];
  /** Options that dockerd's command line sets as wanted, so that the file need not. */
  readonly givenByFlag: readonly string[];
}

/** What is known of the host. */
export interface DaemonWishes {
  readonly lease: SubnetFile;
  /** Whether the agent answers questions for names. */
  readonly resolver: boolean;
  readonly dockerd: Pick<Dockerd, 'words' | 'options'>;
}

/** Every key that is ours to set, and to give back. */
export const OUR_KEYS = [
  'bip',
  'mtu',
  'ip-masq',
  'ipv6',
  'fixed-cidr-v6',
  'dns',
  'allow-direct-routing',
  'bridge-accept-fwmark',
] as const;

const MARK = `0x${OVERLAY_MARK.toString(16)}`;

/**
 * Options of newer dockerds (28.2 and 29), by which packets of the overlay pass Docker's own firewall; an older one does
 * not start with them.
 */
const NEWER: DockerSettings = new Map<string, string | boolean>([
  ['allow-direct-routing', true],
  ['bridge-accept-fwmark', `${MARK}/${MARK}`],
]);

export function planDaemon(config: DaemonJson, { lease, resolver, dockerd }: DaemonWishes): DaemonPlan {
  const flags = flagsIn(dockerd.words);
  const dns = dnsServers(config.value('dns'), resolver);
  const wanted = new Map<string, unknown>([
    ...leaseSettings(lease),
    ...(dns === undefined ? [] : [['dns', dns] as const]),
    ...Array.from(NEWER).filter(([key]) => dockerd.options?.has(key) === true),
  ]);
  const givenByFlag = [...wanted.keys()].filter(key => isGiven(flags, key, wanted.get(key)));
  for (const key of givenByFlag) wanted.delete(key);
  const changes = Array.from(wanted, ([key, after]) => ({ key, before: config.value(key), after }))
    // An empty list stands for none.
    .map(({ key, before, after }) => (isEmpty(after) ? { key, before } : { key, before, after }))
    .filter(change => !isSame(change.before, 'after' in change ? change.after : undefined));
  const planned = applyChanges(config, changes);
  return {
    config: planned,
    changes,
    givenByFlag,
    problems: [...flagProblems(flags, [...wanted.keys()]), ...contradictions(planned, flags, lease)],
  };
}

export const applyChanges = (config: DaemonJson, changes: readonly SettingChange[]): DaemonJson =>
  changes.reduce(
    (text, { key, after }) => (after === undefined ? text.without(key) : text.with(key, after)),
    config,
  );

/** Gives back what our keys were before; what else has changed in the file since stays. */
export function planUndo(config: DaemonJson, former: DaemonJson): readonly SettingChange[] {
  return OUR_KEYS.map(key => ({ key, before: config.value(key), after: former.value(key) })).filter(
    ({ before, after }) => !isSame(before, after),
  );
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;

/** Ours first: it forwards what it does not know. Servers of the person are asked where ours does not answer. */
function dnsServers(given: unknown, resolver: boolean): readonly unknown[] | undefined {
  const others = Array.isArray(given) ? (given as unknown[]).filter(each => each !== RESOLVER_ADDRESS) : [];
  if (resolver) return [RESOLVER_ADDRESS, ...others];
  // It was set while there was one.
  return Array.isArray(given) && given.length > others.length ? others : undefined;
}

function isGiven(flags: ReadonlyMap<string, readonly string[]>, key: string, value: unknown): boolean {
  const given = flags.get(key);
  return given !== undefined && isSame(given, Array.isArray(value) ? value : [String(value)]);
}

/** dockerd refuses to start when an option is a flag and in the file, even with the same value. */
function flagProblems(flags: ReadonlyMap<string, readonly string[]>, keys: readonly string[]): Problem[] {
  return keys.flatMap(key => {
    const given = flags.get(key);
    if (given === undefined) return [];
    return [
      {
        path: `--${key}`,
        value: given.join(','),
        message: 'is on the command line of dockerd, which does not start when daemon.json sets it, too',
        hint: 'remove it there: systemctl edit --full docker, or /etc/default/docker',
      },
    ];
  });
}

/** Settings of the person that dockerd does not accept beside ours. */
function contradictions(
  config: DaemonJson,
  flags: ReadonlyMap<string, readonly string[]>,
  { gateway: { ipv4 } }: SubnetFile,
): Problem[] {
  if (ipv4 === undefined) return [];
  const block = Prefix.of(ipv4.ip, ipv4.length);
  const other = (key: string, isFine: (text: string) => boolean, message: string): Problem[] => {
    const [path, value] = flags.has(key) ? [`--${key}`, flags.get(key)?.[0]] : [key, config.value(key)];
    if (value === undefined || value === '' || (typeof value === 'string' && isFine(value))) return [];
    return [{ path, value, message, hint: 'remove it' }];
  };
  return [
    ...other('bridge', () => false, 'replaces docker0, so that dockerd refuses `bip`'),
    ...other('fixed-cidr', text => isWithin(text, block), `is not in ${block}, the subnet of this host`),
    ...other('default-gateway', text => isWithin(text, block), `is not in ${block}, the subnet of this host`),
  ];
}

/** @param text an address, or one with a length. */
function isWithin(text: string, block: Prefix): boolean {
  try {
    return block.contains(text.includes('/') ? parseInterfaceAddress(text).ip : Ip.parse(text));
  } catch {
    return false;
  }
}
