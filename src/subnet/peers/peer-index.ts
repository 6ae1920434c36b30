/**
 * What the leases in use have, and who else has it: blocks of addresses, public addresses, and stations. A station is
 * the MAC address by which a host receives on the tunnel; every packet to it goes to one public address.
 */
import type { Family, Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { BlockMap } from '../allocate/block-map.ts';
import { blocksOf, type Lease } from '../lease/lease.ts';
import { addressesOf, type PeerEntry } from './peer-entry.ts';
import { SharedAddresses } from './shared-addresses.ts';

export interface Station {
  readonly mac: Mac;
  /** Of the outer packets: each family has a device, and a table of stations, of its own. */
  readonly family: Family;
}

/** The stations that a lease names, which its backend knows. */
export type StationsOf = (lease: Lease) => readonly Station[];

export class PeerIndex {
  readonly addresses: SharedAddresses;
  /** No two of them overlap. */
  readonly #blocks = new BlockMap<PeerEntry>();
  /** Several entries only where they have the same address. */
  readonly #stations: Readonly<Record<Family, Map<Mac['key'], readonly PeerEntry[]>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  };
  readonly #stationsOf: StationsOf;

  constructor(addresses: SharedAddresses, stationsOf: StationsOf) {
    this.addresses = addresses;
    this.#stationsOf = stationsOf;
  }

  /** A lease comes into use. */
  enter(entry: PeerEntry, lease: Lease): void {
    for (const block of blocksOf(lease.subnet)) this.#blocks.add(block, entry);
    for (const { family, mac } of this.#stationsOf(lease)) {
      const others = this.#stations[family].get(mac.key);
      this.#stations[family].set(mac.key, others === undefined ? [entry] : [...others, entry]);
    }
    if (entry.isOwn) return;
    for (const address of addressesOf(lease)) this.addresses.add(entry.key, address);
  }

  /** What has entered is in use no more. */
  leave(entry: PeerEntry, lease: Lease): void {
    for (const block of blocksOf(lease.subnet)) this.#blocks.delete(block);
    for (const { family, mac } of this.#stationsOf(lease)) {
      const rest = this.#stations[family].get(mac.key)?.filter(other => other !== entry) ?? [];
      if (rest.length === 0) this.#stations[family].delete(mac.key);
      else this.#stations[family].set(mac.key, rest);
    }
    for (const address of addressesOf(lease)) this.addresses.delete(entry.key, address);
  }

  /** Who else has a part of the subnet. */
  overlapping(entry: PeerEntry, { subnet }: Lease): readonly PeerEntry[] {
    const found = blocksOf(subnet).flatMap(block => this.#blocks.overlaps(block));
    return found.map(({ value }) => value).filter(other => other !== entry);
  }

  /** Who else has a station of this lease, at another address. */
  atStationsOf(entry: PeerEntry, lease: Lease): readonly PeerEntry[] {
    return this.#stationsOf(lease).flatMap(({ family, mac }) => {
      const address = addressOf(lease, family);
      const others = this.#stations[family].get(mac.key) ?? [];
      return others.filter(
        other => other !== entry && other.active && !address?.equals(addressOf(other.active, family)),
      );
    });
  }

  /** Whether two leases name the same stations. */
  nameSameStations(a: Lease, b: Lease): boolean {
    const names = (lease: Lease) => this.#stationsOf(lease).map(({ family, mac }) => `${family} ${mac}`);
    return names(a).join() === names(b).join();
  }
}

const addressOf = ({ attributes: { publicIp, publicIpv6 } }: Lease, family: Family): Ip | undefined =>
  family === 'ipv4' ? publicIp : publicIpv6;
