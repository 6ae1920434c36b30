/**
 * VXLAN as flannel does it (flannel pkg/backend/vxlan), one device per address family:
 *
 *     flannel.<VNI>      IPv4 packets in VXLAN over IPv4, 50 bytes of overhead
 *     flannel-v6.<VNI>   IPv6 packets in VXLAN over IPv6, 70 bytes of overhead
 *
 * A host publishes the VTEP MAC of each device; nothing is ever flooded, learned or asked for, because every host
 * knows everything about every other from the leases. The checksum of the outer UDP header is left at the kernel's
 * default, as flannel leaves it, so that an adopted device need not be made anew.
 *
 * With DirectRouting, peers on the underlay's own link are reached as with host-gw.
 */
import { ConfigError, type Problem } from '../base/errors.ts';
import { Fields, isObject } from '../base/fields.ts';
import { FAMILIES, type Family } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { mapFamilies, type PerFamily, valuesOf } from '../base/per-family.ts';
import type { DesiredHost, DesiredSysctl, PeerPath } from '../dataplane/desired.ts';
import { type DesiredVxlan, NO_MASTER } from '../dataplane/desired-link.ts';
import { networksOf } from '../subnet/config/config.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { VtepMac } from '../subnet/peers/peer-index.ts';
import type { Backend, BackendContext } from './backend.ts';
import { baseAddress } from './base-address.ts';
import { directPath, existingUnderlay } from './host-gw.ts';
import { looseFilter } from './loose-filter.ts';
import { dataOf, type PeerFamily, planPeer } from './peer-plan.ts';
import { Topology } from './topology.ts';
import { fitUnderlay, mtuPartsOf } from './underlay-fit.ts';
import { parseVxlanOptions, type VxlanOptions } from './vxlan-options.ts';
import { vxlanPath } from './vxlan-path.ts';

/** Bytes of the outer IP header, UDP, VXLAN and the inner Ethernet header (RFC 7348, 5). */
export const VXLAN_OVERHEAD = { ipv4: 20 + 8 + 8 + 14, ipv6: 40 + 8 + 8 + 14 } as const;

/** Names of links have at most 15 bytes (IFNAMSIZ), which the largest VNIs do not fit into after flannel's prefix. */
const PREFIXES = { ipv4: ['flannel.', 'fl.'], ipv6: ['flannel-v6.', 'fl-v6.'] } as const;
const LONGEST_NAME = 15;

export function vxlanLinkName(family: Family, vni: number): string {
  const [usual, short] = PREFIXES[family];
  const name = `${usual}${vni}`;
  return name.length <= LONGEST_NAME ? name : `${short}${vni}`;
}

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function vxlanBackend(context: BackendContext): Backend {
  const { config, underlay } = context;
  const problems: Problem[] = [];
  const options = parseVxlanOptions(config.backend.options, problems);
  const { mtu, leftOut, reduced, ...fit } = fitUnderlay(context, VXLAN_OVERHEAD, options.mtu);
  problems.push(...fit.problems);
  if (problems.length > 0) throw new ConfigError('vxlan backend', problems);
  const port = options.port ?? context.defaultVxlanPort;
  const links = mapFamilies(mtu, (bytes, family) =>
    vxlanLink(family, { ...options, port, mtu: bytes }, context),
  );

  const { directRouting } = options;
  const topology = new Topology(underlay.routes ?? []);

  return {
    type: 'vxlan',
    needsRoutes: directRouting,
    overlayMtu: Math.min(...valuesOf(mtu)),
    mtuParts: mtuPartsOf(underlay, mtu, 'VXLAN', options.mtu),
    leftOut,
    reduced,
    attributes: () => ({
      backendType: 'vxlan',
      backendData: mapFamilies(links, published),
      tunnelPort: port,
    }),
    host: own => desiredHost(links, own, context, directRouting),
    peer: lease =>
      planPeer(lease, 'vxlan', links, (peer, link) => {
        const tunnel = pathTo(peer, link);
        // A peer of another VNI or port is one of another network, on whatever link.
        const isDirect = directRouting && topology.isAdjacent(peer.underlayIp, underlay.link.index);
        return isDirect && typeof tunnel !== 'string' ? directPath(peer, underlay) : tunnel;
      }),
  };
}

