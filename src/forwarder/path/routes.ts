/** The table of routes as the packet path asks it: arrays of numbers, made by route-table.ts on another thread. */
import type { Family } from '../../base/ip.ts';
import { SOCKADDR } from '../../sys/socket-address.ts';
import { PrefixIndex, type PrefixIndexData } from './prefix-index.ts';

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
    const { subnets, remotes } = data;
    this.#subnets = { 4: new PrefixIndex(subnets.ipv4), 6: new PrefixIndex(subnets.ipv6) };
    this.#remotes = { 4: new PrefixIndex(remotes.ipv4), 6: new PrefixIndex(remotes.ipv6) };
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
