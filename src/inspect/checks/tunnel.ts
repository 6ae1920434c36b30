/** The devices of the overlay, and what each peer has in their tables, against the leases. */
import { isObject } from '../../base/fields.ts';
import { FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { FdbEntry, Link, Neighbor } from '../../netlink/route/objects.ts';
import { fdbLine, neighborLine } from '../../netlink/text/entries.ts';
import type { NameOf } from '../../netlink/text/link.ts';
import { boundUdpPorts } from '../../sys/udp-ports.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { KnownLease, Peer } from '../host/peers.ts';
import type { Cause } from './check.ts';
import { deviceCauses, type WantedDevice } from './tunnel-device.ts';
import { underlayOf } from './underlay.ts';

export async function checkTunnel(host: HostReader): Promise<Cause[]> {
  const [links, nameOf, wanted, peers, neighbors, addresses, underlay] = await Promise.all([
    host.links(),
    host.nameOf(),
    wantedDevices(host),
    host.peers(),
    host.neighbors(),
    host.addresses(),
    underlayOf(host),
  ]);
  const around = {
    nameOf,
    ips: underlay.ips,
    own: addresses.map(({ ip }) => ip),
    underlay: underlay.link,
  };
  const causes = await Promise.all(
    wanted.map(async device => {
      const link = links.find(({ name }) => name === device.name);
      const own = deviceCauses(device, link, around);
      if (link?.info?.kind !== 'vxlan' || !link.up) return own;
      const entries = {
        fdb: await host.fdb(link.index),
        neighbors: neighbors.filter(({ index }) => index === link.index),
        nameOf,
      };
      return [...own, ...entryCauses(link, peers, entries)];
    }),
  );
  return [...causes.flat(), ...(await clashes(host, wanted, links))];
}

/** From the agent, and its lease as it is on the disk. */
async function wantedDevices(host: HostReader): Promise<WantedDevice[]> {
  const [status, devices, leases, overlay] = await Promise.all([
    host.status(),
    host.devices(),
    host.leases(),
    host.overlay(),
  ]);
  const own = leases.find(({ subnets }) =>
    subnets.some(subnet => overlay?.subnets.some(block => block.equals(subnet))),
  );
  const leased = own === undefined ? [] : FAMILIES.flatMap(family => leasedDevice(own, family) ?? []);
  const mtu = overlay?.mtu === undefined ? {} : { mtu: overlay.mtu };
  // A lease says more than a list of devices, which may be of a change that was under way.
  const names = status === undefined && leased.length > 0 ? leased.map(({ name }) => name) : devices;
  return names.map(name => ({ ...leased.find(device => device.name === name), name, ...mtu }));
}

/** As flannel names it: `flannel.88`, for IPv6 `flannel-v6.88`. */
function leasedDevice({ attributes, vtepMacs }: KnownLease, family: Family): WantedDevice | undefined {
  const data = attributes.backendData?.[family];
  const vni = isObject(data) ? data['VNI'] : undefined;
  const mac = vtepMacs[family];
  if (attributes.backendType !== 'vxlan' || typeof vni !== 'number') return undefined;
  const { tunnelPort: port, publicIp, sendsFrom } = attributes;
  return {
    name: `flannel${family === 'ipv6' ? '-v6' : ''}.${vni}`,
    vni,
    ...(port !== undefined && { port }),
    ...(mac && { mac }),
    sources: sendsFrom ?? valuesOf(publicIp),
  };
}

interface Entries {
  readonly fdb: readonly FdbEntry[];
  readonly neighbors: readonly Neighbor[];
  readonly nameOf: NameOf;
}

/** What each peer has in the tables of a VXLAN device. */
function entryCauses(link: Link, peers: readonly Peer[], { fdb, neighbors, nameOf }: Entries): Cause[] {
  const common = {
    severity: 'error',
    layer: 'tunnel',
    remedy: 'start the agent, which makes the entries of peers',
  } as const;
  return peers.flatMap(({ name, subnets, publicIps, vtepMacs, links = [link.name] }): Cause[] => {
    const family: Family = link.name.startsWith('flannel-v6') ? 'ipv6' : 'ipv4';
    const subnet = subnets.find(each => each.family === family);
    const mac = vtepMacs[family];
    if (subnet === undefined || mac === undefined || !links.includes(link.name)) return [];
    const whom = `${name} (${subnet})`;
    const entry = neighbors.find(({ ip }) => ip.equals(subnet.ip));
    if (entry?.mac === undefined || !entry.mac.equals(mac)) {
      const line =
        entry === undefined
          ? `ip neigh show ${subnet.ip} dev ${link.name}: nothing`
          : neighborLine(entry, nameOf);
      const what = entry?.mac === undefined ? 'has no' : 'has a wrong';
      const reason = `${whom} ${what} neighbor entry on ${link.name}: its end of the tunnel has the MAC address ${mac}`;
      return [{ ...common, code: 'TUNNEL_NEIGHBOR', reason, evidence: [line] }];
    }
    // A bridge that has the device as a port learns entries of its own there.
    const ways = fdb.filter(each => each.mac.equals(mac) && each.master === undefined);
    // Of several the kernel takes the first.
    const [way] = ways;
    const wrong = way === undefined ? 'nowhere' : wrongWay(way, link, publicIps, nameOf);
    if (wrong === undefined) return [];
    const lines = ways.map(each => fdbLine(each, nameOf));
    const reason = `frames for ${whom} are sent ${wrong}: its address is ${publicIps.join(', ')}`;
    const evidence = lines.length === 0 ? [`bridge fdb show dev ${link.name}: no entry of ${mac}`] : lines;
    return [{ ...common, code: 'TUNNEL_FDB', reason, evidence }];
  });
}

/** What is wrong with the entry of a peer. The kernel has port, VNI and link in it only where they are not those of the device. */
function wrongWay(
  { destination, port, vni, via }: FdbEntry,
  { info }: Link,
  publicIps: readonly Ip[],
  nameOf: NameOf,
): string | undefined {
  if (!publicIps.some(ip => ip.equals(destination))) return 'to a wrong host';
  const own = info?.kind === 'vxlan' ? info : undefined;
  if (via !== undefined && via !== own?.link) return `over ${nameOf(via)}, and not as the host sends to it`;
  if (port !== undefined && port !== own?.port) return `to UDP port ${port}, where it does not listen`;
  if (vni !== undefined && vni !== own?.id) return `with the VNI ${vni}, which it drops`;
  return undefined;
}

/** Others on the UDP port of the tunnel. */
async function clashes(
  host: HostReader,
  wanted: readonly WantedDevice[],
  links: readonly Link[],
): Promise<Cause[]> {
  const own = links.filter(({ name }) => wanted.some(device => device.name === name));
  const ports = new Set([
    ...wanted.flatMap(({ port }) => port ?? []),
    ...own.flatMap(({ info }) => (info?.kind === 'vxlan' ? (info.port ?? []) : [])),
  ]);
  if (ports.size === 0) return [];
  const isUp = own.some(({ info, up }) => info?.kind === 'vxlan' && up);
  const others = links.filter(
    link => link.info?.kind === 'vxlan' && link.up && ports.has(link.info.port ?? 0) && !own.includes(link),
  );
  // Devices of the plain kind share one socket.
  if (others.some(({ info }) => info?.kind === 'vxlan' && info.collectMetadata !== true)) return [];
  // The device's own socket is for any address; while it is not there, every socket on the port is another's.
  const bound = boundUdpPorts(host.netns).filter(
    ({ port, address }) => ports.has(port) && (!isUp || !address.isUnspecified),
  );
  if (bound.length === 0) return [];
  const [{ port } = { port: 0 }] = bound;
  const sockets = await host.output('ss', '-Hlunp', `sport = :${port}`);
  return [
    {
      code: 'PORT_CLASH',
      severity: 'error',
      layer: 'tunnel',
      reason: `another ${others.length > 0 ? `device (${others.map(({ name }) => name).join(', ')})` : 'program'} has UDP port ${port} of the tunnel, and takes its packets`,
      evidence: [
        ...bound.map(({ address, port: each }) => `UDP ${address}:${each}`),
        ...(sockets
          ?.split('\n')
          .filter(line => line !== '')
          .slice(0, 4) ?? []),
        ...others.map(link => `${link.name}: ${link.info?.kind} dstport ${port}`),
      ],
      remedy: 'stop it, or give the network another port (Backend.Port) with `tulle config set`',
    },
  ];
}
