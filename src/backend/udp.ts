/**
 * udp as flannel does it (flannel pkg/backend/udp): each packet in a UDP datagram, without a header, through a program in
 * user space (src/forwarder). It works where the kernel has no VXLAN or a firewall drops it.
 *
 *     route    peer subnet -> the TUN device flannel0     (which packets)
 *     tunnel   peer subnet -> underlay address and port   (where the program sends them)
 *
 * Flannel routes the whole network to the device. With a route per peer the sender learns at once that a subnet has no host.
 */
import { ConfigError, type Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import { familiesOf, mapFamilies, valuesOf } from '../base/per-family.ts';
import type { DesiredHost, PeerPath } from '../dataplane/desired.ts';
import { networksOf } from '../subnet/config/config.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { Backend, BackendContext } from './backend.ts';
import { baseAddress } from './base-address.ts';
import { portOption, unusedOptions } from './options.ts';
import { type PeerFamily, planPeer } from './peer-plan.ts';
import { fitUnderlay, mtuPartsOf } from './underlay-fit.ts';

/** Flannel's device, and its port. */
const UDP_DEVICE = 'flannel0';
export const DEFAULT_UDP_PORT = 8285;

/** Outer IP header and 8 bytes of UDP. */
const UDP_OVERHEAD = { ipv4: 20 + 8, ipv6: 40 + 8 } as const;

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function udpBackend(context: BackendContext): Backend {
  const { config, underlay } = context;
  const problems: Problem[] = [];
  const { port } = parseUdpOptions(config.backend.options, problems);
  const { mtu, leftOut, reduced, ...fit } = fitUnderlay(context, UDP_OVERHEAD);
  problems.push(...fit.problems);
  if (problems.length > 0) throw new ConfigError('udp backend', problems);
  const overlayMtu = Math.min(...valuesOf(mtu));
  const listen = valuesOf(mapFamilies(mtu, (_, family) => underlay.ip[family])).map(ip => ({ ip, port }));
  return {
    type: 'udp',
    overlayMtu,
    mtuParts: mtuPartsOf(underlay, mtu, 'UDP'),
    leftOut,
    reduced,
    // flannel publishes no BackendType.
    attributes: () => ({ tunnelPort: port }),
    host: own => desiredHost(own, overlayMtu, context),
    forwarder: { device: UDP_DEVICE, listen, mtu: overlayMtu },
    peer: lease => planPeer(lease, 'udp', mtu, peer => udpPath(peer, port)),
    // The forwarder takes packets only from peers that it knows.
    accept: lease => withoutRoutes(planPeer(asUdp(lease), 'udp', mtu, peer => udpPath(peer, port)).paths),
  };
}

/** As its holder would publish it with this backend. */
function asUdp({ attributes, ...lease }: Lease): Lease {
  const { backendType: _, backendData: __, tunnelPort: ___, ...rest } = attributes;
  return { ...lease, attributes: rest };
}

const withoutRoutes = (paths: readonly PeerPath[]): readonly PeerPath[] =>
  paths.map(path => ({ ...path, entries: path.entries.filter(({ kind }) => kind !== 'route') }));

function desiredHost(own: Subnet, mtu: number, { config }: BackendContext): DesiredHost {
  const subnets = valuesOf(mapFamilies(own, (subnet, family) => (config[family] ? subnet : undefined)));
  return {
    networks: networksOf(config),
    links: [{ kind: 'tun', type: 'tun', name: UDP_DEVICE, mtu }],
    addresses: subnets.map(subnet => baseAddress(UDP_DEVICE, subnet)),
    sysctls: familiesOf(config).includes('ipv6')
      ? [{ link: UDP_DEVICE, path: `net/ipv6/conf/${UDP_DEVICE}/disable_ipv6`, value: '0' }]
      : [],
  };
}

/** @param ownPort where the peer listens if its lease, as flannel writes it, does not say. */
export function udpPath(
  { subnet, underlayIp, tunnelPort }: Pick<PeerFamily, 'subnet' | 'underlayIp' | 'tunnelPort'>,
  ownPort: number,
): PeerPath {
  return {
    link: UDP_DEVICE,
    subnet,
    underlayIp,
    entries: [
      { kind: 'tunnel', subnet, destination: underlayIp, port: tunnelPort ?? ownPort },
      { kind: 'route', destination: subnet },
    ],
  };
}

/** Appends to `problems` whatever is wrong, and to `warnings` what has no effect. */
export function parseUdpOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[] = [],
): { readonly port: number } {
  const fields = new Fields(options, 'Backend', problems);
  const port = portOption(fields) ?? DEFAULT_UDP_PORT;
  warnings.push(...unusedOptions(fields, 'udp'));
  return { port };
}
