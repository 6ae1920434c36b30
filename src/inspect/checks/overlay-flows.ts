/** Which packets of the overlay pass this host: between its containers and those of peers, and in the tunnel. */
import type { HostReader } from '../host/host-reader.ts';
import type { Peer } from '../host/peers.ts';
import type { OverlayFlow } from './firewall-flows.ts';
import { type HostStation, linksToPeer, stationsOf } from './stations.ts';
import { type HostUnderlay, underlayOf } from './underlay.ts';

/** More of the peers, and of the containers, rules have no name for. */
const MOST = 64;

export async function overlayFlows(host: HostReader): Promise<OverlayFlow[]> {
  const [peers, stations, underlay, links] = await Promise.all([
    host.peers(),
    stationsOf(host),
    underlayOf(host),
    host.links(),
  ]);
  const up = new Set(links.filter(link => link.up).map(({ name }) => name));
  const flows = peers.slice(0, MOST).map(async (peer, at) => {
    const link = (await linksToPeer(host, peer)).find(name => up.has(name));
    return [
      // Every container once, every peer at least once.
      ...(link === undefined
        ? []
        : containerFlows(peer, link, at === 0 ? stations.slice(0, MOST) : firsts(stations))),
      ...hostFlows(peer, underlay, link),
    ];
  });
  const ofContainers = stations
    .filter(({ ip, port }) => ip.family === 'ipv4' && port !== undefined)
    .slice(0, MOST);
  const arp = ofContainers.flatMap(({ ip, link, port, name }): OverlayFlow[] => {
    const ends = { peer: name, source: ip, destination: ip, ...(port !== undefined && { port }) };
    return [
      { ...ends, kind: 'arp in', input: link.name },
      { ...ends, kind: 'arp out', output: link.name },
    ];
  });
  return [...(await Promise.all(flows)).flat(), ...arp];
}

/** One of each family. */
const firsts = (stations: readonly HostStation[]) =>
  stations.filter(({ ip }, at) => stations.findIndex(each => each.ip.family === ip.family) === at);

function containerFlows(
  { name: peer, subnets }: Peer,
  tunnel: string,
  stations: readonly HostStation[],
): OverlayFlow[] {
  return stations.flatMap(({ ip, link, port }) => {
    const subnet = subnets.find(({ family }) => family === ip.family);
    if (subnet === undefined) return [];
    const there = subnet.ip.plus(2);
    const bridged = port === undefined ? {} : { port };
    const ping = ip.family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
    return ([ping, 'tcp', 'udp'] as const).flatMap((protocol): OverlayFlow[] => [
      {
        kind: 'out',
        peer,
        source: ip,
        destination: there,
        input: link.name,
        output: tunnel,
        protocol,
        ...bridged,
      },
      {
        kind: 'in',
        peer,
        source: there,
        destination: ip,
        input: tunnel,
        output: link.name,
        protocol,
        ...bridged,
      },
    ]);
  });
}

function hostFlows(
  { name: peer, publicIps, subnets }: Peer,
  underlay: HostUnderlay,
  tunnel?: string,
): OverlayFlow[] {
  const { name, ips, port } = underlay;
  if (name === undefined) return [];
  return publicIps.flatMap(there => {
    const here = ips.find(({ family }) => family === there.family);
    if (here === undefined) return [];
    const out = { peer, source: here, destination: there, output: name };
    const back = { peer, source: there, destination: here, input: name };
    const protocol = there.family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
    const isWrapped = tunnel !== undefined && tunnel !== name && port !== undefined;
    const wrapped: OverlayFlow[] = isWrapped
      ? [
          { ...out, kind: 'tunnel out', protocol: 'udp', toPort: port },
          { ...back, kind: 'tunnel in', protocol: 'udp', toPort: port },
        ]
      : [];
    const arp: OverlayFlow[] =
      there.family === 'ipv4'
        ? [
            { ...out, kind: 'arp out' },
            { ...back, kind: 'arp in' },
          ]
        : [];
    const base = subnets.find(({ family }) => family === there.family)?.ip;
    const own: OverlayFlow[] =
      isWrapped && base !== undefined
        ? [{ kind: 'own out', peer, source: here, destination: base, output: tunnel, protocol }]
        : [];
    return [
      ...wrapped,
      ...arp,
      ...own,
      { ...out, kind: 'ping out', protocol },
      { ...back, kind: 'ping in', protocol },
    ];
  });
}
