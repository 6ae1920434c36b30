/**
 * auto: vxlan, and for each peer the best way that works. A host publishes what a vxlan host does, so that flannel's reach
 * it and are reached over VXLAN, and besides which other ways it has:
 *
 *     direct   a route to the peer's host, for one on the underlay's link, as the backend host-gw
 *     vxlan    as the backend vxlan
 *     udp      as the backend udp, where a firewall drops VXLAN
 *
 * Which of them works is not known here (src/network/ways). The MTU is that of VXLAN, which has the most overhead, so that
 * containers notice nothing of a change.
 */
import { defined } from '../base/defined.ts';
import type { Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import type { Ip } from '../base/ip.ts';
import { familiesOf, mapFamilies, type PerFamily, perFamily, valuesOf } from '../base/per-family.ts';
import type { PeerPath } from '../dataplane/desired.ts';
import { type NetworkConfig, networksOf } from '../subnet/config/config.ts';
import type { Lease, PublishedWays } from '../subnet/lease/lease.ts';
import type { Backend, BackendContext, PeerPlan, Underlay } from './backend.ts';
import { directPath, existingUnderlay } from './host-gw.ts';
import { looseFilter } from './loose-filter.ts';
import { portOption, unusedOptions } from './options.ts';
import { Topology } from './topology.ts';
import { DEFAULT_UDP_PORT, udpBackend, udpPath } from './udp.ts';
import { vxlanBackend } from './vxlan.ts';
import { readVxlanDevice, type VxlanOptions } from './vxlan-options.ts';
import { bestWay, type PeerWays, pathsOver } from './ways.ts';

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function autoBackend(context: BackendContext): Backend {
  const { config, underlay } = context;
  const { options } = config.backend;
  const { port = context.defaultVxlanPort, ...parsed } = parseAutoOptions(options, []);
  const { hasTun = true } = context;
  const udpPort = hasTun ? parsed.udpPort : undefined;
  // DirectRouting is for flannel hosts, too, which keep their way.
  const vxlan = vxlanBackend(withOptions(context, { ...options, DirectRouting: false }));
  const udp = udpPort === undefined ? undefined : udpBackend(withOptions(context, { Port: udpPort }));
  const topology = new Topology(underlay.routes ?? []);
  const names = { direct: 'the direct route', vxlan: `VXLAN (UDP ${port})`, udp: `UDP ${udpPort ?? ''}` };

  const waysTo = (tunnel: PeerPath, published: PublishedWays): PeerWays => {
    const { subnet, underlayIp } = tunnel;
    const obstacles = {
      direct: directObstacle(topology, underlayIp, published, underlay),
      udp: udpObstacle(parsed.udpPort, hasTun, published),
    };
    return {
      subnet,
      paths: {
        vxlan: tunnel,
        ...(obstacles.direct === undefined && { direct: directPath(tunnel, underlay) }),
        ...(published.udp !== undefined &&
          udpPort !== undefined && {
            udp: udpPath({ subnet, underlayIp, tunnelPort: published.udp }, udpPort),
          }),
      },
      obstacles: defined(obstacles),
      names,
    };
  };
  /** The lease that was considered last: its ways are asked for, and then the paths of those chosen. */
  let known: { lease: Lease; plan: PeerPlan; ways: PerFamily<PeerWays> } | undefined;
  const consider = (lease: Lease) => {
    if (known?.lease === lease) return known;
    const plan = vxlan.peer(lease);
    const { ways: published } = lease.attributes;
    const ways = perFamily(family => {
      const tunnel = plan.paths.find(({ subnet }) => subnet.family === family);
      return published && tunnel && waysTo(tunnel, published);
    });
    known = { lease, plan, ways };
    return known;
  };
  return {
    type: 'auto',
    needsRoutes: true,
    overlayMtu: vxlan.overlayMtu,
    mtuParts: vxlan.mtuParts,
    leftOut: vxlan.leftOut,
    reduced: vxlan.reduced,
    attributes: () => ({
      ...vxlan.attributes(),
      ways: { direct: takesDirect(context), ...defined({ udp: udpPort }) },
    }),
    host: own => {
      const hosts = [vxlan.host(own), ...(udp === undefined ? [] : [udp.host(own)])];
      const addresses = hosts.flatMap(host => host.addresses);
      return {
        networks: networksOf(config),
        links: [...hosts.flatMap(({ links }) => links), existingUnderlay(underlay)],
        addresses,
        sysctls: [...hosts.flatMap(({ sysctls }) => sysctls), ...addresses.flatMap(looseFilter)],
      };
    },
    ...(udp?.forwarder !== undefined && { forwarder: udp.forwarder }),
    ways: lease => consider(lease).ways,
    peer(lease, chosen = {}) {
      const { plan, ways } = consider(lease);
      if (familiesOf(ways).length === 0) return plan;
      const paths = mapFamilies(ways, (one, family) =>
        pathsOver(one, chosen[family] ?? { inUse: bestWay(one) }),
      );
      return { ...plan, paths: valuesOf(paths).flat() };
    },
  };
}

function withOptions(context: BackendContext, options: NetworkConfig['backend']['options']): BackendContext {
  return { ...context, config: { ...context.config, backend: { ...context.config.backend, options } } };
}

/** Why packets for a peer cannot be sent to its host as they are. */
function directObstacle(
  topology: Topology,
  peer: Ip,
  { direct }: PublishedWays,
  { link }: Underlay,
): string | undefined {
  if (!direct) return 'its public address is not its own';
  const route = topology.routeTo(peer);
  if (route === undefined) return `this host has no route to ${peer}`;
  if (route.gateway !== undefined) return `it is behind the router ${route.gateway}`;
  return route.link === link.index ? undefined : `it is not on the link of ${link.name}`;
}

/** A host whose public addresses are not its own is behind a NAT, which knows nothing of subnets. */
const takesDirect = ({ config, underlay: { ip, publicIp } }: BackendContext): boolean =>
  familiesOf(config).every(family => ip[family] !== undefined && ip[family].key === publicIp[family]?.key);

function udpObstacle(
  wanted: number | undefined,
  hasTun: boolean,
  { udp }: PublishedWays,
): string | undefined {
  if (wanted === undefined) return 'UDP is false in the configuration';
  if (!hasTun) return 'this host has no /dev/net/tun';
  return udp === undefined ? 'it has no forwarder' : undefined;
}

export interface AutoOptions extends Omit<VxlanOptions, 'directRouting'> {
  /** Of the forwarder; absent when there is to be none. */
  readonly udpPort?: number;
}

/** Appends to `problems` whatever is wrong, and to `warnings` what has no effect. */
export function parseAutoOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[] = [],
): AutoOptions {
  const fields = new Fields(options, 'Backend', problems);
  const device = readVxlanDevice(fields);
  const isUdpWanted = fields.flag('UDP') ?? true;
  const udpPort = portOption(fields, 'UDPPort') ?? DEFAULT_UDP_PORT;
  if (isUdpWanted && udpPort === device.port) {
    const message = 'is the port of VXLAN, too';
    problems.push({ path: 'Backend.UDPPort', value: udpPort, message, hint: 'choose another one' });
  }
  warnings.push(...unusedOptions(fields, 'auto'));
  return { ...device, ...(isUdpWanted && { udpPort }) };
}
