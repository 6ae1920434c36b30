/**
 * The subnet file, by which a host's container runtime learns its subnet (flannel pkg/subnet, WriteSubnetFile):
 *
 *     FLANNEL_NETWORK=10.5.0.0/16
 *     FLANNEL_SUBNET=10.5.34.1/24        the first address of the subnet, for the bridge
 *     FLANNEL_IPV6_NETWORK=fd00:5::/48
 *     FLANNEL_IPV6_SUBNET=fd00:5:0:22::1/64
 *     FLANNEL_MTU=1450
 *     FLANNEL_IPMASQ=true
 *
 * It is written exactly so, and read leniently, as flannel reads it: shells and people write it too.
 */

import type { Family } from '../base/ip.ts';
import { LEAST_MTU } from '../base/mtu.ts';
import { mapFamilies, type PerFamily, perFamily } from '../base/per-family.ts';
import { type InterfaceAddress, Prefix, parseInterfaceAddress } from '../base/prefix.ts';
import { type NetworkConfig, networksOf } from './config/config.ts';
import type { Subnet } from './lease/lease.ts';
import { parseShellVariables } from './shell-variables.ts';

/** flannel's names. */
export const SUBNET_VARIABLES = {
  ipv4: { network: 'FLANNEL_NETWORK', subnet: 'FLANNEL_SUBNET' },
  ipv6: { network: 'FLANNEL_IPV6_NETWORK', subnet: 'FLANNEL_IPV6_SUBNET' },
} as const satisfies Record<Family, object>;

export interface SubnetEnv {
  readonly config: NetworkConfig;
  readonly subnet: Subnet;
  readonly mtu: number;
  readonly masquerade: boolean;
}

export function formatSubnetEnv({ config, subnet, mtu, masquerade }: SubnetEnv): string {
  const lines = networksOf(config).flatMap(network => {
    const names = SUBNET_VARIABLES[network.family];
    const block = subnet[network.family];
    if (block === undefined) return [];
    return [`${names.network}=${network}`, `${names.subnet}=${block.ip.plus(1)}/${block.length}`];
  });
  return [...lines, `FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${masquerade}`, ''].join('\n');
}

/** What the file says: what cannot be read is as if it were not there. */
export interface SubnetFile {
  readonly network: PerFamily<Prefix>;
  readonly subnet: Subnet;
  /** The address as it is written, which is for the bridge. */
  readonly gateway: PerFamily<InterfaceAddress>;
  readonly mtu?: number;
  readonly masquerade?: boolean;
}

export function parseSubnetEnv(text: string): SubnetFile {
  const values = parseShellVariables(text);
  const gateway = perFamily(family => firstOf(values.get(SUBNET_VARIABLES[family].subnet), family));
  const mtu = Number(values.get('FLANNEL_MTU') || undefined);
  const masquerade = values.get('FLANNEL_IPMASQ');
  return {
    network: mapFamilies(
      perFamily(family => firstOf(values.get(SUBNET_VARIABLES[family].network), family)),
      toBlock,
    ),
    subnet: mapFamilies(gateway, toBlock),
    gateway,
    ...(Number.isSafeInteger(mtu) && mtu >= LEAST_MTU.ipv4 ? { mtu } : {}),
    ...(masquerade === 'true' || masquerade === 'false' ? { masquerade: masquerade === 'true' } : {}),
  };
}

/** Versions of flannel that could have several networks wrote them with commas between. */
function firstOf(list: string | undefined, family: Family): InterfaceAddress | undefined {
  for (const text of list?.split(',') ?? []) {
    try {
      const address = parseInterfaceAddress(text.trim());
      if (address.ip.family === family) return address;
    } catch {
      // As in flannel, one that does not parse does not spoil the others.
    }
  }
  return undefined;
}

const toBlock = ({ ip, length }: InterfaceAddress) => Prefix.of(ip, length);
