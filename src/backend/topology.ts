/**
 * Where the routes of this host lead: which hosts are on the same link as this one, so that packets for their containers
 * need no tunnel. The kernel's own rule, the longest prefix, is applied to what the main table has besides our routes.
 */
import { ADDRESS_BITS, type Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';

/** A route of the main table that is not of our making. */
export interface UnderlayRoute {
  readonly destination: Prefix;
  /** Index of the link; absent when there are several next hops, or none. */
  readonly link?: number;
  /** Absent: the destination is on the link itself. */
  readonly gateway?: Ip;
}

export class Topology {
  /** By length of the destination, longest first. */
  readonly #lengths: readonly (readonly [number, ReadonlyMap<number | bigint, UnderlayRoute>])[];

  /** @param routes of two to one destination the first is used: the kernel lists the better one first. */
  constructor(routes: readonly UnderlayRoute[]) {
    const lengths = new Map<number, Map<number | bigint, UnderlayRoute>>();
    for (const route of routes) {
      const { destination } = route;
      const known = lengths.get(destination.length) ?? new Map<number | bigint, UnderlayRoute>();
      if (!known.has(destination.key)) known.set(destination.key, route);
      lengths.set(destination.length, known);
    }
    this.#lengths = [...lengths].sort(([a], [b]) => b - a);
  }

  /** The route that packets to this address take; undefined when there is none. */
  routeTo(ip: Ip): UnderlayRoute | undefined {
    for (const [length, routes] of this.#lengths) {
      if (length > ADDRESS_BITS[ip.family]) continue;
      const route = routes.get(Prefix.of(ip, length).key);
      if (route?.destination.family === ip.family) return route;
    }
    return undefined;
  }

  /** Whether this address is on the link itself, behind no router. */
  isAdjacent(ip: Ip, link: number): boolean {
    const route = this.routeTo(ip);
    return route !== undefined && route.link === link && route.gateway === undefined;
  }
}
