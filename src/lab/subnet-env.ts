/** What a host leased, as its agent wrote it: /run/flannel/subnet.env, flannel's file for Docker and CNI. */
import { ParseError } from '../base/errors.ts';
import type { InterfaceAddress, Prefix } from '../base/prefix.ts';
import { parseSubnetEnv } from '../subnet/subnet-env.ts';

/** Of IPv4, which every network of the lab has. */
export interface HostSubnet {
  /** First usable address of the leased block, with the block's length: the bridge's address. */
  readonly gateway: InterfaceAddress;
  readonly subnet: Prefix;
  readonly network: Prefix;
  readonly mtu: number;
  /** The agent masquerades, so Docker must not. */
  readonly masquerade: boolean;
}

/** @throws ParseError when a variable is missing or makes no sense. */
export function parseHostSubnet(text: string): HostSubnet {
  const file = parseSubnetEnv(text);
  const require = <T>(value: T | undefined, name: string): T => {
    if (value !== undefined) return value;
    throw new ParseError('a subnet file', text, `${name} is missing or cannot be read`);
  };
  return {
    gateway: require(file.gateway.ipv4, 'FLANNEL_SUBNET'),
    subnet: require(file.subnet.ipv4, 'FLANNEL_SUBNET'),
    network: require(file.network.ipv4, 'FLANNEL_NETWORK'),
    mtu: require(file.mtu, 'FLANNEL_MTU'),
    masquerade: require(file.masquerade, 'FLANNEL_IPMASQ'),
  };
}
