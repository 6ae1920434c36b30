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

/**
 * Docker's part in a network: `yes`, a Docker network on each host (--docker); `plugin`, one that this host's Docker has
 * through the plugin of its agent.
 */
const dockerWord = ({ name, docker }: Segment, ofPlugin: NamesInDocker): string =>
  docker ? 'yes' : ofPlugin.has(name) ? 'plugin' : 'no';

/** By name of the network in the cluster: what this host's Docker calls those that it has through the plugin. */
export type NamesInDocker = ReadonlyMap<string, readonly string[]>;

export const networkColumns = (ofPlugin: NamesInDocker): readonly Column<SegmentSnapshot>[] => [
  { title: 'network', cell: ({ segment }) => segment.name },
  { title: 'subnet', cell: ({ segment }) => formatPair(segment.subnets) },
  { title: 'vni', cell: ({ segment }) => `${segment.vni}`, align: 'right' },
  { title: 'gateway', cell: ({ segment }) => gatewayOf(segment) },
  { title: 'hosts', cell: ({ members }) => `${members.size}`, align: 'right' },
  { title: 'containers', cell: snapshot => `${containersOf(snapshot)}`, align: 'right' },
  { title: 'docker', cell: ({ segment }) => dockerWord(segment, ofPlugin) },
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

/** @param dockerNames what this host's Docker calls it, where it has it through the plugin */
export function networkFacts(
  { segment }: SegmentSnapshot,
  dockerNames?: readonly string[],
): readonly (readonly [string, string | undefined])[] {
  const { name, id, vni, port, subnets, rangeLengths, mtu, floodLimit, created } = segment;
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
    ['docker', dockerFact(segment, dockerNames)],
    ['created', created.toISOString()],
  ];
}

function dockerFact({ name, docker }: Segment, dockerNames: readonly string[] = []): string {
  if (docker) return `network ${name} on each host where Docker runs`;
  return dockerNames.length === 0 ? 'no' : `plugin, on this host as ${dockerNames.join(', ')}`;
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
