/**
 * How one address family is cut into subnets: flannel's arithmetic (CheckNetworkConfig), the same for 32 and
 * 128 bits.
 *
 *     Network     10.5.0.0/16
 *     SubnetLen   24
 *     | 10.5.0.0/24 | 10.5.1.0/24 | ... | 10.5.254.0/24 | 10.5.255.0/24 |
 *       never leased  SubnetMin                           SubnetMax
 *
 * The first subnet is left out by default because its base address is the network's own.
 */
import type { Problem } from '../../base/errors.ts';
import type { Fields } from '../../base/fields.ts';
import { ADDRESS_BITS, FAMILY_LABELS, type Family, type Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';

export interface FamilyConfig {
  readonly network: Prefix;
  /** Prefix length of every subnet. */
  readonly subnetLength: number;
  /** Base addresses of the first and last subnet that may be leased. */
  readonly subnetMin: Ip;
  readonly subnetMax: Ip;
}

/** flannel's names in the configuration, and the length of a subnet where none is given. */
export const CONFIG_KEYS = {
  ipv4: {
    network: 'Network',
    length: 'SubnetLen',
    min: 'SubnetMin',
    max: 'SubnetMax',
    enable: 'EnableIPv4',
    example: '10.5.0.0/16',
    defaultLength: 24,
  },
  ipv6: {
    network: 'IPv6Network',
    length: 'IPv6SubnetLen',
    min: 'IPv6SubnetMin',
    max: 'IPv6SubnetMax',
    enable: 'EnableIPv6',
    example: 'fd00:5::/48',
    defaultLength: 64,
  },
} as const satisfies Record<Family, object>;

/** Where no container can have an address, and why. */
export const UNUSABLE = {
  ipv4: { '127.0.0.0/8': 'loopback', '169.254.0.0/16': 'link-local', '224.0.0.0/4': 'multicast' },
  ipv6: { '::1/128': 'loopback', 'fe80::/10': 'link-local', 'ff00::/8': 'multicast' },
} as const;

/** Two bits of subnets: the first is left out, so that one bit would leave room for a single host. */
const SUBNET_BITS = 2;
/** Two bits of addresses: a tunnel device and a bridge on each host. */
const HOST_BITS = 2;

/** Undefined when the family is off or has problems; those are in the problems of `fields`. */
export function parseFamily(
  fields: Fields,
  family: Family,
  enabled: boolean,
  warnings: Problem[],
): FamilyConfig | undefined {
  const keys = CONFIG_KEYS[family];
  const bits = ADDRESS_BITS[family];
  // flannel reads what is written whether or not the family is on, and then ignores it.
  const wanted = {
    length: fields.integer(keys.length, {
      min: 0,
      max: enabled ? bits - HOST_BITS : Number.MAX_SAFE_INTEGER,
    }),
    min: fields.address(keys.min, family),
    max: fields.address(keys.max, family),
  };
  const isMissing = fields.value(keys.network) === undefined;
  const network = isMissing && !enabled ? undefined : parseNetwork(fields, family);
  if (!enabled) {
    for (const name of [keys.network, keys.length, keys.min, keys.max]) {
      if ((fields.value(name) ?? undefined) === undefined) continue;
      warnings.push({ path: name, message: `has no effect while ${keys.enable} is false` });
    }
    return undefined;
  }

  if (network === undefined) return undefined;

  const subnetLength = subnetLengthOf(fields, network, wanted.length);
  if (subnetLength === undefined) return undefined;

  const size = 1n << BigInt(bits - subnetLength);
  const subnetMin = wanted.min ?? network.ip.plus(size);
  const subnetMax = wanted.max ?? network.last.plus(1n - size);
  const minFits = checkBound(fields, keys.min, subnetMin, network, subnetLength);
  const maxFits = checkBound(fields, keys.max, subnetMax, network, subnetLength);
  if (!minFits || !maxFits) return undefined;
  if (subnetMin.compare(subnetMax) > 0) {
    const hint = 'no subnet is left to lease';
    return fields.problem(keys.min, `is ${subnetMin}, after ${keys.max}, which is ${subnetMax}`, hint);
  }
  return { network, subnetLength, subnetMin, subnetMax };
}

function parseNetwork(fields: Fields, family: Family): Prefix | undefined {
  const { network: name, example } = CONFIG_KEYS[family];
  const value = fields.value(name);
  if (value === undefined || value === '') {
    return fields.problem(name, 'is missing', `write for example "${name}": "${example}"`);
  }
  const text = value === null ? fields.problem(name, 'must be a string') : fields.text(name);
  if (text === undefined) return undefined;
  const network = fields.parsed(name, Prefix.parse, `an address with a prefix length, such as ${example}`);
  if (network === undefined) return undefined;
  if (network.family !== family) return fields.problem(name, `must be an ${FAMILY_LABELS[family]} network`);
  return network;
}

function subnetLengthOf(fields: Fields, network: Prefix, wanted: number | undefined): number | undefined {
  const { length: name, network: networkName, example, defaultLength } = CONFIG_KEYS[network.family];
  if (network.length === 0) {
    const hint = `write for example ${example}`;
    return fields.problem(networkName, 'must not be the whole address space', hint);
  }
  for (const [range, what] of Object.entries(UNUSABLE[network.family])) {
    if (!network.overlaps(Prefix.parse(range))) continue;
    return fields.problem(
      networkName,
      `must not overlap ${range}, which is ${what}`,
      `write for example ${example}`,
    );
  }
  const longest = ADDRESS_BITS[network.family] - HOST_BITS;
  if (network.length + SUBNET_BITS > longest) {
    return fields.problem(networkName, `is too small: must be /${longest - SUBNET_BITS} or shorter`);
  }
  // Zero counts as unset in flannel, and a length of a wrong kind has been reported already.
  if (wanted !== undefined && wanted > 0) {
    if (wanted >= network.length + SUBNET_BITS) return wanted;
    return fields.problem(
      name,
      `must be at least ${network.length + SUBNET_BITS} for ${network}`,
      'the network must hold at least four subnets',
    );
  }
  return network.length <= defaultLength - SUBNET_BITS ? defaultLength : network.length + SUBNET_BITS;
}

function checkBound(fields: Fields, name: string, bound: Ip, network: Prefix, length: number): boolean {
  const { ip: base } = Prefix.of(bound, length);
  if (!network.contains(bound)) fields.problem(name, `must be inside ${network}`);
  else if (!base.equals(bound)) {
    fields.problem(
      name,
      `must be the first address of a /${length}`,
      `the subnet that contains it begins at ${base}`,
    );
  } else return true;
  return false;
}
