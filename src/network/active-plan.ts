/** What is in use on this host, and what follows from it for the firewall. */

import type { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';
import type { DesiredFirewall } from '../firewall/desired.ts';
import { familiesOf, type NetworkConfig } from '../subnet/config/config.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { BridgeAddress } from './bridges.ts';
import type { HostPlan } from './host-plan.ts';
import type { FirewallPolicy } from './options.ts';

/** A host that has all it needs: what the firewall and the subnet file are made of. */
export interface ActivePlan {
  /** While the network goes over to another device, its backend is both. */
  readonly plan: HostPlan;
  readonly lease: Lease;
  /** Every network that this host has, or is on record to have had: what names a block of one is ours. */
  readonly networks: readonly Prefix[];
}

/** What the firewall needs to know of others. */
export interface Surroundings {
  readonly bridges: readonly BridgeAddress[];
  /** Where tunnel packets of peers come from. */
  readonly peers: readonly Ip[];
}

/** The wanted firewall of a host with this lease. */
export function firewallFor(
  { plan, lease, networks }: ActivePlan,
  options: FirewallPolicy,
  { bridges, peers }: Surroundings,
): DesiredFirewall {
  const { config, underlay } = plan;
  const { addresses, links } = plan.backend.host(lease.subnet);
  const ports = new Set(links.map(({ port }) => port));
  return {
    nftables: config.enableNftables,
    blocks: familiesOf(config).flatMap(family => {
      const network = config[family]?.network;
      const subnet = lease.subnet[family];
      const devices = addresses.flatMap(({ link, address }) => (address.ip.family === family ? [link] : []));
      if (network === undefined || subnet === undefined) return [];
      const behind = bridges.filter(({ ip }) => subnet.contains(ip)).map(({ link }) => link);
      return [
        {
          network,
          subnet,
          ...(devices.length > 0 && { devices }),
          ...(behind.length > 0 && { bridges: behind }),
        },
      ];
    }),
    formerNetworks: networks,
    masquerade: options.masquerade,
    forward: options.forward,
    randomFully: options.randomFully,
    tunnel: {
      link: underlay.link.name,
      ports: [...ports],
      own: [underlay.ipv4, underlay.ipv6].filter(ip => ip !== undefined),
      peers,
      isOpened: options.openPort,
    },
  };
}

/** Whether a lease is of this network; after a change of the network the next one will be. */
export function fits(config: NetworkConfig, subnet: Subnet): boolean {
  return familiesOf(config).every(family => {
    const block = subnet[family];
    return block !== undefined && config[family]?.network.contains(block) === true;
  });
}
