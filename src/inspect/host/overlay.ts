/**
 * What this host is of the overlay: from its agent, and where that does not answer from the subnet file that it wrote,
 * so that a host is looked at while its agent is dead.
 */
import { readFileSync } from 'node:fs';
import type { Status } from '../../api/status.ts';
import { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { type InterfaceAddress, Prefix } from '../../base/prefix.ts';
import { SUBNET_FILE } from '../../console/defaults.ts';
import { parseSubnetEnv } from '../../subnet/subnet-env.ts';

export interface HostOverlay {
  readonly source: 'agent' | 'file';
  /** Of all hosts. */
  readonly networks: readonly Prefix[];
  /** Leased by this host. */
  readonly subnets: readonly Prefix[];
  /** The first address of each of these subnets, which is for the bridge. */
  readonly gateways: readonly InterfaceAddress[];
  /** What a packet may have. */
  readonly mtu?: number;
}

/** undefined for a host that has leased nothing. @param subnetFile where the agent writes it by default */
export function overlayOf(status: Status | undefined, subnetFile = SUBNET_FILE): HostOverlay | undefined {
  return (status && overlayOfAgent(status)) ?? overlayOfFile(status?.subnetFile ?? subnetFile);
}

function overlayOfAgent({ network, lease, backend }: Status): HostOverlay | undefined {
  const { ipv4, ipv6 } = network.config ?? {};
  const subnets = prefixesIn([lease?.subnet.ipv4, lease?.subnet.ipv6]);
  if (subnets.length === 0) return undefined;
  return {
    source: 'agent',
    networks: prefixesIn([ipv4?.network, ipv6?.network]),
    subnets,
    gateways: subnets.map(firstOf),
    ...(backend && { mtu: backend.overlayMtu }),
  };
}

function overlayOfFile(path: string): HostOverlay | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const { network, subnet, gateway, mtu } = parseSubnetEnv(text);
  const subnets = valuesOf(subnet);
  if (subnets.length === 0) return undefined;
  return {
    source: 'file',
    networks: valuesOf(network),
    subnets,
    gateways: valuesOf(gateway),
    ...(mtu !== undefined && { mtu }),
  };
}

/** Prefixes in text that are prefixes. */
export const prefixesIn = (texts: readonly (string | undefined)[]): Prefix[] =>
  texts.flatMap(text => (text === undefined ? [] : (Prefix.tryParse(text) ?? [])));

const firstOf = ({ ip, length }: Prefix): InterfaceAddress => ({ ip: ip.plus(1), length });

/** Addresses in text that are addresses. */
export const addressesIn = (texts: readonly (string | undefined)[]): Ip[] =>
  texts.flatMap(text => (text === undefined ? [] : (Ip.tryParse(text) ?? [])));
