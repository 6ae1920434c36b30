/** What a host leased, as its agent wrote it: /run/flannel/subnet.env, flannel's file for Docker and CNI. */
import { ParseError } from '../../base/errors.ts';
import { FAMILIES } from '../../base/ip.ts';
import { parseSubnetEnv, SUBNET_VARIABLES, type SubnetFile } from '../../subnet/subnet-env.ts';

/** Complete: whole families, at least one. While the agent masquerades, Docker must not. */
export type HostSubnet = Required<SubnetFile>;

/** @throws ParseError when a variable is missing or makes no sense. */
export function parseHostSubnet(text: string): HostSubnet {
  const file = parseSubnetEnv(text);
  const require = <T>(value: T | undefined, name: string): T => {
    if (value !== undefined) return value;
    throw new ParseError('a subnet file', text, `${name} is missing or cannot be read`);
  };
  const families = FAMILIES.filter(family => file.network[family] ?? file.subnet[family]);
  // One that is named by half is damaged, and so is a file that names none.
  for (const family of families.length === 0 ? (['ipv4'] as const) : families) {
    require(file.network[family], SUBNET_VARIABLES[family].network);
    require(file.subnet[family], SUBNET_VARIABLES[family].subnet);
  }
  return {
    ...file,
    mtu: require(file.mtu, 'FLANNEL_MTU'),
    masquerade: require(file.masquerade, 'FLANNEL_IPMASQ'),
  };
}
