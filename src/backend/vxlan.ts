/**
 * VXLAN as flannel does it (flannel pkg/backend/vxlan), one device per address family:
 *
 *     flannel.<VNI>      IPv4 packets in VXLAN over IPv4, 50 bytes of overhead
 *     flannel-v6.<VNI>   IPv6 packets in VXLAN over IPv6, 70 bytes of overhead
 *
 * A host publishes the VTEP MAC of each device; nothing is ever flooded, learned or asked for, because every host
 * knows everything about every other from the leases. The checksum of the outer UDP header is left at the kernel's
 * default, as flannel leaves it, so that an adopted device need not be made anew.
 */
import { ConfigError, type Problem } from '../base/errors.ts';
import { Fields, isObject } from '../base/fields.ts';
import { FAMILY_LABELS, type Family, type Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import type { DesiredHost, DesiredSysctl, PeerPath } from '../dataplane/desired.ts';
import type { DesiredVxlan } from '../dataplane/desired-link.ts';
import { familiesOf, networksOf } from '../subnet/config/config.ts';
import type { Lease, LeaseAttributes, Subnet } from '../subnet/lease/lease.ts';
import type { VtepMac } from '../subnet/peers/peer-index.ts';
import {
  type Backend,
  type BackendContext,
  LEAST_IPV6_MTU,
  type PeerPlan,
  type Underlay,
} from './backend.ts';
import { parseVxlanOptions, type VxlanOptions } from './vxlan-options.ts';
import { type VxlanPeer, vxlanPath } from './vxlan-path.ts';

/** Outer IP header, 8 bytes of UDP, 8 of VXLAN and 14 of inner Ethernet (RFC 7348). */
const OVERHEAD = { ipv4: 20 + 8 + 8 + 14, ipv6: 40 + 8 + 8 + 14 } as const;

/** The least that a link may have (RFC 791 for IPv4). */
const LEAST_MTU = { ipv4: 68, ipv6: LEAST_IPV6_MTU } as const;

/** Names of links have at most 15 bytes (IFNAMSIZ), which the largest VNIs do not fit into after flannel's prefix. */
const PREFIXES = { ipv4: ['flannel.', 'fl.'], ipv6: ['flannel-v6.', 'fl-v6.'] } as const;
const LONGEST_NAME = 15;

/** The device of one family. */
interface Vtep {
  readonly family: Family;
  readonly link: DesiredVxlan;
}

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
  const wanted = familiesOf(config).map(family => ({ family, link: vxlanLink(family, options, context) }));
  // An underlay that has lost room for IPv6 is no reason not to follow it with IPv4.
  const fitting = isBoundByUnderlay(options, underlay.link) ? wanted.filter(isLargeEnough) : wanted;
  const vteps = fitting.length === 0 ? wanted : fitting;
  problems.push(...vteps.flatMap(vtep => underlayProblems(vtep, options, underlay)));
  if (problems.length > 0) throw new ConfigError('vxlan backend', problems);
  const tunnelPort = options.port ?? context.defaultVxlanPort;

  return {
    type: 'vxlan',
    overlayMtu: Math.min(...vteps.map(({ link }) => link.mtu)),
    leftOut: wanted
      .filter(vtep => !vteps.includes(vtep))
      .map(vtep => mtuProblem(vtep, options, underlay.link)),
    reduced: reductions(options, underlay.link),
    attributes: () => ({ backendType: 'vxlan', ...published(vteps), tunnelPort }),
    host: own => desiredHost(vteps, own, context),
    peer: lease => planPeer(vteps, lease),
  };
}

