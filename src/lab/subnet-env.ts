/** What a host leased, as its agent wrote it: /run/flannel/subnet.env, flannel's file for Docker and CNI. */
import { ParseError } from '../base/errors.ts';
import { type InterfaceAddress, Prefix, parseInterfaceAddress } from '../base/prefix.ts';
import { parseShellVariables } from '../base/shell-variables.ts';

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
  const variables = parseShellVariables(text);
  const get = (name: string) => {
    const value = variables.get(name);
    if (value === undefined) throw new ParseError('a subnet file', text, `${name} is missing`);
    return value;
  };
  const gateway = parseInterfaceAddress(get('FLANNEL_SUBNET'));
  const mtu = Number(get('FLANNEL_MTU'));
  if (!Number.isInteger(mtu) || mtu < 68) throw new ParseError('an MTU', get('FLANNEL_MTU'), 'want a number');
  return {
    gateway,
    subnet: Prefix.of(gateway.ip, gateway.length),
    network: Prefix.parse(get('FLANNEL_NETWORK')),
    mtu,
    masquerade: get('FLANNEL_IPMASQ') === 'true',
  };
}
