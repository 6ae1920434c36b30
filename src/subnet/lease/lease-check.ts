/**
 * Whether a lease may become part of this host's kernel. Every client that may write to the store can write a lease;
 * one that is outside the network, or sends packets to nowhere or to ourselves, must stop here.
 *
 * What depends on other leases (overlaps, shared addresses) is decided by the PeerTracker.
 */
import { ADDRESS_BITS, type Ip } from '../../base/ip.ts';
import { familiesOf, mapFamilies } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { NetworkConfig } from '../config/config.ts';
import { addressesOf, blocksOf, type Lease, type RejectedLease, type Subnet } from './lease.ts';

/** RFC 791: addresses of this network's own hosts, never seen on the wire. */
const THIS_NETWORK = Prefix.parse('0.0.0.0/8');

export interface CheckContext {
  readonly config: NetworkConfig;
  /** The addresses that this host publishes: a lease with one of them leads back to it. */
  readonly ownAddresses: readonly Ip[];
}

/**
 * The lease with the blocks that this network has (a lease of both families is welcome where only one is on),
 * or why it cannot be used.
 */
export function checkLease(lease: Lease, { config, ownAddresses }: CheckContext): Lease | RejectedLease {
  const { key, createRevision, modRevision } = lease;
  const reject = (reason: string): RejectedLease => ({ key, reason, createRevision, modRevision });

  const subnet = mapFamilies(lease.subnet, (block, family) => config[family] && block);
  const wrong = checkSubnet(subnet, config);
  if (wrong !== undefined) return reject(wrong);

  const addresses = addressesOf(lease.attributes);
  if (addresses.length === 0) return reject('has no public address');
  for (const ip of addresses) {
    const wrong = addressProblem(ip, config);
    if (wrong !== undefined) return reject(`its public address ${ip} ${wrong}`);
  }
  const own = addresses.find(ip => ownAddresses.some(ours => ours.equals(ip)));
  if (own !== undefined) return reject(`its public address ${own} is this host's own`);
  // The same object where nothing is left out: a copy for every peer would be many.
  const isWhole = blocksOf(subnet).length === blocksOf(lease.subnet).length;
  return isWhole ? lease : { ...lease, subnet };
}

/** What is wrong with a subnet in this network, if anything. */
export function checkSubnet(subnet: Subnet, config: NetworkConfig): string | undefined {
  if (blocksOf(subnet).length === 0) {
    return `has no ${familiesOf(config).join(' or ')} subnet, and the network has no other family`;
  }
  for (const block of blocksOf(subnet)) {
    const network = config[block.family]?.network;
    if (network === undefined) return `${block} is of a family that this network does not have`;
    const wrong = blockProblem(block, network);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function blockProblem(block: Prefix, network: Prefix): string | undefined {
  if (!network.contains(block)) return `${block} is outside the network ${network}`;
  // The limits of SubnetLen. A lease may have another length than the configuration, which can have changed
  // since; one that covers half of the network is no subnet of a host.
  if (block.length < network.length + 2) return `${block} is more than a quarter of the network ${network}`;
  if (block.length > ADDRESS_BITS[block.family] - 2) return `${block} is too small for a host`;
  return undefined;
}

function addressProblem(ip: Ip, config: NetworkConfig): string | undefined {
  if (ip.isLoopback) return 'is a loopback address';
  if (ip.isMulticast) return 'is a multicast address';
  if (ip.isLinkLocal) return 'is link-local';
  if (ip.isReserved || THIS_NETWORK.contains(ip)) return 'is reserved';
  if (config[ip.family]?.network.contains(ip) === true) {
    return 'is inside the network itself, so that tunnel packets would enter the tunnel again';
  }
  return undefined;
}
