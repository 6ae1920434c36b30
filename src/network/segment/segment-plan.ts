/**
 * From a segment, as the store has it, and this host to the state of its data plane. Pure, and made again whenever one of
 * the two changes.
 *
 *     container ── tb-blue ── tv-blue ── underlay
 *
 *     flooded frames     tv-blue: 00:00:00:00:00:00 dst HOST, for each other member
 *     to an endpoint     tb-blue: MAC is behind tv-blue;  tv-blue: MAC dst HOST
 *     ARP, ND for one    tb-blue: IP lladdr MAC, of which the bridge answers (neigh_suppress of tv-blue)
 *
 * So nothing that the store knows is ever flooded, and what it does not know is flooded to members only.
 */

import type { Underlay } from '../../backend/backend.ts';
import { VXLAN_OVERHEAD } from '../../backend/vxlan.ts';
import type { Problem } from '../../base/errors.ts';
import { FAMILY_LABELS, type Family, type Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { mapFamilies, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredHost, DesiredPeer, DesiredSysctl, PeerPath } from '../../dataplane/desired.ts';
import {
  nameOfHost,
  type Segment,
  type SegmentEndpoint,
  type SegmentMember,
  type SegmentSnapshot,
  type Stored,
} from '../../subnet/segment/segment.ts';
import { gatewayMac } from '../../subnet/segment/segment-mac.ts';
import { type SegmentLinks, segmentLinks, tunnelMac } from './segment-names.ts';

export interface HostSegmentPlan {
  readonly links: SegmentLinks;
  /** Of the underlay: the address family that tunnel packets have. */
  readonly family: Family;
  readonly mtu: number;
  readonly host: DesiredHost;
  readonly peers: readonly DesiredPeer[];
  /** Where flooded frames are sent. */
  readonly floods: readonly Ip[];
  /** What is not as it should be, although the segment works. */
  readonly problems: readonly Problem[];
}

/** Why a segment cannot be made on this host. */
export interface SegmentObstacle {
  readonly obstacle: Problem;
}

/** Stands for every MAC address that has no entry (drivers/net/vxlan). */
const ALL_ZEROS = Mac.fromKey(0);

export function planHostSegment(
  snapshot: SegmentSnapshot,
  underlay: Underlay,
  hostId: string,
): HostSegmentPlan | SegmentObstacle {
  const { segment } = snapshot;
  const family = underlay.ip.ipv4 === undefined ? 'ipv6' : 'ipv4';
  const most = underlay.link.mtu - VXLAN_OVERHEAD[family];
  const least = segment.subnets.ipv6 === undefined ? LEAST_MTU.ipv4 : LEAST_MTU.ipv6;
  if (most < least) {
    const message = `leaves ${most} bytes for packets of the network, which needs ${least}`;
    const path = `MTU of ${underlay.link.name}`;
    return { obstacle: { path, value: underlay.link.mtu, message, hint: 'raise it' } };
  }
  const mtu = Math.min(segment.mtu ?? most, most);
  const links = segmentLinks(segment);
  // With the address of this host it is this host, before it lost its id: what is flooded would come back.
  const isThisHost = ({ hostId: id, addresses }: SegmentMember) =>
    id === hostId || [underlay.ip, underlay.publicIp].some(own => addresses[family]?.equals(own[family]));
  const members = [...snapshot.members.values()].filter(member => !isThisHost(member));
  const addresses = new Map(members.map(member => [member.hostId, member.addresses[family]]));
  return {
    links,
    family,
    mtu,
    host: hostOf(segment, links, { underlay, family, mtu, hostId }),
    peers: [
      ...members.flatMap(member => memberPeer(member, links, family) ?? []),
      ...Array.from(snapshot.endpoints.values()).flatMap(endpoint => {
        if (endpoint.hostId === hostId)
          return [ownEndpoint(endpoint, links, underlay.ip[family] ?? endpoint.ip)];
        const host = addresses.get(endpoint.hostId);
        // Until it is known where its host is, it is one of those that are asked for by flooding.
        return host === undefined ? [] : [endpointPeer(endpoint, links, host)];
      }),
    ],
    floods: members.flatMap(member => member.addresses[family] ?? []),
    problems: [...mtuProblems(segment, underlay, most), ...familyProblems(members, family)],
  };
}

export const isHostSegmentPlan = (planned: HostSegmentPlan | SegmentObstacle): planned is HostSegmentPlan =>
  !('obstacle' in planned);

interface Circumstances {
  readonly underlay: Underlay;
  readonly family: Family;
  readonly mtu: number;
  readonly hostId: string;
}

function hostOf(
  segment: Segment,
  { bridge, tunnel }: SegmentLinks,
  { underlay, family, mtu, hostId }: Circumstances,
): DesiredHost {
  const { vni, port, subnets, gateways } = segment;
  const local = underlay.ip[family];
  const common = { mtu, knownByMac: true } as const;
  return {
    networks: valuesOf(subnets),
    links: [
      {
        ...common,
        kind: 'bridge',
        name: bridge,
        mac: gatewayMac(segment),
        stp: false,
        // Reports of group members stay on their host, so that the other hosts would get nothing.
        multicastSnooping: false,
      },
      {
        ...common,
        kind: 'vxlan',
        name: tunnel,
        mac: tunnelMac(segment, hostId),
        master: bridge,
        bridgePort: {
          // What is behind it is stated. Learned from a frame, it would be a matter of who sent last.
          learning: false,
          neighborSuppression: true,
          hairpin: false,
          isolated: false,
          unicastFlood: true,
          multicastFlood: true,
          broadcastFlood: true,
        },
        vni,
        port,
        underlayIndex: underlay.link.index,
        learning: false,
        gbp: false,
        ...(local === undefined ? {} : { local }),
      },
    ],
    addresses: valuesOf(
      mapFamilies(gateways, (ip, of) => {
        const length = subnets[of]?.length;
        return length === undefined ? undefined : { link: bridge, address: { ip, length } };
      }),
    ),
    sysctls: [...bridgeSysctls(segment, bridge), ...silent(tunnel)],
  };
}

/** The host is a router for a segment that has a gateway, and for no other. */
function bridgeSysctls({ subnets, gateways }: Segment, link: string): DesiredSysctl[] {
  const { ipv4, ipv6 } = gateways;
  const forwarding = { link, path: `net/ipv4/conf/${link}/forwarding` };
  const whenever = { path: 'net/ipv4/ip_forward', value: '1' };
  return [
    ipv4 === undefined ? { ...forwarding, value: '0' } : { ...forwarding, value: '1', whenever },
    { link, path: `net/ipv6/conf/${link}/accept_ra`, value: '0' },
    // Neighbors of a family that is off cannot be stated. Link-local addresses would be the same on every host.
    { link, path: `net/ipv6/conf/${link}/addr_gen_mode`, value: ipv6 === undefined ? '1' : '0' },
    { link, path: `net/ipv6/conf/${link}/disable_ipv6`, value: subnets.ipv6 === undefined ? '1' : '0' },
  ];
}

/** The host itself says nothing on the link: what it would say is for the segment, where every host would say it. */
const silent = (link: string): DesiredSysctl[] => [
  { link, path: `net/ipv6/conf/${link}/disable_ipv6`, value: '1' },
];

function memberPeer(
  { hostId, addresses, modRevision: revision }: Stored<SegmentMember>,
  { tunnel }: SegmentLinks,
  family: Family,
): DesiredPeer | undefined {
  const underlayIp = addresses[family];
  if (underlayIp === undefined) return undefined;
  const entries = [{ kind: 'fdb', mac: ALL_ZEROS, destination: underlayIp }] as const;
  const path = { link: tunnel, subnet: Prefix.ofOne(underlayIp), underlayIp, entries };
  return { key: `member ${hostId}`, revision, paths: [path] };
}

function endpointPeer(endpoint: Stored<SegmentEndpoint>, links: SegmentLinks, underlayIp: Ip): DesiredPeer {
  const { ip, mac, modRevision: revision } = endpoint;
  const tunneled: PeerPath = {
    link: links.tunnel,
    subnet: Prefix.ofOne(ip),
    underlayIp,
    entries: [
      { kind: 'fdb', mac, destination: underlayIp },
      { kind: 'bridge-fdb', mac },
    ],
  };
  return { key: `endpoint ${ip}`, revision, paths: [tunneled, neighborPath(endpoint, links, underlayIp)] };
}

/** The bridge has learned where it is. */
function ownEndpoint(endpoint: Stored<SegmentEndpoint>, links: SegmentLinks, underlayIp: Ip): DesiredPeer {
  const { ip, modRevision: revision } = endpoint;
  return { key: `endpoint ${ip}`, revision, paths: [neighborPath(endpoint, links, underlayIp)] };
}

function neighborPath({ ip, mac }: SegmentEndpoint, { bridge }: SegmentLinks, underlayIp: Ip): PeerPath {
  return { link: bridge, subnet: Prefix.ofOne(ip), underlayIp, entries: [{ kind: 'neighbor', ip, mac }] };
}

function mtuProblems({ mtu }: Segment, { link }: Underlay, most: number): Problem[] {
  if (mtu === undefined || mtu <= most) return [];
  const message = `is more than the ${most} that ${link.name} leaves with its MTU of ${link.mtu}`;
  return [{ path: 'mtu', value: mtu, message, hint: `raise the MTU of ${link.name}` }];
}

function familyProblems(members: readonly SegmentMember[], family: Family): Problem[] {
  const without = members.filter(({ addresses }) => addresses[family] === undefined);
  return without.map(member => ({
    path: `member ${nameOfHost(member)}`,
    message: `has no ${FAMILY_LABELS[family]} address, and this host sends over ${FAMILY_LABELS[family]}`,
    hint: 'give the underlay of all hosts an address of the same family',
  }));
}
