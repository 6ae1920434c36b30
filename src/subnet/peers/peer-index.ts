/**
 * The leases in use by what no two of them may have: blocks of addresses, public addresses, and VTEP MAC addresses. A
 * VTEP MAC address is the one by which a host receives on the tunnel; every packet to it goes to one public address.
 */
import { type Family, Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import { BlockMap } from '../lease/block-map.ts';
import { addressesOf, blocksOf, type Lease } from '../lease/lease.ts';
import type { PeerEntry } from './peer-entry.ts';

export interface VtepMac {
  readonly mac: Mac;
  /** Of the outer packets: each family has a device, and an FDB, of its own. */
  readonly family: Family;
}

/** The VTEP MAC addresses that a lease names, which its backend knows. */
export type VtepMacsOf = (lease: Lease) => readonly VtepMac[];

export class PeerIndex {
  readonly addresses: SharedAddresses;
  /** No two of them overlap. */
  readonly #blocks = new BlockMap<PeerEntry>();
  /** Several entries only where they have the same address. */
  readonly #vtepMacs: Readonly<Record<Family, Map<Mac['key'], readonly PeerEntry[]>>> = {
    ipv4: new Map(),
    ipv6: new Map(),
  };
  readonly #vtepMacsOf: VtepMacsOf;

  constructor(addresses: SharedAddresses, vtepMacsOf: VtepMacsOf) {
    this.addresses = addresses;
    this.#vtepMacsOf = vtepMacsOf;
  }

  /** A lease comes into use. */
  enter(entry: PeerEntry, lease: Lease): void {
    for (const block of blocksOf(lease.subnet)) this.#blocks.add(block, entry);
    for (const { family, mac } of this.#vtepMacsOf(lease)) {
      const others = this.#vtepMacs[family].get(mac.key);
      this.#vtepMacs[family].set(mac.key, others === undefined ? [entry] : [...others, entry]);
    }
    if (entry.isOwn) return;
    for (const address of addressesOf(lease.attributes)) this.addresses.add(entry.key, address);
  }

  /** A lease that has entered is not in use any more. */
  leave(entry: PeerEntry, lease: Lease): void {
    for (const block of blocksOf(lease.subnet)) this.#blocks.delete(block);
    for (const { family, mac } of this.#vtepMacsOf(lease)) {
      const rest = this.#vtepMacs[family].get(mac.key)?.filter(other => other !== entry) ?? [];
      if (rest.length === 0) this.#vtepMacs[family].delete(mac.key);
      else this.#vtepMacs[family].set(mac.key, rest);
    }
    for (const address of addressesOf(lease.attributes)) this.addresses.delete(entry.key, address);
  }

  /** Others with a part of the subnet. */
  overlapping(entry: PeerEntry, { subnet }: Lease): readonly PeerEntry[] {
    const found = blocksOf(subnet).flatMap(block => this.#blocks.overlaps(block));
    return found.map(({ value }) => value).filter(other => other !== entry);
  }

  /** Others with a VTEP MAC address of this lease, at another public address. */
  atVtepsOf(entry: PeerEntry, lease: Lease): readonly PeerEntry[] {
    return this.#vtepMacsOf(lease).flatMap(({ family, mac }) => {
      const address = lease.attributes.publicIp[family];
      const others = this.#vtepMacs[family].get(mac.key) ?? [];
      return others.filter(
        other =>
          other !== entry && other.active && !address?.equals(other.active.attributes.publicIp[family]),
      );
    });
  }

  /** Whether two leases name the same VTEP MAC addresses. */
  nameSameVteps(a: Lease, b: Lease): boolean {
    const names = (lease: Lease) => this.#vtepMacsOf(lease).map(({ family, mac }) => `${family} ${mac}`);
    return names(a).join() === names(b).join();
  }
}

export interface SharedAddress {
  readonly address: Ip;
  readonly keys: readonly string[];
}

/** Which public addresses several peers publish; each is reported once for every peer that joins in. */
export class SharedAddresses {
  readonly #report: (shared: SharedAddress) => void;
  /** Keys of the peers that publish an address, by its text: almost always one. */
  readonly #holders = new Map<string, readonly string[]>();
  /** Of addresses that were reported as shared: those that were part of a report. */
  readonly #reported = new Map<string, Set<string>>();

  constructor(report: (shared: SharedAddress) => void) {
    this.#report = report;
  }

  /** Addresses that more than one peer has. */
  *[Symbol.iterator](): Generator<SharedAddress, void> {
    for (const [text, keys] of this.#holders) if (keys.length > 1) yield { address: Ip.parse(text), keys };
  }

  /** The peers that publish this address. */
  keysOf(address: Ip): readonly string[] {
    return this.#holders.get(address.toString()) ?? [];
  }

  add(key: string, address: Ip): void {
    const text = address.toString();
    const keys = [...(this.#holders.get(text) ?? []), key];
    this.#holders.set(text, keys);
    if (keys.length < 2 || this.#reported.get(text)?.has(key) === true) return;
    this.#reported.set(text, new Set([...(this.#reported.get(text) ?? []), ...keys]));
    this.#report({ address, keys });
  }

  delete(key: string, address: Ip): void {
    const text = address.toString();
    const keys = this.#holders.get(text)?.filter(other => other !== key) ?? [];
    if (keys.length > 0) this.#holders.set(text, keys);
    else {
      this.#holders.delete(text);
      this.#reported.delete(text);
    }
  }
}
