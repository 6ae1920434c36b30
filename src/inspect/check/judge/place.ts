/** Where probes end, from what both hosts have seen of them. Pure. */
import type { Drop, FilterVerdict, Observation, Sighting, SilentAddress } from '../../../api/inspection.ts';
import type { WatchedRung } from './case.ts';
import { type Ports, type WayPoint, type WaySegment, wayOf } from './way.ts';

export interface Place {
  /** Which is lost: the probe, its answer, or one of both where one becomes the other. */
  readonly packet: 'request' | 'reply' | 'either';
  /** Where it may be: one when all points were watched. */
  readonly segments: readonly { readonly segment: WaySegment; readonly host: string }[];
  /** The last point that it passed, and how often. */
  readonly last?: Seen;
  /** The next one, where it was watched for and not seen. */
  readonly next?: WayPoint;
  readonly drops: readonly (Drop & { readonly host: string })[];
  readonly verdicts: readonly (FilterVerdict & { readonly host: string })[];
  readonly silent: readonly (SilentAddress & { readonly host: string })[];
  /** ICMP errors that came back. */
  readonly errors: readonly string[];
  /** Addresses that were not those of the probe, and where. */
  readonly translated: readonly { readonly host: string; readonly link: string; readonly text: string }[];
  /** Links that it passed beside its way. */
  readonly astray: readonly { readonly host: string; readonly link: string }[];
}

export interface Seen extends WayPoint {
  readonly link: string;
  readonly count: number;
}

/** So much less than before it is lost: the loss that is looked for, or nearly all. */
const STILL_THERE = { broken: 0.5, lossy: 0.97 } as const;

export interface Circumstances {
  /** Name of this host. */
  readonly here: string;
  /** Without a tunnel. */
  readonly isDirect: boolean;
  readonly ports: Ports;
}

/** undefined when no host has watched. */
export function placeOf(watched: WatchedRung, { here, isDirect, ports }: Circumstances): Place | undefined {
  const { rung, sent, answered } = watched;
  const views = [watched.here, watched.there].filter(view => view !== undefined);
  if (views.length === 0) return undefined;
  const steps = wayOf(rung, here, isDirect, ports);
  // What lost everything, and loses a part when it is asked again, is a limit.
  const least = sent * STILL_THERE[rung.answered > 0 || answered > 0 ? 'lossy' : 'broken'];
  const seen = steps.map(({ point }) => (point === undefined ? undefined : seenAt(point, views)));
  const isThere = (at: number) => (seen[at]?.count ?? 0) > 0 && (seen[at]?.count ?? 0) >= least;
  const reached = seen.findLastIndex((_, at) => isThere(at));
  const after = steps.slice(reached + 1);
  // Up to the next point that was watched.
  const end = after.findIndex(({ point }) => point !== undefined && isWatched(point, views));
  const open = end < 0 ? after : after.slice(0, end + 1);
  const next = end < 0 ? undefined : after[end]?.point;
  const last = seen[reached];
  const nextPacket = open[0]?.packet ?? 'reply';
  const packet = last?.packet === 'request' && nextPacket === 'reply' ? 'either' : nextPacket;
  return {
    packet,
    segments: open.flatMap(({ segment, hosts }) => hosts.map(host => ({ segment, host }))),
    ...(last !== undefined && { last }),
    ...(next !== undefined && { next }),
    drops: views.flatMap(view =>
      view.drops
        // A copy for another program's socket, which that program does not want.
        .filter(({ reason }) => reason !== 'SOCKET_FILTER')
        .filter(isAbout(packet))
        .map(drop => ({ ...drop, host: view.host })),
    ),
    verdicts: views.flatMap(view =>
      view.verdicts.filter(isAbout(packet)).map(verdict => ({ ...verdict, host: view.host })),
    ),
    silent: views.flatMap(view => view.silent.map(one => ({ ...one, host: view.host }))),
    errors: [...new Set(views.flatMap(({ sightings }) => sightings.flatMap(({ error = [] }) => error)))],
    translated: views.flatMap(({ host, sightings }) =>
      sightings.flatMap(({ link, translated }) =>
        translated === undefined ? [] : [{ host, link, text: translated }],
      ),
    ),
    astray: views.flatMap(view => astray(view, packet)),
  };
}

const isAbout =
  (packet: Place['packet']) =>
  (one: { readonly packet: Sighting['packet'] }): boolean =>
    one.packet === packet || one.packet === 'neighbor' || (packet === 'either' && one.packet !== 'error');

const isWatched = ({ host }: WayPoint, views: readonly Observation[]) =>
  views.some(view => view.host === host);

function seenAt(at: WayPoint, views: readonly Observation[]): Seen | undefined {
  const sightings = views
    .filter(({ host }) => host === at.host)
    .flatMap(view => view.sightings)
    .filter(one => one.packet === at.packet && one.point === at.point && one.direction === at.direction);
  const all = at.link === undefined ? sightings : sightings.filter(({ link }) => link === at.link);
  const [first] = all;
  if (first === undefined) return undefined;
  // One link has it all, or several have parts of it: fragments, or members of a bond.
  return { ...at, link: first.link, count: all.reduce((sum, { count }) => Math.max(sum, count), 0) };
}

/** Sent over a link that is not on its way. */
const astray = ({ host, sightings }: Observation, packet: Place['packet']) =>
  sightings
    .filter(one => isAbout(packet)(one) && one.point === 'other' && one.direction === 'out')
    .map(({ link }) => ({ host, link }));
