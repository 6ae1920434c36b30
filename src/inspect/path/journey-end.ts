/** The two ends of a journey: hosts and containers, by name or address. */
import type { InspectedContainer, InspectionReport } from '../../api/inspection.ts';
import { ADDRESS_BITS, Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import { CommandError } from '../../console/errors.ts';
import { type CheckSite, noPeersHint, type PeerSite } from '../check/site.ts';

export interface JourneyEnd {
  /** Name of the host; absent for an address that belongs to none. */
  readonly host?: string;
  /** Absent for this host, and where there is no host. */
  readonly peer?: PeerSite;
  /** Absent for the host itself, and where its name is not known. */
  readonly container?: string;
  /** What it may be spoken to by, what is meant most likely first. */
  readonly addresses: readonly Ip[];
}

export interface ReachableHosts {
  readonly site: CheckSite;
  /** Of this host. */
  readonly containers: readonly InspectedContainer[];
  readonly ownAddresses: readonly Ip[];
  /** What the agent of a peer says of it; undefined where it cannot be asked. */
  readonly ask: (
    peer: PeerSite,
  ) => Promise<Pick<InspectionReport, 'containers' | 'bridgeAddresses'> | undefined>;
}

/** Agents that are asked for a container by its name alone. */
const MOST_ASKED = 16;

/** @throws CommandError NOT_FOUND; USAGE when several are meant */
export async function findEnd(known: ReachableHosts, word: string): Promise<JourneyEnd> {
  const address = Ip.tryParse(word);
  if (address !== undefined) return await byAddress(known, address);
  const [first = '', ...rest] = word.split('/');
  if (rest.length > 0) return await onHost(known, first, rest.join('/'));
  const { site, containers } = known;
  const own = containers.filter(({ name }) => name === word);
  const peers = site.peers.filter(({ names }) => names.includes(word));
  const [peer] = peers;
  if (own[0] !== undefined && peer === undefined) return containerEnd(site, own[0], undefined);
  if (own.length > 0) throw several(word, [`${site.host}/${word}`, `the host ${word}`]);
  if (word === site.host) return { host: site.host, addresses: hostAddresses(known) };
  if (peer !== undefined) return { host: peer.name, peer, addresses: peerAddresses(peer) };
  const found = await askPeers(known, ({ name }) => name === word);
  const [only, ...others] = found.map(one => containerEnd(site, one.container, one.peer));
  if (only === undefined)
    throw new CommandError(
      'NOT_FOUND',
      `there is no host and no container ${JSON.stringify(word)}`,
      site.peers.length === 0
        ? hostsHint(site)
        : `${hostsHint(site)}; a container is HOST/NAME, or give an address`,
    );
  if (others.length > 0)
    throw several(
      word,
      [only, ...others].map(({ host }) => `${host}/${word}`),
    );
  return only;
}

async function byAddress(known: ReachableHosts, address: Ip): Promise<JourneyEnd> {
  const { site, containers, ownAddresses } = known;
  const addresses = [address];
  const own = containers.find(one => one.addresses.includes(String(address)));
  if (own !== undefined) return { host: site.host, container: own.name, addresses };
  if (ownAddresses.some(ip => ip.equals(address))) return { host: site.host, addresses };
  const peer = site.peers.find(
    ({ underlay, subnets }) =>
      valuesOf(underlay).some(ip => ip.equals(address)) ||
      valuesOf(subnets).some(subnet => subnet.contains(address)),
  );
  if (peer !== undefined) return { host: peer.name, peer, addresses };
  // Of an L2 network, perhaps.
  const [found] = await askPeers(known, one => one.addresses.includes(String(address)));
  return found === undefined
    ? { addresses }
    : { host: found.peer.name, peer: found.peer, container: found.container.name, addresses };
}

/** The first container of each peer that fits, as far as their agents can be asked. */
async function askPeers(
  { site, ask }: ReachableHosts,
  fits: (container: InspectedContainer) => boolean,
): Promise<{ readonly peer: PeerSite; readonly container: InspectedContainer }[]> {
  const found = await Promise.all(
    site.peers.slice(0, MOST_ASKED).map(async peer => {
      const container = (await ask(peer))?.containers.find(fits);
      return container === undefined ? [] : [{ peer, container }];
    }),
  );
  return found.flat();
}

async function onHost(known: ReachableHosts, host: string, name: string): Promise<JourneyEnd> {
  const { site } = known;
  const peer = site.peers.find(({ names }) => names.includes(host));
  if (peer === undefined && host !== site.host)
    throw new CommandError('NOT_FOUND', `there is no host ${JSON.stringify(host)}`, hostsHint(site));
  const report = peer === undefined ? known : await known.ask(peer);
  const address = Ip.tryParse(name);
  const container = report?.containers.find(one =>
    address === undefined ? one.name === name : one.addresses.includes(String(address)),
  );
  if (container !== undefined) {
    const end = containerEnd(site, container, peer);
    return address === undefined ? end : { ...end, addresses: [address] };
  }
  if (address !== undefined)
    return { host: peer?.name ?? site.host, ...(peer && { peer }), addresses: [address] };
  throw new CommandError(
    'NOT_FOUND',
    report === undefined
      ? `${host} cannot be asked which address its container ${name} has`
      : `${host} has no container ${JSON.stringify(name)}`,
    report === undefined ? 'give the address of the container' : namesHint(report.containers),
  );
}

function containerEnd(
  site: CheckSite,
  container: InspectedContainer,
  peer: PeerSite | undefined,
): JourneyEnd {
  const blocks = valuesOf(peer?.subnets ?? site.subnets);
  const addresses = container.addresses
    .flatMap(text => Ip.tryParse(text) ?? [])
    .filter(ip => !ip.isLinkLocal && !ip.isLoopback);
  const isOverlay = (ip: Ip) => blocks.some(block => block.contains(ip));
  if (addresses.length === 0)
    throw new CommandError('NOT_FOUND', `${container.name} has no address`, 'a packet needs one');
  return {
    host: peer?.name ?? site.host,
    ...(peer !== undefined && { peer }),
    container: container.name,
    addresses: [...addresses.filter(isOverlay), ...addresses.filter(ip => !isOverlay(ip))],
  };
}

/** What the host itself sends with, over the tunnel where there is one. */
const hostAddresses = ({ site, ownAddresses }: ReachableHosts): Ip[] => [
  ...valuesOf(site.underlay),
  ...ownAddresses.filter(ip => !ip.isLinkLocal && !ip.isLoopback),
];
const peerAddresses = ({ underlay, subnets }: PeerSite): Ip[] => [
  ...valuesOf(underlay),
  ...valuesOf(subnets).map(({ ip }) => ip),
];

/**
 * An address of each end, of one family: of the receiver the first that the sender has one for, of the sender the one that
 * is nearest to it.
 *
 * @throws CommandError USAGE; NOT_FOUND when nothing is known of both
 */
export function addressPair(from: JourneyEnd, to: JourneyEnd): { readonly from: Ip; readonly to: Ip } {
  if (from.host === undefined && to.host === undefined)
    throw new CommandError(
      'NOT_FOUND',
      `neither ${from.addresses.join(', ')} nor ${to.addresses.join(', ')} is of a host or container that is known here`,
      'one of the two ends has to be: `tulle lease list` shows the subnets of the hosts',
    );
  for (const target of to.addresses) {
    const [source] = from.addresses
      .filter(({ family }) => family === target.family)
      .toSorted((one, other) => commonBits(other, target) - commonBits(one, target));
    if (source !== undefined) return { from: source, to: target };
  }
  throw new CommandError(
    'USAGE',
    `no packet goes from ${from.addresses.join(', ')} to ${to.addresses.join(', ')}`,
    'both ends need an address of one family',
  );
}

/** How many leading bits two addresses of one family have in common. */
function commonBits(one: Ip, other: Ip): number {
  const differing = one.toBigInt() ^ other.toBigInt();
  return ADDRESS_BITS[one.family] - (differing === 0n ? 0 : differing.toString(2).length);
}

/** What a person calls it: `docker2/c1`, `docker2`; undefined for an address of nobody that is known. */
export const endName = ({ host, container }: JourneyEnd): string | undefined =>
  host === undefined || container === undefined ? host : `${host}/${container}`;

const several = (word: string, which: readonly string[]): CommandError =>
  new CommandError(
    'USAGE',
    `${JSON.stringify(word)} may be several things`,
    `give one of ${which.join(', ')}`,
  );

const hostsHint = (site: CheckSite): string =>
  site.peers.length === 0
    ? noPeersHint(site, 'trace')
    : `hosts are ${[site.host, ...site.peers.map(({ name }) => name)].slice(0, 10).join(', ')}`;

const namesHint = (containers: readonly InspectedContainer[]): string =>
  containers.length === 0
    ? 'it has no containers'
    : `it has ${containers
        .map(({ name }) => name)
        .slice(0, 10)
        .join(', ')}`;
