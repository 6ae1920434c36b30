/**
 * The ways that the backend auto has to a peer, and what each choice among them asks of the data plane.
 *
 * What a way needs besides its route (neighbors, FDB entries, tunnel entries) is there all the time, so that going over to
 * it is one route replaced in the kernel. A way is tried with the base address of the peer's subnet alone: that has a
 * route of its own meanwhile, and the traffic of containers stays where it is.
 */
import type { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import type { DesiredRoute, PathEntry, PeerPath } from '../dataplane/desired.ts';

/** The best one first. */
export const WAY_TYPES = ['direct', 'vxlan', 'udp'] as const;
export type WayType = (typeof WAY_TYPES)[number];

/** What there is for one family of a peer: a path or an obstacle for each type. */
export interface PeerWays {
  readonly subnet: Prefix;
  readonly paths: Readonly<Partial<Record<WayType, PeerPath>>> & { readonly vxlan: PeerPath };
  /** Why a type is not possible, as a sentence about "it", the peer: `it is behind the router 192.168.65.1`. */
  readonly obstacles: Readonly<Partial<Record<WayType, string>>>;
  /** For people: `VXLAN (UDP 4789)`. */
  readonly names: Readonly<Record<WayType, string>>;
}

/** One of those that have a path. */
export interface WayChoice {
  /** Of the peer's containers. */
  readonly inUse: WayType;
  /** Of the base address of its subnet alone, where that is another one. */
  readonly tried?: WayType;
  /**
   * Address of this host in the overlay. What the host itself sends is from there over any way, or its answers would not
   * come back over the way of the peer.
   */
  readonly source?: Ip;
}

/** Those that there are, best first. */
export function possibleWays({ paths }: Pick<PeerWays, 'paths'>): readonly WayType[] {
  return WAY_TYPES.filter(type => paths[type] !== undefined);
}

/** The one that is used before anything is known. */
export const bestWay = (ways: Pick<PeerWays, 'paths'>): WayType => possibleWays(ways)[0] ?? 'vxlan';

/** Paths of a peer over its ways. */
export function pathsOver(ways: PeerWays, { inUse, tried, source }: WayChoice): PeerPath[] {
  const base = Prefix.ofOne(ways.subnet.ip);
  return possibleWays(ways).flatMap(type => {
    const bare = ways.paths[type];
    if (bare === undefined) return [];
    // The tunnel devices have that address.
    const path = type === 'direct' && source !== undefined ? withSource(bare, source) : bare;
    const standing = path.entries.filter(entry => !isRoute(entry));
    const route = path.entries.find(isRoute);
    const whole = type === inUse ? path : standing.length > 0 && { ...path, entries: standing };
    const isTried = type === tried && type !== inUse && route !== undefined;
    const pinned = isTried && { ...path, subnet: base, entries: [{ ...route, destination: base }] };
    return [whole, pinned].filter(one => one !== false);
  });
}

const withSource = (path: PeerPath, source: Ip): PeerPath => ({
  ...path,
  entries: path.entries.map(entry => (isRoute(entry) ? { ...entry, source } : entry)),
});

const isRoute = (entry: PathEntry): entry is DesiredRoute => entry.kind === 'route';
