/** What the config commands do, given a registry or a text. */
import { checkBackend } from '../backend/registry.ts';
import { enumerate } from '../base/enumerate.ts';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { CommandError } from '../console/errors.ts';
import { formatCount } from '../console/format.ts';
import { note, print, printJson, warn } from '../console/output.ts';
import { formatFacts } from '../console/table.ts';
import {
  CONFIG_KEYS,
  type FamilyConfig,
  type NetworkConfig,
  networksOf,
  type ParsedConfig,
  parseNetworkConfig,
  subnetCount,
} from '../subnet/config/config.ts';
import { addressesOf, formatSubnet, type Lease } from '../subnet/lease/lease.ts';
import { checkSubnet } from '../subnet/lease/lease-check.ts';
import type { Registry } from '../subnet/registry.ts';
import { overlayVniOf } from '../subnet/segment/segment-context.ts';
import { SegmentRegistry } from '../subnet/segment/segment-registry.ts';

export async function showConfig(
  registry: Registry,
  options: { json?: true; effective?: true },
): Promise<void> {
  const { kv } = await registry.store.get(registry.configKey);
  if (kv === undefined) {
    throw new CommandError(
      'NOT_FOUND',
      `there is no configuration at ${registry.configKey}`,
      'store one with `tulle config set`',
    );
  }
  const text = new TextDecoder().decode(kv.value);
  if (!options.effective) {
    // Lines end as here, wherever they were written.
    print(text.trimEnd().replaceAll('\r\n', '\n'));
    return;
  }
  const { config } = checkConfig(text);
  if (options.json) printJson(config);
  else print(describeConfig(config));
}

/** @throws CommandError when hosts would lose their subnet, or when another writer changed it meanwhile. */
export async function writeConfig(
  registry: Registry,
  text: string,
  config: NetworkConfig,
  force: boolean,
): Promise<void> {
  const key = registry.configKey;
  const { kv } = await registry.store.get(key);
  const { leases } = await registry.list();
  refuseHostsInside(leases, config);
  await refuseNetworksInside(new SegmentRegistry(registry.store, registry), config);
  const losing = leases.filter(({ subnet }) => checkSubnet(subnet, config) !== undefined);
  if (losing.length > 0 && !force) throw refusal(losing);
  const { ok } = await registry.store.transact({
    compare: [{ key, target: 'mod', is: '=', operand: kv?.modRevision ?? 0n }],
    success: [{ op: 'put', key, value: new TextEncoder().encode(text) }],
  });
  if (!ok)
    throw new CommandError(
      'NOT_NOW',
      'another writer has just changed the configuration',
      'check it and try again',
    );
  note(`${kv === undefined ? 'stored' : 'replaced'} ${key}`);
}

/** No host could use it: each would take the way to that one into the tunnel. @throws ConfigError */
function refuseHostsInside(leases: readonly Lease[], config: NetworkConfig): void {
  const problems = networksOf(config).flatMap(network => {
    const inside = leases
      .flatMap(({ attributes }) => addressesOf(attributes))
      .filter(ip => network.contains(ip));
    if (inside.length === 0) return [];
    return [
      {
        path: CONFIG_KEYS[network.family].network,
        value: network.toString(),
        message: `contains addresses of hosts: ${enumerate(inside, { most: 3 })}`,
        hint: 'choose a network that contains no address of a host',
      },
    ];
  });
  if (problems.length > 0) throw new ConfigError('network configuration', problems);
}

/** Neither an address nor a VNI can belong to the overlay and to an L2 network. @throws ConfigError */
async function refuseNetworksInside(registry: SegmentRegistry, config: NetworkConfig): Promise<void> {
  const { segments } = await registry.list();
  const problems = [...segments.values()].flatMap(({ segment }): Problem[] => {
    const hint = 'delete that network, or choose another value';
    const overlaps = networksOf(config).filter(network =>
      valuesOf<Prefix>(segment.subnets).some(subnet => subnet.overlaps(network)),
    );
    return [
      ...overlaps.map(network => ({
        path: CONFIG_KEYS[network.family].network,
        value: network.toString(),
        message: `overlaps the L2 network ${segment.name} (${valuesOf<Prefix>(segment.subnets).join(' ')})`,
        hint,
      })),
      ...(segment.vni === overlayVniOf(config)
        ? [
            {
              path: 'Backend.VNI',
              value: segment.vni,
              message: `is that of the L2 network ${segment.name}`,
              hint,
            },
          ]
        : []),
    ];
  });
  if (problems.length > 0) throw new ConfigError('network configuration', problems);
}

function refusal(losing: readonly Lease[]): CommandError {
  const subnets = losing.map(({ subnet }) => formatSubnet(subnet));
  return new CommandError(
    'NOT_NOW',
    `${formatCount(losing.length, 'lease')} would not fit: ${enumerate(subnets, { most: 3 })}`,
    'with --force these hosts get other subnets, and their containers must be restarted',
  );
}

/** @throws ConfigError with everything that is wrong; what is only odd is said on stderr. */
export function checkConfig(text: string): ParsedConfig {
  const parsed = parseNetworkConfig(text, checkBackend);
  for (const problem of parsed.warnings) warn(formatProblem(problem));
  return parsed;
}

/** The configuration in the words of a person. */
export function describeConfig(config: NetworkConfig): string {
  const families = valuesOf<FamilyConfig>(config).flatMap(family => {
    const { network, subnetLength, subnetMin, subnetMax } = family;
    return [
      ['network', `${network}`],
      ['subnets', `${subnetCount(family)} of /${subnetLength}, ${subnetMin} to ${subnetMax}`],
    ] as const;
  });
  const { type, options } = config.backend;
  const settings = Object.entries(options).filter(([name]) => name.toLowerCase() !== 'type');
  return formatFacts([
    ...families,
    ['backend', [type, ...settings.map(([name, value]) => `${name} ${JSON.stringify(value)}`)].join(', ')],
    ['firewall', config.enableNftables ? 'nftables' : 'iptables where it is installed'],
    ['fast path', config.fastPath],
  ]);
}
