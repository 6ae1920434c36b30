/**
 * The configuration of one call: what the operator has written into a conflist, and what the runtime has added to it. A key
 * that is not known is refused: `newtork` must not mean the default network.
 */
import * as v from 'valibot';
import { messageOf, type Problem } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { nearest } from '../../base/nearest.ts';
import { byFamily, type PerFamily } from '../../base/per-family.ts';
import { abridge } from '../../base/printable.ts';
import { OVERLAY_NETWORK } from '../../network/attachment/attachments.ts';
import type { PortMapping } from '../../network/attachment/port-mapping.ts';
import { CNI_VERSIONS } from '../launcher/launcher.ts';
import { CniError } from './cni-error.ts';
import { ConfigShape, type ResultShape } from './config-schema.ts';
import { readPortMappings } from './port-mappings.ts';

export type CniVersion = (typeof CNI_VERSIONS)[number];

/** As results have it. */
export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

export interface CniConfig {
  readonly cniVersion: CniVersion;
  /** Of the list: what the runtime calls the network. */
  readonly name: string;
  /** Name of the network of Tulle. */
  readonly network: string;
  readonly keep: boolean;
  readonly dns: CniDns | undefined;
  /** What the runtime wants for this container. */
  readonly ips: PerFamily<Ip>;
  readonly mac: Mac | undefined;
  readonly aliases: readonly string[];
  readonly ports: readonly PortMapping[];
  readonly prevResult: ResultShape | undefined;
  /** Of GC. */
  readonly valid: readonly ValidAttachment[] | undefined;
}

export interface ValidAttachment {
  readonly containerId: string;
  readonly link: string;
}

/** Key -> what it is for. docs/reference/cni.md has the table. */
export const CNI_KEYS = {
  network:
    'the network of Tulle: `default`, which is the leased subnet, or an L2 network by its name; default `default`',
  keep: 'whether a container of the same name gets the same address again, as long as there are others; default false',
  dns: 'what the result says of name servers, instead of the resolver of the agent: `nameservers`, `domain`, `search`, `options`',
  socket: 'where the agent listens; default `/run/tulle/agent.sock`',
} as const;

/** Keys that the specification and runtimes put there. */
const OF_SPECIFICATION = [
  'cniVersion',
  'cniVersions',
  'name',
  'type',
  'args',
  'capabilities',
  'runtimeConfig',
  'prevResult',
  'ipam',
  'disableCheck',
  'disableGC',
];

/** Keys of other plugins that somebody may expect to work. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  bridge: 'Tulle has a bridge for each network',
  isGateway: 'a network has a gateway unless it is internal',
  isDefaultGateway: 'the first network of a container is that of its default route',
  ipMasq: 'the agent masquerades what leaves the network with --ip-masq',
  mtu: 'it follows from the underlay',
  delegate: 'that is a key of the type flannel',
  subnetFile: 'that is a key of the type flannel',
  hairpinMode: 'a container reaches its own published ports without it',
  vlan: 'create an L2 network',
};

type Args = ReadonlyMap<string, string>;

/**
 * @param isDelegate of the type tulle-ipam: the keys are below `ipam`, around them are those of the plugin that calls it
 * @throws CniError DECODING_FAILED, INCOMPATIBLE_VERSION, or INVALID_CONFIG that names everything
 */
export function readCniConfig(json: string, isDelegate: boolean, args: Args): CniConfig {
  const raw = parseCniJson(json);
  const cniVersion = readCniVersion(raw);
  const result = v.safeParse(ConfigShape, raw);
  const problems: Problem[] = (result.issues ?? []).map(problemOfIssue);
  refuseUnknown(raw, isDelegate, problems);
  if (!result.success) throw invalid(problems);
  const config = configOf(result.output, cniVersion, isDelegate, args, problems);
  if (problems.length > 0) throw invalid(problems);
  return config;
}

const invalid = (problems: readonly Problem[]) =>
  CniError.ofProblems('INVALID_CONFIG', 'network configuration', problems);

/** @throws CniError INCOMPATIBLE_VERSION */
export function readCniVersion({
  cniVersion: given = 'none',
}: Readonly<Record<string, unknown>>): CniVersion {
  const version = CNI_VERSIONS.find(one => one === given);
  if (version !== undefined) return version;
  const shown = abridge(JSON.stringify(given), 100);
  throw new CniError('INCOMPATIBLE_VERSION', `cniVersion ${shown} is not supported`, {
    hint: `supported are ${CNI_VERSIONS.join(', ')}`,
  });
}

