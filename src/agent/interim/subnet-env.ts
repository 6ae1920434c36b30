import { Prefix } from '../../base/prefix.ts';
import type { NetworkConfig } from '../../subnet/config.ts';
import type { Subnet } from '../../subnet/lease.ts';
export function formatSubnetEnv(o: {
  config: NetworkConfig;
  subnet: Subnet;
  mtu: number;
  masquerade: boolean;
}): string {
  const lines: string[] = [];
  for (const [family, tag] of [
    ['ipv4', ''],
    ['ipv6', 'IPV6_'],
  ] as const) {
    const network = o.config[family]?.network;
    const subnet = o.subnet[family];
    if (network === undefined || subnet === undefined) continue;
    lines.push(
      `FLANNEL_${tag}NETWORK=${network}`,
      `FLANNEL_${tag}SUBNET=${subnet.ip.plus(1)}/${subnet.length}`,
    );
  }
  lines.push(`FLANNEL_MTU=${o.mtu}`, `FLANNEL_IPMASQ=${o.masquerade}`);
  return `${lines.join('\n')}\n`;
}
export function parseSubnetEnv(text: string): Subnet | undefined {
  const match = /^FLANNEL_SUBNET=(.*)$/m.exec(text);
  return match?.[1] === undefined ? undefined : { ipv4: Prefix.parse(match[1]) };
}
