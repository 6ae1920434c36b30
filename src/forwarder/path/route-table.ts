/**
 * Which subnet is behind which peer: kept as values by the thread that is asked about it, and handed to the packet path
 * as arrays of numbers, whole, whenever it has changed.
 *
 * Every route has a slot, a small number that stays the same while the route is there: of its row in the counters and
 * in the arrays. Slot 0 is no route's.
 */
import type { Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { socketAddress } from '../../sys/socket-address.ts';
import { indexPrefixes, type PrefixIndexData } from './prefix-index.ts';
import { ADDRESS_STEP, type RouteTableData } from './routes.ts';

export interface ForwarderRoute {
  readonly subnet: Prefix;
  /** The peer's address in the underlay, and its UDP port. */
  readonly remote: Ip;
  readonly port: number;
  /** The longest packet that fits to this peer; default: the device's. */
  readonly mtu?: number;
}

/** Routes at most: as many as an IPv4 network of /8 has subnets of /24. */
export const MOST_ROUTES = 65_536;
export const MOST_SLOTS = MOST_ROUTES + 1;

export class RouteTable {
  #routes = new Map<number | bigint, { readonly slot: number; readonly route: ForwarderRoute }>();
  #own: readonly Ip[] = [];
  #free: number[] = [];
  #slots = 1;

  get size(): number {
    return this.#routes.size;
  }

  /** Every route and its slot. */
  get entries(): readonly { readonly slot: number; readonly route: ForwarderRoute }[] {
    return [...this.#routes.values()];
  }

  get own(): readonly Ip[] {
    return this.#own;
  }

  /** This host's addresses in the overlay, at most one of each family. */
  setOwn(addresses: readonly Ip[]): void {
    this.#own = addresses;
  }

  /** Adds or replaces the route of a subnet. @returns false when there is no room. */
  set(route: ForwarderRoute): boolean {
    const key = keyOf(route.subnet);
    const present = this.#routes.get(key);
    if (present === undefined && this.size >= MOST_ROUTES) return false;
    const slot = present?.slot ?? this.#free.pop() ?? this.#slots++;
    this.#routes.set(key, { slot, route });
    return true;
  }

  /** @returns the slot of the route that was removed; its counters may be given away with `free`. */
  delete(subnet: Prefix): number | undefined {
    const key = keyOf(subnet);
    const slot = this.#routes.get(key)?.slot;
    this.#routes.delete(key);
    return slot;
  }

  /** These slots may be used again: the packet path no longer knows the routes that had them. */
  free(slots: readonly number[]): void {
    this.#free.push(...slots);
  }

  /** The table in arrays of its own. */
  data(): RouteTableData {
    const entries = this.entries;
    const addresses = new Uint8Array(this.#slots * ADDRESS_STEP);
    const families = new Uint8Array(this.#slots);
    const mtus = new Uint16Array(this.#slots);
    for (const { slot, route } of entries) {
      addresses.set(socketAddress(route.remote, route.port), slot * ADDRESS_STEP);
      families[slot] = route.remote.family === 'ipv4' ? 4 : 6;
      mtus[slot] = route.mtu ?? 0;
    }
    const subnets = entries.map(({ slot, route }) => [route.subnet, slot] as const);
    const remotes = entries.map(({ slot, route }) => [Prefix.ofOne(route.remote), slot] as const);
    const own = (family: Family) => this.#own.find(ip => ip.family === family)?.bytes ?? new Uint8Array();
    return {
      subnets: { ipv4: indexOf('ipv4', subnets), ipv6: indexOf('ipv6', subnets) },
      remotes: { ipv4: indexOf('ipv4', remotes), ipv6: indexOf('ipv6', remotes) },
      addresses,
      families,
      mtus,
      ownAddresses: { ipv4: own('ipv4'), ipv6: own('ipv6') },
    };
  }
}

/** Of an IPv4 and an IPv6 prefix never the same. */
const keyOf = (subnet: Prefix) => subnet.key;

function indexOf(family: Family, entries: readonly (readonly [Prefix, number])[]): PrefixIndexData {
  return indexPrefixes(
    family,
    entries.filter(([prefix]) => prefix.family === family),
  );
}
