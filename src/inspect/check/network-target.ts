/** The container of an L2 network that the argument of a check means, by the names that the cluster knows. Pure. */
import type { InspectedContainer } from '../../api/inspection.ts';
import type { NamedContainer } from '../../api/names.ts';
import type { L2NetworkStatus } from '../../api/networks.ts';
import { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { CommandError } from '../../console/errors.ts';
import type { CheckSite, PeerSite } from './site.ts';

/** The L2 networks that this host knows, and who is on them. */
export interface KnownNetworks {
  readonly networks: readonly Pick<L2NetworkStatus, 'name' | 'bridge' | 'mtu'>[];
  /** Of the whole cluster. */
  readonly named: readonly NamedContainer[];
}

export interface NetworkPlace {
  readonly name: string;
  readonly ip: Ip;
}

/** A container on an L2 network, and who is asked for it. */
export interface NetworkTarget {
  /** Name of the network. */
  readonly network: string;
  /** Name of its bridge here; absent while this host has none. */
  readonly bridge?: string;
  /** Bytes of the largest IP packet; 0 where it is not known. */
  readonly mtu: number;
  /** Containers of this host from which is asked: that which is meant, or all on the network. */
  readonly from: readonly NetworkPlace[];
  /** Of other hosts: that which is meant, or some that one of this host should reach. */
  readonly to: readonly (NetworkPlace & { readonly peer: PeerSite })[];
}

/** The overlay among the networks of names. */
const OVERLAY = 'default';
/** Containers of one network that are asked, and ask. */
const ENOUGH = 5;

/**
 * @param own containers of this host
 * @returns undefined for everything else: a host, a container of the overlay, a word that names nothing
 * @throws CommandError USAGE when several are meant
 */
export function findNetworkTarget(
  site: CheckSite,
  which: string | undefined,
  own: readonly InspectedContainer[],
  { networks, named }: KnownNetworks,
): NetworkTarget | undefined {
  if (which === undefined || which === site.host) return undefined;
  if (site.peers.some(({ names }) => names.includes(which))) return undefined;
  const found = matching(site, which, own, named);
  const [first] = found;
  if (first === undefined || found.some(({ network }) => network === OVERLAY)) return undefined;
  const hosts = [...new Set(found.map(({ hostId, hostName }) => hostName ?? hostId))];
  if (hosts.length > 1)
    throw new CommandError(
      'USAGE',
      `several hosts have a container ${which}`,
      `give one of ${hosts.map(host => `${host}/${first.names[0] ?? first.address}`).join(', ')}`,
    );
  const network = networks.find(({ name }) => name === first.network);
  const others = named.filter(one => one.network === first.network && one !== first);
  const [here, there] = [placesOf(own, [first]), peerPlaces(site, [first])];
  return {
    network: first.network,
    ...(network?.bridge !== undefined && { bridge: network.bridge }),
    mtu: network?.mtu ?? 0,
    from: here.length > 0 ? here : placesOf(own, others).slice(0, ENOUGH),
    to: here.length > 0 ? peerPlaces(site, others).slice(0, ENOUGH) : there,
  };
}

function matching(
  { host, subnets, peers }: CheckSite,
  which: string,
  own: readonly InspectedContainer[],
  named: readonly NamedContainer[],
): NamedContainer[] {
  const address = Ip.tryParse(which);
  if (address !== undefined) return named.filter(one => address.equals(Ip.tryParse(one.address)));
  const blocks = valuesOf(subnets);
  const isOverlay = (text: string) => {
    const ip = Ip.tryParse(text);
    return ip !== undefined && blocks.some(block => block.contains(ip));
  };
  // Of this host it is the one on the overlay that a bare name means.
  if (own.some(({ name, addresses }) => name === which && addresses.some(isOverlay))) return [];
  const [first = '', name] = which.split('/');
  if (name === undefined) return named.filter(({ names }) => names.includes(which));
  const peer = peers.find(one => one.names.includes(first));
  const isOn = ({ hostId, hostName }: NamedContainer) =>
    peer === undefined
      ? first === host && hostName === host
      : peer.names.some(one => one === hostId || one === hostName);
  return named.filter(one => one.names.includes(name) && isOn(one));
}

/** Those of this host, whose namespaces can be entered, by what they are called here. */
const placesOf = (own: readonly InspectedContainer[], named: readonly NamedContainer[]): NetworkPlace[] =>
  named.flatMap(({ address }) => {
    const container = own.find(({ addresses }) => addresses.includes(address));
    const ip = Ip.tryParse(address);
    return container === undefined || ip === undefined ? [] : [{ name: container.name, ip }];
  });

const peerPlaces = ({ peers }: CheckSite, named: readonly NamedContainer[]) =>
  named.flatMap(({ address, names, hostId, hostName = hostId }) => {
    const peer = peers.find(one => one.names.includes(hostId) || one.names.includes(hostName));
    const ip = Ip.tryParse(address);
    return peer === undefined || ip === undefined ? [] : [{ name: names[0] ?? address, ip, peer }];
  });
