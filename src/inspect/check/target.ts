/** The hosts and containers that the argument of a check means. Pure. */
import type { InspectedContainer } from '../../api/inspection.ts';
import { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { CommandError } from '../../console/errors.ts';
import { type CheckSite, noPeersHint, type PeerSite } from './site.ts';

export interface CheckTarget {
  /** Peers whose ladders are climbed. */
  readonly peers: readonly PeerSite[];
  /** Address of a container of the peer. */
  readonly wanted?: Ip;
  /** Name of a container of this host, from which alone is asked. */
  readonly container?: string;
}

/** Containers of peers, by name of the peer, as far as they were asked. */
export type KnownContainers = ReadonlyMap<string, readonly InspectedContainer[]>;

/** Peers that a check of this host, or of a container on it, asks: one answer would do, and one silent peer proves nothing. */
const ENOUGH_PEERS = 5;

/**
 * @param which undefined for this host and all peers
 * @param own containers of this host
 * @returns undefined for a word that may be the name of a container of a peer
 */
export function findCheckTarget(
  site: CheckSite,
  which: string | undefined,
  own: readonly InspectedContainer[],
): CheckTarget | undefined {
  if (which === undefined) return { peers: site.peers };
  const some = site.peers.slice(0, ENOUGH_PEERS);
  const address = Ip.tryParse(which);
  const peers = site.peers.filter(({ names }) => names.includes(which));
  if (peers.length > 0) return { peers };
  const container = own.find(({ name, addresses }) => name === which || addresses.includes(which));
  if (container !== undefined) return { peers: some, container: container.name };
  const isOwn =
    which === site.host ||
    valuesOf(site.subnets).some(
      subnet => String(subnet) === which || (address !== undefined && subnet.contains(address)),
    ) ||
    valuesOf(site.underlay).some(ip => String(ip) === which);
  if (isOwn) return { peers: some };
  const holder =
    address && site.peers.find(({ subnets }) => valuesOf(subnets).some(subnet => subnet.contains(address)));
  if (holder !== undefined && address !== undefined) return { peers: [holder], wanted: address };
  const [host = '', name] = which.split('/');
  const named = site.peers.filter(({ names }) => names.includes(host));
  if (address !== undefined || (which.includes('/') && (name === undefined || named.length === 0)))
    throw unknown(site, which);
  return undefined;
}

/** The container of a peer with this name, `c1` or `docker2/c1`. @throws CommandError NOT_FOUND, or USAGE when several are meant */
export function findByContainer(site: CheckSite, which: string, known: KnownContainers): CheckTarget {
  const [first = '', second] = which.split('/');
  const found = site.peers.flatMap(peer =>
    second !== undefined && !peer.names.includes(first)
      ? []
      : (known.get(peer.name) ?? [])
          .filter(({ name }) => name === (second ?? first))
          .flatMap(container => {
            const address = container.addresses
              .flatMap(text => Ip.tryParse(text) ?? [])
              .find(ip => valuesOf(peer.subnets).some(subnet => subnet.contains(ip)));
            return address === undefined ? [] : [{ peer, address }];
          }),
  );
  const [one] = found;
  const stray = one === undefined ? strayHolder(site, which, known) : undefined;
  if (stray !== undefined) return { peers: [stray] };
  if (one === undefined) throw unknown(site, which, known);
  if (found.length > 1)
    throw new CommandError(
      'USAGE',
      `several hosts have a container ${which}`,
      `give one of ${found.map(({ peer }) => `${peer.name}/${second ?? first}`).join(', ')}`,
    );
  return { peers: [one.peer], wanted: one.address };
}

/** The peer whose container of this name has an address of the overlay that is not of its host: a look at the host finds it. */
function strayHolder(site: CheckSite, which: string, known: KnownContainers): PeerSite | undefined {
  const [host = '', name = host] = which.split('/');
  const isInside = (text: string) => {
    const address = Ip.tryParse(text);
    return address !== undefined && valuesOf(site.networks).some(block => block.contains(address));
  };
  return site.peers.find(
    peer =>
      (name === which || peer.names.includes(host)) &&
      known.get(peer.name)?.some(one => one.name === name && one.addresses.some(isInside)),
  );
}

/** Names that a hint has room for. */
const ENOUGH_NAMES = 8;

function unknown(site: CheckSite, which: string, known: KnownContainers = new Map()): CommandError {
  const networks = valuesOf(site.networks);
  const address = Ip.tryParse(which);
  const hosts = [site.host, ...site.peers.map(({ name }) => name)];
  const all =
    site.peers.length === 0
      ? noPeersHint(site, 'check')
      : `hosts: ${listed(hosts)}; also an underlay address, a subnet, an address in it, or a container as HOST/NAME`;
  if (address !== undefined) {
    const isOutside = networks.length > 0 && !networks.some(block => block.contains(address));
    const where = isOutside ? `inside the network ${networks.join(' ')}` : 'in the subnet of one';
    return new CommandError('NOT_FOUND', `${which} is neither an address of a host nor ${where}`, all);
  }
  const [host = '', name] = which.split('/');
  const peer = site.peers.find(({ names }) => names.includes(host));
  if (name === undefined) return new CommandError('NOT_FOUND', `no host or container is named ${which}`, all);
  if (peer === undefined) return new CommandError('NOT_FOUND', `no other host is named ${host}`, all);
  const theirs = known.get(peer.name) ?? [];
  if (theirs.some(one => one.name === name))
    return new CommandError(
      'NOT_FOUND',
      `${name} of ${peer.name} is on no network of Tulle: no packet of this host should reach it`,
      'a check takes containers of the overlay and of L2 networks: see `tulle names`',
    );
  const containers = theirs.map(one => one.name);
  return new CommandError(
    'NOT_FOUND',
    `${peer.name} has no container ${name} that is known here`,
    containers.length === 0 ? 'give the address of the container' : `it has ${listed(containers)}`,
  );
}

const listed = (names: readonly string[]): string =>
  names.length <= ENOUGH_NAMES
    ? names.join(', ')
    : `${names.slice(0, ENOUGH_NAMES).join(', ')} and ${names.length - ENOUGH_NAMES} more`;
