/**
 * What the container runtime of this host has made of the subnet file. It reads it when it starts, so after a change
 * its bridge may still have an address of the former subnet, whose containers are unreachable, or an MTU
 * that is too large for the tunnel.
 */

import type { Ip } from '../base/ip.ts';
import type { Address } from '../netlink/route/objects.ts';
import { networksOf } from '../subnet/config/config.ts';
import { blocksOf, type Lease, type Subnet } from '../subnet/lease/lease.ts';
import type { HostPlan } from './host-plan.ts';
import type { OwnedWarning } from './reports.ts';
import type { HostNetwork } from './underlay.ts';

/** The bridge with this index, unless it is the underlay. */
const bridgeAt = ({ links }: HostNetwork, index: number, { underlay }: HostPlan) =>
  links.find(link => link.index === index && link.info?.kind === 'bridge' && index !== underlay.link.index);

/** An address of this host's subnet, on a link that containers are behind. */
export interface BridgeAddress {
  readonly link: string;
  readonly ip: Ip;
}

export function bridgeAddresses(
  network: HostNetwork,
  { plan, lease }: Pick<BridgeCircumstances, 'plan' | 'lease'>,
): BridgeAddress[] {
  const own = blocksOf(lease.subnet);
  return network.addresses.flatMap(({ index, ip }) => {
    const link = bridgeAt(network, index, plan);
    return link !== undefined && own.some(block => block.contains(ip)) ? [{ link: link.name, ip }] : [];
  });
}

export interface BridgeCircumstances {
  readonly plan: HostPlan;
  readonly lease: Lease;
  /** Subnets this host had since the agent started. */
  readonly former: readonly Subnet[];
}

export function bridgeWarnings(network: HostNetwork, circumstances: BridgeCircumstances): OwnedWarning[] {
  const { plan, lease, former } = circumstances;
  const own = blocksOf(lease.subnet);
  const foreign = [...networksOf(plan.config), ...former.flatMap(blocksOf)];
  const warnings: OwnedWarning[] = [];
  for (const address of network.addresses) {
    const link = bridgeAt(network, address.index, plan);
    if (link === undefined) continue;
    const isOwn = own.some(block => block.contains(address.ip));
    if (!isOwn && foreign.some(block => block.contains(address.ip))) {
      warnings.push(formerSubnet(link.name, address, own.join(' and ')));
    }
    // The kernel gives a bridge the MTU of its smallest port, and one without ports 1500, whatever Docker was told.
    const isUsed = network.links.some(({ master }) => master === link.index);
    if (isOwn && isUsed && link.mtu !== undefined && link.mtu > plan.backend.overlayMtu) {
      warnings.push(largeMtu(link.name, link.mtu, plan.backend.overlayMtu));
    }
  }
  return warnings;
}

const RESTART = 'restart Docker, or whatever created it, with the new subnet file, and then the containers';

function formerSubnet(name: string, { ip, length }: Address, own: string): OwnedWarning {
  return {
    id: `${name} ${ip}`,
    code: 'FORMER_SUBNET',
    severity: 'error',
    title: `${name} has an address of a subnet that is not this host's`,
    text: `${ip}/${length} is not in ${own}: containers behind it cannot talk to other hosts`,
    hint: RESTART,
  };
}

function largeMtu(name: string, mtu: number, overlay: number): OwnedWarning {
  return {
    id: `${name} mtu`,
    code: 'BRIDGE_MTU',
    severity: 'info',
    title: `${name} has a larger MTU than the tunnel`,
    text: `its MTU is ${mtu}, and the tunnel carries ${overlay}: larger packets are refused one by one, or fragmented`,
    hint: RESTART,
  };
}
