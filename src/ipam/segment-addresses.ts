/**
 * The addresses of this host on one L2 network: connects and disconnects containers, one after the other, keeps the file,
 * and keeps the ranges as the store has them.
 */
import { defined } from '../base/defined.ts';
import { ParseError } from '../base/errors.ts';
import { type Family, Ip } from '../base/ip.ts';
import { byFamily, familiesOf, type PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { type Revision, StoreError } from '../store/store.ts';
import { isAddressOfHost } from '../subnet/segment/check-segment.ts';
import {
  connectPart,
  dockerPart,
  nameOfHost,
  rangeHolding,
  type Segment,
  type SegmentEndpoint,
  type SegmentSnapshot,
} from '../subnet/segment/segment.ts';
import { SegmentError } from '../subnet/segment/segment-error.ts';
import { gatewayMac } from '../subnet/segment/segment-mac.ts';
import { duplicateAddress } from '../subnet/segment/segment-registry.ts';
import type { AddressBook, GivenAddress } from './address-book.ts';
import { BookFile } from './book-file.ts';
import type { Connection, ConnectRequest, HostAddressesOptions } from './connection.ts';
import { IpamError } from './errors.ts';
import { nextFree } from './next-free.ts';
import { findRanges, type HostMarks, rangeBlocks } from './own-ranges.ts';

export class SegmentAddresses {
  readonly segment: Segment;
  readonly #options: HostAddressesOptions;
  readonly #file: BookFile;
  readonly #book: AddressBook;

  private constructor(options: HostAddressesOptions, segment: Segment, file: BookFile, book: AddressBook) {
    this.#options = options;
    this.segment = segment;
    this.#file = file;
    this.#book = book;
  }

  /** With what the last run knew, which is published again. */
  static async open(options: HostAddressesOptions, segment: Segment): Promise<SegmentAddresses> {
    const file = new BookFile(options.directory, segment);
    const { book, lost } = await file.open();
    if (lost !== undefined) options.onEvent?.({ type: 'lost', network: segment.name, error: lost });
    const endpoints = book.addresses().map(address => endpointOf(address, options.host));
    options.presence.restore(segment, endpoints);
    return new SegmentAddresses(options, segment, file, book);
  }

  /** In the order in which they were given out. */
  given(): readonly GivenAddress[] {
    return this.#book.addresses();
  }

  /** As HostAddresses.connect. */
  async connect(request: ConnectRequest, found: SegmentSnapshot): Promise<Connection> {
    const present = byFamily(...this.#book.of(request.container).map(({ ip }) => ip));
    this.#checkWanted(request, present, found);
    const wanted = { ...byFamily(...(request.ips ?? [])), ...present };
    const state = await this.#take(request, wanted, found);
    await this.#save();
    return {
      addresses: byFamily(...this.#book.of(request.container).map(({ ip }) => ip)),
      isPublished: state === 'published',
    };
  }

  /** As HostAddresses.disconnect. */
  async disconnect(container: string): Promise<readonly Ip[]> {
    const ips = this.#book.of(container).map(({ ip }) => ip);
    for (const ip of ips) this.#free(ip);
    if (ips.length > 0) await this.#save();
    return ips;
  }

  /** As HostAddresses.ranges. */
  async ranges(family: Family): Promise<readonly Prefix[]> {
    const present = rangeBlocks(this.#book, family);
    if (present.length > 0) return present;
    const block = await this.#lease(family);
    await this.#save();
    return [block];
  }

  /** Gives everything back. @throws StoreError */
  async leave(): Promise<void> {
    const { registry, presence, host } = this.#options;
    presence.restore(this.segment, []);
    for (const { block } of this.#book.ranges()) {
      await registry.releaseRange(this.segment, { ...host, block });
    }
    await this.#file.remove();
  }

  /** There is no such network any more. */
  async forget(): Promise<void> {
    this.#options.presence.forget(this.segment);
    await this.#file.remove();
  }

  /** Compares its ranges with those in the store. */
  async settle(found: SegmentSnapshot): Promise<void> {
    const { watch, host, onEvent } = this.#options;
    const findings = findRanges(found, watch.snapshot?.revision ?? 0n, this.#book, host);
    const lost = [...findings.lost];
    for (const range of findings.found) this.#book.addRange(range);
    for (const range of watch.isConnected.value ? findings.missing : []) {
      const revision = await this.#reclaim(range.block);
      if (revision === 'lost') lost.push(range);
      else if (revision !== undefined) this.#book.addRange({ block: range.block, revision });
    }
    for (const { block } of [...findings.unneeded, ...lost]) this.#book.removeRange(block);
    for (const { block } of lost) onEvent?.({ type: 'range-lost', network: this.segment.name, block });
    if (findings.found.length + findings.missing.length + findings.unneeded.length + lost.length > 0)
      await this.#save();
  }

  /** @throws IpamError for addresses that a container cannot have, every reason at once */
  #checkWanted(
    { container, mac, ips = [] }: ConnectRequest,
    present: PerFamily<Ip>,
    found: SegmentSnapshot,
  ): void {
    const { watch, host } = this.#options;
    const { segment } = this;
    const stations = [...found.endpoints.values(), ...this.given().map(one => endpointOf(one, host))];
    const rival = stations.find(
      one => one.mac.equals(mac) && (one.container !== container || one.hostId !== host.hostId),
    );
    const ofMac = mac.equals(gatewayMac(segment))
      ? [`${mac} is the MAC address of the gateway of ${segment.name}`]
      : rival === undefined
        ? []
        : [`${mac} is the MAC address of ${rival.container} on ${nameOfHost(rival)}`];
    const ofIps = ips.flatMap((ip, at) => {
      if (present[ip.family]?.equals(ip)) return [];
      if (present[ip.family] !== undefined) return `${container} has ${present[ip.family]} already`;
      // Who has it says more than who gives it out.
      if (found.endpoints.has(ip.key)) return [];
      const holder = rangeHolding(found, ip);
      const isOfAnother = holder !== undefined && holder.hostId !== host.hostId;
      if (ips.findIndex(one => one.family === ip.family) < at) return `${ip} is one more of its family`;
      if (!isUsable(ip, segment)) return `${ip} is no address that a container of ${segment.name} can have`;
      if (isOfAnother && segment.docker) {
        return `${ip} is in ${holder.block}, out of which Docker on ${nameOfHost(holder)} gives addresses`;
      }
      if (holder?.hostId === host.hostId && !connectPart(segment, holder.block).contains(ip)) {
        return `${ip} is in ${dockerPart(holder.block)}, out of which Docker on this host gives addresses`;
      }
      if (holder?.hostId !== host.hostId && !watch.isConnected.value) {
        return `${ip} is in no range of this host, and the store does not answer`;
      }
      return [];
    });
    const problems = [...ofMac, ...ofIps];
    if (problems.length > 0) throw new IpamError('UNUSABLE_ADDRESS', problems.join('; '));
  }

  /** Takes an address of each family, the wanted or the next free one; in one write, and all of them or none. */
  async #take(
    { container, mac }: ConnectRequest,
    wanted: PerFamily<Ip>,
    found: SegmentSnapshot,
  ): Promise<'published' | 'pending'> {
    const { presence, host } = this.#options;
    const { name, subnets } = this.segment;
    const excluded = new Set<number | bigint>();
    for (;;) {
      const taken: GivenAddress[] = [];
      for (const family of familiesOf(subnets)) {
        const ip = wanted[family] ?? (await this.#freeAddress(family, found, excluded));
        const owner = this.#book.at(ip);
        if (owner !== undefined && owner.container !== container) {
          throw duplicateAddress(name, endpointOf(owner, host));
        }
        taken.push({ ip, mac, container });
      }
      try {
        const endpoints = taken.map(address => endpointOf(address, host));
        const state = await presence.add(this.segment, endpoints);
        for (const address of taken) {
          const { ip } = address;
          this.#book.give(address);
          if (wanted[ip.family] === undefined) this.#book.remember(ip);
        }
        return state;
      } catch (error) {
        const ip = error instanceof SegmentError ? error.owner?.ip : undefined;
        if (ip === undefined || wanted[ip.family] !== undefined) throw error;
        excluded.add(ip.key);
      }
    }
  }

  /** The next free one of this host's ranges, of which it leases a further one when all are full. */
  async #freeAddress(
    family: Family,
    found: SegmentSnapshot,
    excluded: ReadonlySet<number | bigint>,
  ): Promise<Ip> {
    for (;;) {
      const ip = this.#nextFree(family, found, excluded);
      if (ip !== undefined) return ip;
      await this.#lease(family);
    }
  }

  #nextFree(family: Family, { endpoints }: SegmentSnapshot, excluded: ReadonlySet<number | bigint>) {
    const book = this.#book;
    const blocks = rangeBlocks(book, family).map(block => connectPart(this.segment, block));
    return nextFree(blocks, book.last(family), ip => {
      if (book.at(ip) !== undefined || excluded.has(ip.key) || !isUsable(ip, this.segment)) return true;
      const other = endpoints.get(ip.key);
      return other !== undefined && other.hostId !== this.#options.host.hostId;
    });
  }

  async #lease(family: Family): Promise<Prefix> {
    const { registry, watch, host } = this.#options;
    if (!watch.isConnected.value) {
      const { name } = this.segment;
      const message = `this host has no free address on the network ${name}, and the store does not answer`;
      throw new IpamError('NO_ADDRESS', message, {
        hint: 'it leases a further range when the store is back',
      });
    }
    const { block, modRevision } = await registry.leaseRange(this.segment, family, host);
    this.#book.addRange({ block, revision: modRevision });
    return block;
  }

  /** Undefined when the store fails, which is asked again when it is back. */
  async #reclaim(block: Prefix): Promise<Revision | 'lost' | undefined> {
    const { registry, host } = this.#options;
    try {
      return (await registry.reclaimRange(this.segment, { ...host, block })) ?? 'lost';
    } catch (error) {
      if (error instanceof StoreError || error instanceof SegmentError) return undefined;
      if (error instanceof ParseError) return 'lost';
      throw error;
    }
  }

  #free(ip: Ip): void {
    this.#options.presence.remove(this.segment, ip);
    this.#book.free(ip);
  }

  async #save(): Promise<void> {
    try {
      await this.#file.save(this.#book);
    } catch (error) {
      this.#options.onEvent?.({ type: 'not-saved', network: this.segment.name, error });
    }
  }
}

const endpointOf = (
  { ip, mac, container }: GivenAddress,
  { hostId, hostName }: HostMarks,
): SegmentEndpoint => ({
  ip,
  mac,
  container,
  hostId,
  ...defined({ hostName }),
});

/** Whether a container can have it, as far as the network alone says. */
function isUsable(ip: Ip, { subnets, gateways }: Segment): boolean {
  const subnet = subnets[ip.family];
  return subnet !== undefined && isAddressOfHost(ip, subnet) && gateways[ip.family]?.equals(ip) !== true;
}
