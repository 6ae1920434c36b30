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
import { Prefix } from '../base/prefix.ts';
import { parseShellVariables } from '../base/shell-variables.ts';
import type { NetworkConfig } from './config/config.ts';
import type { Subnet } from './lease/lease.ts';

export interface SubnetEnv {
  readonly config: NetworkConfig;
  readonly subnet: Subnet;
  readonly mtu: number;
  readonly masquerade: boolean;
}

export function formatSubnetEnv({ config, subnet, mtu, masquerade }: SubnetEnv): string {
  const lines: string[] = [];
  if (config.ipv4 && subnet.ipv4) {
    lines.push(`FLANNEL_NETWORK=${config.ipv4.network}`, `FLANNEL_SUBNET=${firstAddress(subnet.ipv4)}`);
  }
  if (config.ipv6 && subnet.ipv6) {
    lines.push(
      `FLANNEL_IPV6_NETWORK=${config.ipv6.network}`,
      `FLANNEL_IPV6_SUBNET=${firstAddress(subnet.ipv6)}`,
    );
  }
  lines.push(`FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${masquerade}`);
  return `${lines.join('\n')}\n`;
}

/** What the last run left: what cannot be read is as if it were not there. */
export interface FormerRun {
  readonly network: Subnet;
  readonly subnet: Subnet;
}

export function parseSubnetEnv(text: string): FormerRun {
  const values = parseShellVariables(text);
  const family = (ipv4: string, ipv6: string): Subnet => {
    const four = firstBlock(values.get(ipv4), 'ipv4');
    const six = firstBlock(values.get(ipv6), 'ipv6');
    return { ...(four && { ipv4: four }), ...(six && { ipv6: six }) };
  };
  return {
    network: family('FLANNEL_NETWORK', 'FLANNEL_IPV6_NETWORK'),
    subnet: family('FLANNEL_SUBNET', 'FLANNEL_IPV6_SUBNET'),
  };
}

/** Versions of flannel that could have several networks wrote them with commas between. */
function firstBlock(list: string | undefined, family: Prefix['family']): Prefix | undefined {
  for (const text of list?.split(',') ?? []) {
    try {
      const block = Prefix.parse(text.trim());
      if (block.family === family) return block;
    } catch {
      // As in flannel, one that does not parse does not spoil the others.
    }
  }
  return undefined;
}

const firstAddress = (block: Prefix) => `${block.ip.plus(1)}/${block.length}`;
