/** The networks on this host: what each wants, and which links it has. */
import type { DesiredHost, PeerPath } from '../desired.ts';
import type { LinkSpec } from '../links/host-link.ts';
import type { LinkReport } from '../report.ts';
import type { NetworkRank } from '../tables/entry.ts';
import { DesiredPeers } from './desired-peers.ts';
import type { OwnedPath } from './path-entries.ts';

const NOTHING: DesiredHost = { networks: [], links: [], addresses: [], sysctls: [] };

export class DesiredNetwork implements NetworkRank {
  readonly name: string;
  readonly rank: number;
  host = NOTHING;
  readonly peers = new DesiredPeers();

  /** @param rank its place in the order in which networks began. */
  constructor(name: string, rank: number) {
    this.name = name;
    this.rank = rank;
  }
}

/** A link, and the networks that use it: more than one of a link of the host only. */
export interface AssignedLink {
  readonly spec: LinkSpec;
  readonly users: readonly DesiredNetwork[];
}

/** By name. A link of our own belongs to the first network that wants the name. @param networks in the order of their ranks */
export function assignLinks(networks: Iterable<DesiredNetwork>): ReadonlyMap<string, AssignedLink> {
  const assigned = new Map<string, AssignedLink>();
  for (const network of networks) {
    for (const link of network.host.links) {
      const { name, kind } = link;
      const other = assigned.get(name);
      if (other === undefined) assigned.set(name, { spec: specOf(network, link), users: [network] });
      else if (kind === 'existing' && other.spec.link.kind === 'existing') {
        assigned.set(name, { ...other, users: [...other.users, network] });
      }
    }
  }
  return assigned;
}

function specOf({ name: network, host }: DesiredNetwork, link: LinkSpec['link']): LinkSpec {
  const { networks } = host;
  const addresses = host.addresses.filter(address => address.link === link.name);
  const sysctls = host.sysctls.filter(sysctl => sysctl.link === link.name);
  return { network, link, addresses, sysctls, networks };
}

/** Links that a network wants and another one has. */
export function* refusedLinks(
  network: DesiredNetwork,
  links: ReadonlyMap<string, AssignedLink>,
): Generator<LinkReport & { readonly reason: string }> {
  for (const { name, kind } of network.host.links) {
    const { spec, users = [] } = links.get(name) ?? {};
    if (users.includes(network)) continue;
    const reason = `network ${spec?.network} has a link of this name`;
    const hint = 'choose another name for one of them';
    yield { network: network.name, name, kind, inSync: false, reason, code: 'LINK_OF_ANOTHER_NETWORK', hint };
  }
}

/** Why a path of a network cannot be programmed; undefined when its link is there for the network. */
export function pathObstacle(
  network: DesiredNetwork,
  { subnet, link }: PeerPath,
  links: ReadonlyMap<string, AssignedLink>,
): string | undefined {
  const { spec, users = [] } = links.get(link) ?? {};
  if (users.includes(network)) return undefined;
  const what = spec === undefined ? 'is no desired link' : `belongs to network ${spec.network}`;
  return `${subnet} cannot be routed over ${link}, which ${what}`;
}

/** How many paths of a network cannot be programmed for want of a link. */
export function pathsWithoutLink(network: DesiredNetwork, links: ReadonlyMap<string, AssignedLink>): number {
  let sum = 0;
  for (const [link, count] of network.peers.links()) {
    if (links.get(link)?.users.includes(network) !== true) sum += count;
  }
  return sum;
}

/** All paths of these networks over a link. */
export function* pathsOf(networks: readonly DesiredNetwork[], link: string): Generator<OwnedPath> {
  for (const network of networks) {
    for (const [peer, path] of network.peers.over(link)) yield { network, peer, path };
  }
}
