/**
 * The way of a probe and of its answer over two hosts, as points where it can be seen, and what lies between them. Pure.
 *
 *     container > port > bridge > forward > tunnel > uplink ~ wire ~ uplink > tunnel > forward > bridge > port > container
 */
import type { Sighting } from '../../../api/inspection.ts';
import type { Rung } from '../rung.ts';

/**
 * What a host does between two points.
 *
 * container  in a container's namespace
 * bridge     between the port of a container and the host
 * forward    between the bridge, or this host's own processes, and the tunnel
 * tunnel     between the tunnel and the underlay's link
 * wire       between the underlay's links of two hosts
 */
export type WaySegment = 'container' | 'bridge' | 'forward' | 'tunnel' | 'wire';

export interface WayPoint {
  readonly host: string;
  readonly packet: 'request' | 'reply';
  readonly point: Exclude<Sighting['point'], 'other'>;
  readonly direction: 'in' | 'out';
  /** Name of the link, where it is known which of several it is. */
  readonly link?: string;
}

/** Names of the links of the containers at both ends, as far as they are known. */
export interface Ports {
  readonly near?: string | undefined;
  readonly far?: string | undefined;
}

/** What is before a point, of which host; a wire is of both. */
export interface WaySection {
  readonly segment: WaySegment;
  readonly hosts: readonly string[];
  readonly packet: 'request' | 'reply';
  /** Absent for the last one: then the answer has arrived. */
  readonly point?: WayPoint;
}

type Half = readonly (readonly [WaySegment, WayPoint['point']])[];

/** From a host's inside to its uplink. */
const CONTAINER: Half = [
  ['container', 'port'],
  ['bridge', 'bridge'],
  ['forward', 'tunnel'],
  ['tunnel', 'uplink'],
];
const DIRECT_CONTAINER: Half = [
  ['container', 'port'],
  ['bridge', 'bridge'],
  ['forward', 'uplink'],
];
const HOST: Half = [
  ['forward', 'tunnel'],
  ['tunnel', 'uplink'],
];
const DIRECT_HOST: Half = [['forward', 'uplink']];

/** Of a rung that stays on one host: from a container to its bridge and back, and over it to another container. */
const GATEWAY: readonly Visit[] = [
  ['container', 'request', 'port', 'in'],
  ['bridge', 'request', 'bridge', 'in'],
  ['forward', 'reply', 'bridge', 'out'],
  ['bridge', 'reply', 'port', 'out'],
];
const NEIGHBOR: readonly Visit[] = [
  ['container', 'request', 'port', 'in'],
  ['bridge', 'request', 'port', 'out'],
  ['container', 'reply', 'port', 'in'],
  ['bridge', 'reply', 'port', 'out'],
];
type Visit = readonly [WaySegment, WayPoint['packet'], WayPoint['point'], WayPoint['direction']];

/** @param isDirect without a tunnel: the underlay carries the packets as they are */
export function wayOf(rung: Rung, here: string, isDirect: boolean, { near, far }: Ports = {}): WaySection[] {
  const { kind, peer } = rung;
  if (kind === 'gateway') return onOneHost(GATEWAY, here).map(section => atPort(section, near));
  if (kind === 'neighbor') {
    // The two ports alternate: out of one container into the other, and back.
    return onOneHost(NEIGHBOR, here).map((section, at) => atPort(section, at === 0 || at === 3 ? near : far));
  }
  const direct = isDirect || kind === 'underlay';
  const host = direct ? DIRECT_HOST : HOST;
  const container = direct ? DIRECT_CONTAINER : CONTAINER;
  const nearHalf = rung.container === undefined ? host : container;
  const farHalf = kind === 'container' || kind === 'tcp' || kind === 'host' ? container : host;
  const there = peer ?? here;
  const portAt = (section: WaySection) => atPort(section, section.point?.host === here ? near : far);
  return [
    ...leaving(nearHalf, here, 'request'),
    ...arriving(farHalf, [here, there], there, 'request'),
    ...leaving(farHalf, there, 'reply'),
    ...arriving(nearHalf, [there, here], here, 'reply'),
    { segment: nearHalf[0]?.[0] ?? 'forward', hosts: [here], packet: 'reply' } satisfies WaySection,
  ].map(portAt);
}

const atPort = (section: WaySection, link: string | undefined): WaySection =>
  link === undefined || section.point?.point !== 'port'
    ? section
    : { ...section, point: { ...section.point, link } };

const leaving = (half: Half, host: string, packet: WayPoint['packet']): WaySection[] =>
  half.map(([segment, point]) => ({
    segment,
    hosts: [host],
    packet,
    point: { host, packet, point, direction: outward(point) },
  }));

/** Ports and bridges take in what a container sends; tunnels and uplinks send it on. */
const outward = (point: WayPoint['point']): WayPoint['direction'] =>
  point === 'port' || point === 'bridge' ? 'in' : 'out';

function arriving(
  half: Half,
  wire: readonly string[],
  host: string,
  packet: WayPoint['packet'],
): WaySection[] {
  const points = half.toReversed();
  return points.map(([, point], at) => ({
    // What is between a point and the next one inwards is named by the outer one.
    segment: at === 0 ? 'wire' : (points[at - 1]?.[0] ?? 'forward'),
    hosts: at === 0 ? wire : [host],
    packet,
    point: { host, packet, point, direction: outward(point) === 'in' ? 'out' : 'in' },
  }));
}

const onOneHost = (visits: readonly Visit[], host: string): WaySection[] => [
  ...visits.map(
    ([segment, packet, point, direction]): WaySection => ({
      segment,
      hosts: [host],
      packet,
      point: { host, packet, point, direction },
    }),
  ),
  { segment: 'container', hosts: [host], packet: 'reply' },
];
