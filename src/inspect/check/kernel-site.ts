/**
 * The peers of a host whose agent does not answer: those whose leases it has left on the disk, and what the kernel still has of
 * others. There a peer is a route to a block of the overlay; the gateway's neighbor entry and its FDB entry lead to the underlay
 * address. Names of hosts are not in the kernel.
 */
import { FAMILIES, Ip } from '../../base/ip.ts';
import { byFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { FdbEntry, Link, Neighbor, Route } from '../../netlink/route/objects.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Peer } from '../host/peers.ts';
import type { CheckSite, PeerSite } from './site.ts';

export async function kernelSite(reader: HostReader): Promise<CheckSite> {
  const [leased, host, overlay, links, addresses, routes, neighbors, nexthops] = await Promise.all([
    reader.peers(),
    reader.name(),
    reader.overlay(),
    reader.links(),
    reader.addresses(),
    reader.routes(),
    reader.neighbors(),
    reader.nexthops(),
  ]);
  const { networks = [], subnets = [], mtu = 0 } = overlay ?? {};
  const tunnels = links.filter(({ info }) => info?.kind === 'vxlan' || info?.kind === 'tun');
  const fdb = (await Promise.all(tunnels.map(({ index }) => reader.fdb(index)))).flat();
  const viaOf = (route: Route) => {
    const hop = nexthops.find(({ id }) => id === route.nexthopId) ?? route;
    return { oif: hop.oif ?? route.oif, gateway: hop.gateway ?? route.gateway };
  };
  const found = routes.flatMap(route => {
    const block = route.destination;
    if (block === undefined || !isForeign(block, networks, subnets)) return [];
    const { oif, gateway } = viaOf(route);
    if (gateway === undefined || oif === undefined) return [];
    return peerSite(block, { link: links.find(({ index }) => index === oif), gateway, neighbors, fdb });
  });
  const peers = withLeases(mergedByHost(found), leased);
  const underlayIps = peers.flatMap(peer => Object.values(peer.underlay));
  const underlay = await underlayOf(reader, underlayIps, links);
  return {
    host,
    networks: byFamily(...networks),
    subnets: byFamily(...subnets),
    underlay: underlay.source,
    ...(underlay.link !== undefined && { underlayLink: underlay.link.name }),
    underlayMtu: underlay.link?.mtu ?? 0,
    overlayMtu: mtu,
    tunnel: perFamily(family => {
      const base = subnets.find(subnet => subnet.family === family)?.ip;
      const holder = addresses.find(({ ip }) => base?.equals(ip));
      return links.find(({ index }) => index === holder?.index)?.name;
    }),
    ...tunnelPortOf(tunnels),
    peers,
  };
}

function tunnelPortOf(tunnels: readonly Link[]): Pick<CheckSite, 'tunnelPort'> {
  const [tunnelPort] = tunnels.flatMap(({ info }) => (info?.kind === 'vxlan' ? (info.port ?? []) : []));
  return tunnelPort === undefined ? {} : { tunnelPort };
}

const isForeign = (block: Prefix, networks: readonly Prefix[], own: readonly Prefix[]) =>
  networks.some(network => network.contains(block) && !network.equals(block)) &&
  !own.some(subnet => subnet.overlaps(block));

interface Entries {
  readonly link: Link | undefined;
  readonly gateway: Ip;
  readonly neighbors: readonly Neighbor[];
  readonly fdb: readonly FdbEntry[];
}

function peerSite(block: Prefix, { link, gateway, neighbors, fdb }: Entries): PeerSite[] {
  if (link === undefined) return [];
  const mac = neighbors.find(({ index, ip }) => index === link.index && ip.equals(gateway))?.mac;
  const entry = fdb.find(one => one.index === link.index && mac !== undefined && one.mac.equals(mac));
  const isTunnel = link.info?.kind === 'vxlan';
  const underlay = isTunnel ? entry?.destination : gateway;
  if (underlay === undefined) return [];
  return [
    {
      name: String(underlay),
      names: [String(underlay), String(block)],
      subnets: byFamily(block),
      underlay: byFamily(underlay),
      isTulle: false,
      links: [link.name],
    },
  ];
}

/** What a lease says of a host is right where the kernel has been led astray, or has nothing. */
function withLeases(found: readonly PeerSite[], leased: readonly Peer[]): PeerSite[] {
  const isOf = ({ subnets }: Peer, site: PeerSite) =>
    subnets.some(block => valuesOf(site.subnets).some(own => block.contains(own)));
  const known = leased.map(peer => {
    const { name, subnets, publicIps, backendType } = peer;
    return {
      name,
      names: [...new Set([name, ...publicIps.map(String), ...subnets.map(String)])],
      subnets: byFamily(...subnets),
      underlay: byFamily(...publicIps),
      isTulle: false,
      ...(backendType !== undefined && { backend: backendType }),
      links: [...new Set(found.filter(site => isOf(peer, site)).flatMap(({ links }) => links))],
    };
  });
  return [...known, ...found.filter(site => !leased.some(peer => isOf(peer, site)))];
}

/** Both families of one host. */
function mergedByHost(peers: readonly PeerSite[]): PeerSite[] {
  return [...Map.groupBy(peers, ({ name }) => name).values()].flatMap(same => {
    const [first] = same;
    if (first === undefined) return [];
    return [
      {
        ...first,
        names: [...new Set(same.flatMap(({ names }) => names))],
        subnets: perFamily(family => same.find(({ subnets }) => subnets[family])?.subnets[family]),
        links: [...new Set(same.flatMap(({ links }) => links))],
      },
    ];
  });
}

/** The link and the address from which the kernel sends to the peers. */
async function underlayOf(reader: HostReader, peers: readonly Ip[], links: readonly Link[]) {
  const found = await Promise.all(
    FAMILIES.map(async family => {
      const to = peers.find(ip => ip.family === family);
      return to === undefined ? undefined : (await reader.lookup(to)).route;
    }),
  );
  const routes = found.filter(route => route !== undefined);
  return {
    source: byFamily(...routes.flatMap(({ preferredSource = [] }) => preferredSource)),
    link: links.find(({ index }) => index === routes[0]?.oif),
  };
}