/** @throws CniError DECODING_FAILED */
export function parseCniJson(json: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new CniError('DECODING_FAILED', 'the network configuration is not JSON', { cause });
  }
  if (isObject(value)) return value;
  throw new CniError('DECODING_FAILED', 'the network configuration is not a JSON object');
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function problemOfIssue(issue: v.BaseIssue<unknown>): Problem {
  const { input } = issue;
  const isShown = typeof input === 'string' || typeof input === 'number' || typeof input === 'boolean';
  return { path: v.getDotPath(issue) ?? '', message: issue.message, ...(isShown && { value: input }) };
}

function refuseUnknown(
  raw: Readonly<Record<string, unknown>>,
  isDelegate: boolean,
  problems: Problem[],
): void {
  const { ipam } = raw;
  if (!isDelegate && isObject(ipam) && Object.keys(ipam).length > 0)
    problems.push({ path: 'ipam', message: 'the type tulle gives out addresses itself', hint: 'remove it' });
  const known = [...Object.keys(CNI_KEYS), ...(isDelegate ? ['type'] : OF_SPECIFICATION)];
  const keys = isDelegate ? ipam : raw;
  for (const key of isObject(keys) ? Object.keys(keys) : []) {
    // Runtimes mark keys of their own: cni.dev/..., nerdctlID.
    if (known.includes(key) || /^[\w.-]+\/|^(nerdctl|podman|x-)/.test(key)) continue;
    const meant = nearest(key, known);
    const hint =
      ELSEWHERE[key] ??
      (meant === undefined ? `want ${known.slice(0, 5).join(', ')}` : `did you mean ${meant}?`);
    problems.push({ path: isDelegate ? `ipam.${key}` : key, message: 'is not known', hint });
  }
}

function configOf(
  shape: ConfigShape,
  cniVersion: CniVersion,
  isDelegate: boolean,
  args: Args,
  problems: Problem[],
): CniConfig {
  const own = isDelegate ? (shape.ipam ?? {}) : shape;
  const { runtimeConfig: runtime, args: asked } = shape;
  const valid = shape['cni.dev/valid-attachments'] ?? shape['cni.dev/attachments'] ?? undefined;
  const given = runtime?.dns;
  const dns = given && { nameservers: given.servers, search: given.searches, options: given.options };
  const listed = (args.get('IP') ?? '').split(',').filter(text => text !== '');
  const ips = [...(runtime?.ips ?? []), ...(asked?.cni?.ips ?? []), ...listed];
  return {
    cniVersion,
    name: shape.name,
    network: own.network ?? OVERLAY_NETWORK,
    keep: own.keep ?? false,
    dns: readDns(dns) ?? readDns(own.dns),
    ips: readIps(ips, problems),
    mac: readMac(runtime?.mac || asked?.cni?.mac || args.get('MAC'), problems),
    aliases: aliasesOf(runtime?.aliases, shape.name),
    ports: readPortMappings(runtime?.portMappings ?? [], problems),
    prevResult: shape.prevResult ?? undefined,
    valid: valid?.map(({ containerID, ifname }) => ({ containerId: containerID, link: ifname })),
  };
}

function readIps(texts: readonly string[], problems: Problem[]): PerFamily<Ip> {
  const ips: Ip[] = [];
  for (const text of texts) {
    // With the length of a prefix, of some runtimes.
    const ip = Ip.tryParse(text.split('/')[0] ?? '');
    if (ip === undefined) problems.push({ path: 'ips', value: text, message: 'is not an IP address' });
    else if (ips.some(other => other.family === ip.family && !other.equals(ip)))
      problems.push({ path: 'ips', value: text, message: 'want one address of a family at most' });
    else ips.push(ip);
  }
  return byFamily(...ips);
}

function readMac(text: string | undefined, problems: Problem[]): Mac | undefined {
  if (!text) return undefined;
  try {
    const mac = Mac.parse(text);
    if (mac.isUnicast) return mac;
    problems.push({ path: 'mac', value: text, message: 'must be the address of one station' });
  } catch (error) {
    problems.push({ path: 'mac', value: text, message: messageOf(error) });
  }
  return undefined;
}

type Aliases = NonNullable<ConfigShape['runtimeConfig']>['aliases'];

function aliasesOf(aliases: Aliases, name: string): readonly string[] {
  return (Array.isArray(aliases) ? aliases : aliases?.[name]) ?? [];
}

function readDns(
  shape: { readonly [Key in keyof CniDns]?: CniDns[Key] | null | undefined } | null | undefined,
): CniDns | undefined {
  const entries = Object.entries({
    nameservers: shape?.nameservers,
    domain: shape?.domain,
    search: shape?.search,
    options: shape?.options,
  }).filter(([, value]) => value !== undefined && value !== null && value.length > 0);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
