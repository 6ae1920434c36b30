/** What is in use on this host, and what follows from it for the firewall. */
import type { Prefix } from '../base/prefix.ts';
import type { DesiredFirewall } from '../firewall/rules.ts';
import { familiesOf, type NetworkConfig } from '../subnet/config.ts';
import type { Lease, Subnet } from '../subnet/lease.ts';
import type { HostPlan } from './host-plan.ts';
import type { AgentOptions } from './options.ts';

/** A host that has all it needs: what the firewall and the subnet file are made of. */
export interface Outcome {
  /** While the network goes over to another device, its backend is both. */
  readonly plan: HostPlan;
  readonly lease: Lease;
  /** Every network that this host has, or is on record to have had: what names a block of one is ours. */
  readonly networks: readonly Prefix[];
}

/** The wanted firewall of a host with this lease. */
export function firewallFor(
  { plan, lease, networks }: Outcome,
  options: AgentOptions['firewall'],
): DesiredFirewall {
  const { config } = plan;
  const { addresses } = plan.backend.host(lease.subnet);
  return {
    nftables: config.enableNftables,
    blocks: familiesOf(config).flatMap(family => {
      const network = config[family]?.network;
      const subnet = lease.subnet[family];
      const devices = addresses.flatMap(({ link, address }) => (address.ip.family === family ? [link] : []));
      if (network === undefined || subnet === undefined) return [];
      return [{ network, subnet, ...(devices.length === 0 ? {} : { devices }) }];
    }),
    formerNetworks: networks,
    masquerade: options.masquerade,
    forward: options.forward,
    randomFully: options.randomFully,
  };
}

/** Whether a lease is of this network; after a change of the network the next one will be. */
export function fits(config: NetworkConfig, subnet: Subnet): boolean {
  return familiesOf(config).every(family => {
    const block = subnet[family];
    return block !== undefined && config[family]?.network.contains(block) === true;
  });
}