function vxlanLink(
  family: Family,
  { vni, port, mtu, learning, gbp }: Required<Omit<VxlanOptions, 'directRouting'>>,
  { underlay, identity }: BackendContext,
): DesiredVxlan {
  const name = vxlanLinkName(family, vni);
  // The kernel can send only from an address of its own, which the public one of a host behind NAT is not.
  const local = underlay.ip[family];
  return {
    kind: 'vxlan',
    name,
    vni,
    port,
    underlayIndex: underlay.link.index,
    learning,
    gbp,
    mtu,
    mac: identity.mac(name),
    // A port of a bridge gives what it receives to the bridge, and nothing to the host's routes.
    master: NO_MASTER,
    ...(local === undefined ? {} : { local }),
  };
}

/** What is published of a device, in flannel's words. */
const published = ({ vni, mac }: DesiredVxlan) => ({ VNI: vni, VtepMAC: mac.toString() });

function desiredHost(
  links: PerFamily<DesiredVxlan>,
  own: Subnet,
  { config, underlay }: BackendContext,
  directRouting: boolean,
): DesiredHost {
  const addresses = mapFamilies(links, ({ name: link }, family) => {
    const subnet = own[family];
    return subnet && baseAddress(link, subnet);
  });
  return {
    networks: networksOf(config),
    links: [...valuesOf(links), ...(directRouting ? [existingUnderlay(underlay)] : [])],
    addresses: valuesOf(addresses),
    sysctls: [
      ...valuesOf(mapFamilies(links, ({ name }, family) => SYSCTLS[family](name))).flat(),
      ...(directRouting ? valuesOf(addresses).flatMap(looseFilter) : []),
    ],
  };
}

/** Router advertisements from a peer must not change the routes of this host. */
const ignoreRouters = (link: string): DesiredSysctl => ({
  link,
  path: `net/ipv6/conf/${link}/accept_ra`,
  value: '0',
});

/** Of the device of each family. */
const SYSCTLS = {
  ipv4: link => [
    ignoreRouters(link),
    {
      link,
      path: `net/ipv4/conf/${link}/forwarding`,
      value: '1',
      // The administrator decides whether a host forwards at all. If it does, it must forward on this link, too.
      whenever: { path: 'net/ipv4/ip_forward', value: '1' },
    },
  ],
  ipv6: link => [
    // The default of a host may turn IPv6 off; the overlay needs it on this link.
    { link, path: `net/ipv6/conf/${link}/disable_ipv6`, value: '0' },
    ignoreRouters(link),
  ],
} as const satisfies Record<Family, (link: string) => DesiredSysctl[]>;

/** The way to a peer's end of the tunnel, or why it is not known. */
function pathTo(
  { subnet, underlayIp, data, dataName, tunnelPort }: PeerFamily,
  link: DesiredVxlan,
): PeerPath | string {
  if (!isObject(data)) return `its ${dataName} is not an object`;
  const problems: Problem[] = [];
  const fields = new Fields(data, dataName, problems);
  const vni = fields.value('VNI');
  const mac = fields.parsed('VtepMAC', Mac.parse, 'a MAC address');
  if (mac === undefined)
    return `its ${dataName}.VtepMAC ${problems.length === 0 ? 'is missing' : 'is not a MAC address'}`;
  if (!mac.isUnicast) return `its VTEP MAC ${mac} is not a unicast address`;
  if (mac.equals(link.mac)) return `its VTEP MAC ${mac} is this host's own`;
  if (vni !== link.vni)
    return `its VNI is ${JSON.stringify(vni) ?? 'missing'}, and this network's is ${link.vni}`;
  if (tunnelPort !== undefined && tunnelPort !== link.port)
    return `its UDP port is ${tunnelPort}, and this host's is ${link.port}`;
  return vxlanPath({ link: link.name, subnet, mac, underlayIp });
}

/** The MAC addresses that a lease of a vxlan host names, whatever else it says. */
export function vxlanVtepMacs({ attributes }: Lease): VtepMac[] {
  return FAMILIES.flatMap(family => {
    const { data, dataName } = dataOf(attributes, family);
    const mac = isObject(data) ? new Fields(data, dataName, []).parsed('VtepMAC', Mac.parse, '') : undefined;
    return mac === undefined ? [] : { family, mac };
  });
}