function vxlanLink(
  family: Family,
  options: VxlanOptions,
  { underlay, defaultVxlanPort, identity }: BackendContext,
): DesiredVxlan {
  const name = vxlanLinkName(family, options.vni);
  const local = localAddress(family, underlay);
  return {
    kind: 'vxlan',
    name,
    vni: options.vni,
    port: options.port ?? defaultVxlanPort,
    underlayIndex: underlay.link.index,
    learning: options.learning,
    gbp: options.gbp,
    mtu: Math.min(options.mtu ?? Infinity, underlay.link.mtu) - OVERHEAD[family],
    mac: identity.mac(name),
    // A port of a bridge gives what it receives to the bridge, and nothing to the host's routes.
    master: 'nomaster',
    ...(local === undefined ? {} : { local }),
  };
}

/** The kernel can send only from an address of its own, which the public one of a host behind NAT is not. */
function localAddress(family: Family, underlay: Underlay): Ip | undefined {
  return family === 'ipv4' ? underlay.ipv4 : underlay.ipv6;
}

function underlayProblems(
  { family, link }: Vtep,
  options: VxlanOptions,
  { link: lower, ...underlay }: Underlay,
) {
  const problems: Problem[] = [];
  const label = FAMILY_LABELS[family];
  if (link.local === undefined || publicAddress(family, underlay) === undefined) {
    problems.push({
      path: family === 'ipv4' ? 'Network' : 'IPv6Network',
      message: `needs an ${label} address on ${lower.name}, and there is none`,
      hint: `add one, choose another interface with --iface, or turn ${label} off in the configuration`,
    });
  }
  if (!isLargeEnough({ family, link })) problems.push(mtuProblem({ family, link }, options, lower));
  return problems;
}

/** An MTU in the configuration that is more than the underlay carries gives way to that: packets of its size would be lost. */
const isBoundByUnderlay = ({ mtu }: VxlanOptions, lower: Underlay['link']) =>
  mtu === undefined || mtu > lower.mtu;

function reductions({ mtu }: VxlanOptions, lower: Underlay['link']): Problem[] {
  if (mtu === undefined || mtu <= lower.mtu) return [];
  const message = `is more than ${lower.name} can carry, which is ${lower.mtu}`;
  return [{ path: 'Backend.MTU', value: mtu, message }];
}

const isLargeEnough = ({ family, link }: Vtep) => link.mtu >= LEAST_MTU[family];

function mtuProblem({ family, link }: Vtep, options: VxlanOptions, lower: Underlay['link']): Problem {
  const label = FAMILY_LABELS[family];
  const isBound = isBoundByUnderlay(options, lower);
  return {
    path: isBound ? `MTU of ${lower.name}` : 'Backend.MTU',
    value: isBound ? lower.mtu : options.mtu,
    message: `leaves ${link.mtu} bytes for ${label} packets, and ${label} needs ${LEAST_MTU[family]}`,
  };
}

function publicAddress(
  family: Family,
  { publicIpv4, publicIpv6 }: Pick<Underlay, 'publicIpv4' | 'publicIpv6'>,
): Ip | undefined {
  return family === 'ipv4' ? publicIpv4 : publicIpv6;
}

function published(vteps: readonly Vtep[]): Pick<LeaseAttributes, 'backendData' | 'backendV6Data'> {
  const data = (family: Family) => {
    const link = vteps.find(vtep => vtep.family === family)?.link;
    return link && { VNI: link.vni, VtepMAC: link.mac.toString() };
  };
  const [ipv4, ipv6] = [data('ipv4'), data('ipv6')];
  return {
    ...(ipv4 === undefined ? {} : { backendData: ipv4 }),
    ...(ipv6 === undefined ? {} : { backendV6Data: ipv6 }),
  };
}

function desiredHost(vteps: readonly Vtep[], own: Subnet, { config }: BackendContext): DesiredHost {
  return {
    networks: networksOf(config),
    links: vteps.map(({ link }) => link),
    addresses: vteps.flatMap(({ family, link }) => {
      const subnet = own[family];
      if (subnet === undefined) return [];
      const length = family === 'ipv4' ? 32 : 128;
      return [{ link: link.name, address: { ip: subnet.ip, length } }];
    }),
    sysctls: vteps.flatMap(sysctlsOf),
  };
}

