/**
 * The network's configuration, as found at `<prefix>/config`, with flannel's rules for names, defaults and
 * ranges (flannel pkg/subnet/config.go): what flanneld accepts has the same meaning here, and what cannot work
 * is refused with every reason at once.
 */
import { ConfigError, type Problem } from '../../base/errors.ts';
import { Fields, isObject } from '../../base/fields.ts';
import { ADDRESS_BITS } from '../../base/ip.ts';
import { type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import { parseGoJson } from '../go-json.ts';
import { CONFIG_KEYS, type FamilyConfig, parseFamily } from './family-config.ts';

export { CONFIG_KEYS, type FamilyConfig } from './family-config.ts';

/** `auto`: where a host can. */
export const FAST_PATH_MODES = ['auto', 'off'] as const;
export type FastPathMode = (typeof FAST_PATH_MODES)[number];

/** Has at least one family. */
export interface NetworkConfig extends PerFamily<FamilyConfig> {
  readonly enableNftables: boolean;
  /** Whether packets of proven flows may go past bridge, routes and firewall of a host (src/fastpath). */
  readonly fastPath: FastPathMode;
  readonly backend: {
    /** Lower case. */
    readonly type: string;
    /** The Backend object as written; each backend checks its own keys, without regard to case. */
    readonly options: Readonly<Record<string, unknown>>;
  };
}

export interface ParsedConfig {
  readonly config: NetworkConfig;
  /** What is harmless and most likely not meant: a misspelled key, a network of a family that is off. */
  readonly warnings: readonly Problem[];
}

/** For hints and help: a configuration that every host can use. */
export const EXAMPLE_CONFIG = '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}';

/** Written by flanneld's types and never read; not worth a warning. */
const TOLERATED = ['Networks', 'IPv6Networks'];

/** What is wrong with a Backend, and what is only odd. */
export interface BackendFindings {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Checks a Backend; this folder knows none of them. */
export type BackendCheck = (backend: NetworkConfig['backend']) => BackendFindings;

const UNCHECKED: BackendFindings = { problems: [], warnings: [] };

/** @throws ConfigError with every problem of the text. */
export function parseNetworkConfig(text: string, checkBackend: BackendCheck = () => UNCHECKED): ParsedConfig {
  const problems: Problem[] = [];
  const fields = new Fields(parseObject(text), '', problems);
  const warnings: Problem[] = [];

  const enabled = {
    ipv4: fields.flag(CONFIG_KEYS.ipv4.enable) ?? true,
    ipv6: fields.flag(CONFIG_KEYS.ipv6.enable) ?? false,
  };
  if (!enabled.ipv4 && !enabled.ipv6) {
    fields.problem('EnableIPv4', 'IPv4 and IPv6 are both off', 'set EnableIPv4 or EnableIPv6 to true');
  }
  const families = perFamily(family => parseFamily(fields, family, enabled[family], warnings));
  const enableNftables = fields.flag('EnableNFTables') ?? false;
  const fastPath = parseFastPath(fields);
  const backend = parseBackend(fields);
  const findings = backend === undefined ? UNCHECKED : checkBackend(backend);
  problems.push(...findings.problems);

  for (const name of TOLERATED) fields.value(name);
  warnings.push(...fields.unknownProblems('the network configuration'), ...findings.warnings);
  if (problems.length > 0 || backend === undefined) throw new ConfigError('network configuration', problems);
  return { config: { ...families, enableNftables, fastPath, backend }, warnings };
}

/** How many subnets can be leased in one family. */
export function subnetCount(family: FamilyConfig): bigint {
  const size = 1n << BigInt(ADDRESS_BITS[family.network.family] - family.subnetLength);
  return (family.subnetMax.toBigInt() - family.subnetMin.toBigInt()) / size + 1n;
}

/** Whether this host could be given `subnet` now: the right length, and between the first and the last. */
export function isLeasable(family: FamilyConfig | undefined, subnet: Prefix | undefined): boolean {
  if (family === undefined || subnet === undefined) return family === subnet;
  return (
    subnet.length === family.subnetLength &&
    family.network.contains(subnet) &&
    subnet.ip.compare(family.subnetMin) >= 0 &&
    subnet.ip.compare(family.subnetMax) <= 0
  );
}

/** The blocks of which this configuration is. */
export function networksOf(config: NetworkConfig): readonly Prefix[] {
  return valuesOf(config).map(({ network }) => network);
}

/** Whether two configurations have the same content. The values print themselves as JSON. */
export function isSameConfig(a: NetworkConfig, b: NetworkConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whether leases of one are leases of the other. */
export function isSameNetwork(a: NetworkConfig, b: NetworkConfig): boolean {
  return JSON.stringify([a.ipv4, a.ipv6]) === JSON.stringify([b.ipv4, b.ipv6]);
}

function parseObject(text: string): object {
  const hint = `write for example ${EXAMPLE_CONFIG}`;
  const refuse = (message: string) =>
    new ConfigError('network configuration', [{ path: 'config', message, hint }]);
  let value: unknown;
  try {
    value = parseGoJson(text);
  } catch (error) {
    throw refuse(`is not JSON: ${(error as Error).message}`);
  }
  if (isObject(value)) return value;
  throw refuse('must be a JSON object');
}

/** Without regard to case, as the type of a backend. */
function parseFastPath(fields: Fields): FastPathMode {
  const text = fields.text('FastPath')?.toLowerCase();
  const mode = FAST_PATH_MODES.find(word => word === text);
  if (text !== undefined && mode === undefined) fields.problem('FastPath', 'must be "auto" or "off"');
  return mode ?? 'auto';
}

function parseBackend(fields: Fields): NetworkConfig['backend'] | undefined {
  const value = fields.value('Backend');
  // flannel's documents say vxlan; its code says udp, and a cluster must agree.
  if (value === undefined) return { type: 'udp', options: {} };
  const example = 'write for example "Backend": {"Type": "vxlan"}';
  if (!isObject(value)) return fields.problem('Backend', 'must be an object', example);
  const type = Object.entries(value).findLast(([name]) => name.toLowerCase() === 'type')?.[1];
  if (typeof type !== 'string' || type === '') {
    return fields.problem('Backend', 'has no Type', `without any Backend the type is udp; ${example}`);
  }
  return { type: type.toLowerCase(), options: value };
}
