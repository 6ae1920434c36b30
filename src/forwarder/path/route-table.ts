/**
 * Which subnet is behind which peer: kept as values by the thread that is asked about it, and handed to the packet path
 * as arrays of numbers, whole, whenever it has changed.
 *
 * Every route has a slot, a small number that stays the same while the route is there: of its row in the counters and
 * in the arrays. Slot 0 is no route's.
 */
import { FAMILIES, type Family, type Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { SOCKADDR, socketAddress } from '../../sys/udp-socket.ts';
import { indexPrefixes, PrefixIndex, type PrefixIndexData } from './prefix-index.ts';

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

/** Bytes between the socket addresses of two slots. */
export const ADDRESS_STEP = 32;

/** Arrays only, so that it can be posted to a thread. */
export interface RouteTableData {
  readonly subnets: Readonly<Record<Family, PrefixIndexData>>;
  /** Every peer's address, as a prefix of one. */
  readonly remotes: Readonly<Record<Family, PrefixIndexData>>;
  /** By slot: struct sockaddr_in or sockaddr_in6, ADDRESS_STEP bytes each. */
  readonly addresses: Uint8Array;
  /** By slot: 4 or 6, of the underlay. */
  readonly families: Uint8Array;
  /** By slot: 0 stands for the device's. */
  readonly mtus: Uint16Array;
  /** Of this host in the overlay: the source of ICMP errors. Empty when there is none. */
  readonly ownAddresses: Readonly<Record<Family, Uint8Array>>;
}

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

/** The table as the packet path asks it. */
export class Routes {
  readonly #data: RouteTableData;
  readonly #subnets: Readonly<Record<4 | 6, PrefixIndex>>;
  readonly #remotes: Readonly<Record<4 | 6, PrefixIndex>>;
  readonly #mtu: number;

  /** @param mtu of the device. */
  constructor(data: RouteTableData, mtu: number) {
    this.#data = data;
    this.#mtu = mtu;
    const [ipv4, ipv6] = FAMILIES;
    this.#subnets = { 4: new PrefixIndex(data.subnets[ipv4]), 6: new PrefixIndex(data.subnets[ipv6]) };
    this.#remotes = { 4: new PrefixIndex(data.remotes[ipv4]), 6: new PrefixIndex(data.remotes[ipv6]) };
  }

  /** Slot of the route of an overlay address, or 0. */
  find(version: 4 | 6, view: DataView, at: number): number {
    return this.#subnets[version].find(view, at);
  }

  /** Whether an underlay address is any peer's. */
  isPeer(version: 4 | 6, view: DataView, at: number): boolean {
    return this.#remotes[version].find(view, at) !== 0;
  }

  /** The family of the underlay on the way to a peer. */
  familyOf(slot: number): number {
    return this.#data.families[slot] as number;
  }

  mtuOf(slot: number): number {
    return (this.#data.mtus[slot] as number) || this.#mtu;
  }

  ownAddress(version: 4 | 6): Uint8Array {
    return this.#data.ownAddresses[version === 4 ? 'ipv4' : 'ipv6'];
  }

  /** Writes the socket address of a peer. @returns its length */
  copyAddress(slot: number, to: Uint8Array, at: number): number {
    const { addresses } = this.#data;
    const length = this.#data.families[slot] === 4 ? SOCKADDR.ipv4.length : SOCKADDR.ipv6.length;
    for (let index = 0, from = slot * ADDRESS_STEP; index < length; index++)
      to[at + index] = addresses[from + index] as number;
    return length;
  }

  /** Whether a peer has the address of a struct sockaddr at `at`. Its port may have been changed on the way. */
  hasAddress(slot: number, version: 4 | 6, from: Uint8Array, at: number): boolean {
    if (this.#data.families[slot] !== version) return false;
    const { addresses } = this.#data;
    const start = version === 4 ? SOCKADDR.ipv4.address : SOCKADDR.ipv6.address;
    const end = start + (version === 4 ? 4 : 16);
    for (let index = start; index < end; index++)
      if (addresses[slot * ADDRESS_STEP + index] !== from[at + index]) return false;
    return true;
  }
}