function sysctlsOf({ family, link: { name } }: Vtep): DesiredSysctl[] {
  // Router advertisements from a peer must not change the routes of this host.
  const ignoreRouters = { link: name, path: `net/ipv6/conf/${name}/accept_ra`, value: '0' };
  if (family === 'ipv6') {
    // The default of a host may turn IPv6 off; the overlay needs it on this link.
    return [{ link: name, path: `net/ipv6/conf/${name}/disable_ipv6`, value: '0' }, ignoreRouters];
  }
  // The administrator decides whether a host forwards at all. If it does, it must forward on this link, too.
  const forwarding = {
    link: name,
    path: `net/ipv4/conf/${name}/forwarding`,
    value: '1',
    whenever: { path: 'net/ipv4/ip_forward', value: '1' },
  };
  return [ignoreRouters, forwarding];
}

function planPeer(vteps: readonly Vtep[], lease: Lease): PeerPlan {
  const { backendType } = lease.attributes;
  if (backendType !== 'vxlan') {
    const named = backendType === undefined ? 'no backend type, as udp has it' : `the backend ${backendType}`;
    return { paths: [], problems: [`it is published with ${named}, and this network uses vxlan`] };
  }
  const paths: PeerPath[] = [];
  const problems: string[] = [];
  for (const vtep of vteps) {
    const subnet = lease.subnet[vtep.family];
    if (subnet === undefined) continue;
    const reached = peerVtep(vtep, lease.attributes);
    if (typeof reached === 'string') problems.push(reached);
    else paths.push(vxlanPath({ link: vtep.link.name, subnet, ...reached }));
  }
  return { paths, problems };
}

/** Where a peer's end of the tunnel is, or why it is not known. */
function peerVtep(
  { family, link }: Vtep,
  attributes: LeaseAttributes,
): Pick<VxlanPeer, 'mac' | 'underlayIp'> | string {
  const isIpv4 = family === 'ipv4';
  const underlayIp = isIpv4 ? attributes.publicIp : attributes.publicIpv6;
  if (underlayIp === undefined) return `it has no public ${FAMILY_LABELS[family]} address`;

  const [name, data] = dataOf(family, attributes);
  if (!isObject(data)) return `its ${name} is not an object`;
  const problems: Problem[] = [];
  const fields = new Fields(data, name, problems);
  const vni = fields.value('VNI');
  const mac = fields.parsed('VtepMAC', Mac.parse, 'a MAC address');
  if (mac === undefined)
    return `its ${name}.VtepMAC is ${problems.length === 0 ? 'missing' : 'is not a MAC address'}`;
  if (!mac.isUnicast) return `its VTEP MAC ${mac} is not a unicast address`;
  if (mac.equals(link.mac)) return `its VTEP MAC ${mac} is this host's own`;
  if (vni !== link.vni)
    return `its VNI is ${JSON.stringify(vni) ?? 'missing'}, and this network's is ${link.vni}`;
  const { tunnelPort = link.port } = attributes;
  if (tunnelPort !== link.port) return `its UDP port is ${tunnelPort}, and this host's is ${link.port}`;
  return { mac, underlayIp };
}

/** The MAC addresses that a lease of a vxlan host names, whatever else it says. */
export function vxlanVtepMacs({ attributes }: Lease): VtepMac[] {
  return (['ipv4', 'ipv6'] as const).flatMap(family => {
    const [name, data] = dataOf(family, attributes);
    const mac = isObject(data) ? new Fields(data, name, []).parsed('VtepMAC', Mac.parse, '') : undefined;
    return mac === undefined ? [] : { family, mac };
  });
}

const dataOf = (family: Family, { backendData, backendV6Data }: LeaseAttributes) =>
  family === 'ipv4' ? (['BackendData', backendData] as const) : (['BackendV6Data', backendV6Data] as const);
