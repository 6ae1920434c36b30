/** Where containers of the overlay are on this host, and by which links packets for the peers should leave. */
import { ADDRESS_BITS, type Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Peer } from '../host/peers.ts';

/** A container, or an address that one may have: where its packets come in on this host. */
export interface HostStation {
  readonly ip: Ip;
  /** Of the host: the bridge, or the container's own. */
  readonly link: Link;
  /** The container's, or the address. */
  readonly name: string;
  /** Name of the port of the bridge that it is behind. */
  readonly port?: string;
}

/** Containers of the leased subnets; where there are none, an address that one would have. */
export async function stationsOf(host: HostReader): Promise<HostStation[]> {
  const [overlay, containers, links, addresses] = await Promise.all([
    host.overlay(),
    host.containers().catch(() => []),
    host.links(),
    host.addresses(),
  ]);
  const subnets = overlay?.subnets ?? [];
  const bridgeOf = (subnet: Prefix) => {
    const own = addresses.find(({ ip, length }) => subnet.contains(ip) && length < ADDRESS_BITS[ip.family]);
    return links.find(({ index, up }) => index === own?.index && up);
  };
  const stations: HostStation[] = [];
  for (const container of containers) {
    const own = await container.inside.addresses().catch(() => []);
    for (const { inner, outer, bridge } of container.links) {
      for (const { ip, index } of own) {
        const subnet = subnets.find(block => block.contains(ip));
        if (subnet === undefined || index !== inner.index) continue;
        const link = bridgeOf(subnet) ?? bridge ?? outer;
        if (link.up)
          stations.push({ ip, link, name: container.name, ...(link !== outer && { port: outer.name }) });
      }
    }
  }
  for (const subnet of subnets) {
    const link = bridgeOf(subnet);
    const isKnown = stations.some(({ ip }) => subnet.contains(ip));
    if (!isKnown && link !== undefined)
      stations.push({ ip: subnet.ip.plus(2), link, name: `${subnet.ip.plus(2)}` });
  }
  return stations;
}

/** Without an agent: the devices of the overlay by their names, or the way to its address. */
export async function linksToPeer(
  host: HostReader,
  { links, backendType, publicIps }: Peer,
): Promise<readonly string[]> {
  if (links !== undefined) return links;
  if ((await host.status()) !== undefined || backendType === 'extension' || backendType === 'alloc')
    return [];
  const devices = (await host.links()).map(({ name }) => name).filter(name => name.startsWith('flannel'));
  const [ip] = publicIps;
  const underlay = ip === undefined ? undefined : (await host.lookup(ip)).route?.oif;
  const direct = underlay === undefined ? [] : [(await host.nameOf())(underlay)];
  if (backendType === 'vxlan' || backendType === undefined) return devices;
  return backendType === 'host-gw' ? direct : [...devices, ...direct];
}
