/** The plan in use on this host with its lease, and the state it asks for. */

import { defined } from '../base/defined.ts';
import type { Ip } from '../base/ip.ts';
import { familiesOf, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import type { DesiredHost } from '../dataplane/desired.ts';
import type { DesiredFirewall } from '../firewall/desired.ts';
import type { NetworkConfig } from '../subnet/config/config.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import { formatSubnetEnv } from '../subnet/subnet-env.ts';
import type { BridgeAddress } from './bridges.ts';
import type { DesiredForwarder } from './forwarder-target.ts';
import type { HostPlan } from './host-plan.ts';
import type { FirewallPolicy } from './options.ts';

export interface ActivePlan {
  /** During a handover its backend is both. */
  readonly plan: HostPlan;
  readonly lease: Lease;
  /** What the kernel of this host needs for it. */
  readonly host: DesiredHost;
}

/** @param networks those that this host has or had: a device or file that names a block of one is ours */
export function activate(plan: HostPlan, lease: Lease, networks: readonly Prefix[]): ActivePlan {
  return { plan, lease, host: { ...plan.backend.host(lease.subnet), networks } };
}

/** What this host needs of a program that moves packets in user space. */
export function forwarderFor({ plan, host }: ActivePlan): DesiredForwarder | 'none' {
  const { forwarder } = plan.backend;
  if (forwarder === undefined) return 'none';
  const own = host.addresses.filter(({ link }) => link === forwarder.device).map(({ address }) => address.ip);
  return { ...forwarder, own };
}

/**
 * The desired firewall of a host with this plan.
 * @param bridges addresses of its subnet on bridges
 * @param peers source addresses of the tunnel packets of peers
 */
export function firewallFor(
  { plan, lease, host }: ActivePlan,
  policy: FirewallPolicy,
  bridges: readonly BridgeAddress[],
  peers: readonly Ip[],
): DesiredFirewall {
  const { config, underlay } = plan;
  const ports = new Set([
    ...host.links.flatMap(link => (link.kind === 'vxlan' ? [link.port] : [])),
    ...(plan.backend.forwarder?.listen ?? []).map(({ port }) => port),
  ]);
  return {
    nftables: config.enableNftables,
    blocks: familiesOf(config).flatMap(family => {
      const network = config[family]?.network;
      const subnet = lease.subnet[family];
      // Packets of other hosts come in over links with an address of the subnet, and straight over links of this host.
      const own = host.addresses.filter(({ address }) => address.ip.family === family);
      const direct = host.links.filter(({ kind }) => kind === 'existing');
      const devices = [...own.map(({ link }) => link), ...direct.map(({ name }) => name)];
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
    formerNetworks: host.networks,
    masquerade: policy.masquerade,
    forward: policy.forward,
    randomFully: policy.randomFully,
    tunnel: {
      link: underlay.link.name,
      ports: [...ports],
      own: valuesOf(underlay.ip),
      peers,
      ...defined({ apiPort: plan.attributes.peerApiPort }),
      isOpened: policy.openPort,
    },
  };
}

/** The content of the subnet file for Docker and CNI. */
export function subnetEnvFor({ plan, lease }: ActivePlan, { masquerade }: FirewallPolicy): string {
  const { config, backend } = plan;
  return formatSubnetEnv({ config, subnet: lease.subnet, mtu: backend.overlayMtu, masquerade });
}

/** Whether a lease is of this network; after a change of the network the next one will be. */
export function fits(config: NetworkConfig, subnet: Subnet): boolean {
  return familiesOf(config).every(family => {
    const block = subnet[family];
    return block !== undefined && config[family]?.network.contains(block) === true;
  });
}
