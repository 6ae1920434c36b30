/** L2 networks as a person, or a script, reads them. */
import type { Ip } from '../base/ip.ts';
import { type PerFamily, valuesOf } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import type { Column } from '../console/table.ts';
import {
  nameOfHost,
  type Segment,
  type SegmentEndpoint,
  type SegmentHost,
  type SegmentMember,
  type SegmentSnapshot,
} from '../subnet/segment/segment.ts';

export const NETWORK_COLUMNS: readonly Column<SegmentSnapshot>[] = [
  { title: 'network', cell: ({ segment }) => segment.name },
  { title: 'subnet', cell: ({ segment }) => formatPair(segment.subnets) },
  { title: 'vni', cell: ({ segment }) => `${segment.vni}`, align: 'right' },
  { title: 'gateway', cell: ({ segment }) => gatewayOf(segment) },
  { title: 'hosts', cell: ({ members }) => `${members.size}`, align: 'right' },
  { title: 'containers', cell: snapshot => `${containersOf(snapshot)}`, align: 'right' },
  { title: 'docker', cell: ({ segment }) => (segment.docker ? 'yes' : 'no') },
];

/** What one host has of a network. */
export interface NetworkHostRow {
  readonly host: SegmentHost;
  readonly member: SegmentMember | undefined;
  readonly blocks: readonly Prefix[];
  readonly containers: number;
}

export const HOST_COLUMNS: readonly Column<NetworkHostRow>[] = [
  { title: 'host', cell: ({ host }) => nameOfHost(host) },
  { title: 'underlay', cell: ({ member }) => (member ? formatPair(member.addresses) : '') },
  { title: 'gives out', cell: ({ blocks }) => blocks.join(' ') },
  { title: 'containers', cell: ({ containers }) => `${containers}`, align: 'right' },
];

export const ENDPOINT_COLUMNS: readonly Column<SegmentEndpoint>[] = [
  { title: 'container', cell: ({ container }) => container },
  { title: 'host', cell: nameOfHost },
  { title: 'ip', cell: ({ ip }) => `${ip}` },
  { title: 'mac', cell: ({ mac }) => `${mac}` },
];

export function networkFacts({
  segment,
}: SegmentSnapshot): readonly (readonly [string, string | undefined])[] {
  const { name, id, vni, port, subnets, rangeLengths, mtu, floodLimit, docker, created } = segment;
  return [
    ['network', name],
    ['id', id],
    ['subnet', formatPair(subnets)],
    ['gateway', gatewayOf(segment)],
    ['VNI', `${vni}, UDP port ${port}`],
    [
      'ranges',
      valuesOf(rangeLengths)
        .map(length => `/${length}`)
        .join(' '),
    ],
    ['MTU', mtu === undefined ? 'what the underlay carries' : `${mtu}`],
    ['floods', `at most ${floodLimit} packets a second from each host`],
    ['docker', docker ? `network ${name} on each host where Docker runs` : 'no'],
    ['created', created.toISOString()],
  ];
}

/** One row for each host that has anything, by name. */
export function hostRows({ members, endpoints, ranges }: SegmentSnapshot): readonly NetworkHostRow[] {
  const all = [...members.values(), ...ranges.values(), ...endpoints.values()];
  const hosts = new Map<string, SegmentHost>();
  for (const host of all) if (!hosts.has(host.hostId)) hosts.set(host.hostId, host);
  const rows = [...hosts.values()].map(host => {
    const isOfHost = ({ hostId }: SegmentHost) => hostId === host.hostId;
    const own = [...endpoints.values()].filter(isOfHost);
    return {
      host,
      member: members.get(host.hostId),
      blocks: [...ranges.values()]
        .filter(isOfHost)
        .map(({ block }) => block)
        .sort((a, b) => a.compare(b)),
      containers: new Set(own.map(({ container }) => container)).size,
    };
  });
  return rows.sort((a, b) => (nameOfHost(a.host) < nameOfHost(b.host) ? -1 : 1));
}

/** For `--json`: plain values, and the names that the rest of Tulle uses. */
export function networkJson(segment: Segment): object {
  const { createRevision: _, ...plain } = segment;
  return plain;
}

export function endpointJson({ ip, mac, container, hostId, hostName }: SegmentEndpoint): object {
  return { ip, mac, container, hostId, hostName };
}

/** `10.9.0.0/16 fd00:9::/64`. */
export const formatPair = (pair: PerFamily<Ip | Prefix>): string => valuesOf<Ip | Prefix>(pair).join(' ');

const gatewayOf = ({ gateways, internal }: Segment) =>
  internal ? 'none, internal' : formatPair(gateways) || 'none';

const containersOf = ({ endpoints }: SegmentSnapshot) =>
  new Set([...endpoints.values()].map(({ hostId, container }) => `${hostId} ${container}`)).size;
