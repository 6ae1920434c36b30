/**
 * The addresses of this host on one L2 network: connects and disconnects containers, one after the other, keeps the file,
 * and keeps the ranges as the store has them.
 */
import { ParseError } from '../base/errors.ts';
import { type Family, Ip } from '../base/ip.ts';
import { byFamily, familiesOf, type PerFamily } from '../base/per-family.ts';
import type { Prefix } from '../base/prefix.ts';
import { type Revision, StoreError } from '../store/store.ts';
import { connectPart, type Segment, type SegmentSnapshot } from '../subnet/segment/segment.ts';
import { SegmentError } from '../subnet/segment/segment-error.ts';
import { duplicateAddress } from '../subnet/segment/segment-registry.ts';
import type { AddressBook, GivenAddress } from './address-book.ts';
import { BookFile } from './book-file.ts';
import {
  type AddressSite,
  endpointOf,
  isUsable,
  problemsOfRequest,
  problemsOfReservation,
} from './check-request.ts';
import { chooseAddress, isHolder, type ReserveRequest, takeKept } from './choose-address.ts';
import type { Connection, ConnectRequest, HostAddressesOptions } from './connection.ts';
import { IpamError } from './errors.ts';
import { nextFree } from './next-free.ts';
import { findRanges, rangeBlocks } from './own-ranges.ts';

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
    const addresses = new SegmentAddresses(options, segment, file, book);
    // An address that an engine holds out of a range of this host is published while a link has it.
    const claimed = book
      .addresses()
      .filter(({ ip, engine }) => engine === undefined || !addresses.#isOwn(ip));
    const endpoints = claimed.map(address => endpointOf(address, options.host));
    options.presence.restore(segment, endpoints);
    return addresses;
  }

  /** In the order in which they were given out. */
  given(): readonly GivenAddress[] {
    return this.#book.addresses();
  }

  holder(ip: Ip): GivenAddress | undefined {
    return this.#book.at(ip);
  }

  /** As HostAddresses.connect. */
  async connect(request: ConnectRequest, found: SegmentSnapshot): Promise<Connection> {
    const present = byFamily(...this.#book.of(request.container).map(({ ip }) => ip));
    const problems = problemsOfRequest(request, present, { ...this.#site(found), given: this.given() });
    if (problems.length > 0) throw new IpamError('UNUSABLE_ADDRESS', problems.join('; '));
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

  /** As HostAddresses.reserve. */
  async reserve(request: ReserveRequest, found: SegmentSnapshot): Promise<Ip> {
    const { ip: wanted, mac, container, engine, keep } = request;
    const book = this.#book;
    const holder = wanted && book.at(wanted);
    if (wanted !== undefined && holder !== undefined) {
      if (isHolder(holder, request)) return wanted;
      throw duplicateAddress(this.segment.name, endpointOf(holder, this.#options.host));
    }
    const problems = problemsOfReservation(request, this.#site(found));
    if (problems.length > 0) throw new IpamError('UNUSABLE_ADDRESS', problems.join('; '));
    const ip = wanted ?? (await this.#choose(request, found));
    if (wanted !== undefined) await this.#claim(wanted, request, found);
    book.give({ ip, mac, container, engine });
    if (keep === true) book.keep(container, ip);
    await this.#save();
    return ip;
  }

  /** As HostAddresses.release. */
  async release(ip: Ip): Promise<void> {
    if (this.#book.at(ip)?.engine === undefined) return;
    this.#free(ip);
    await this.#save();
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

  /** Nothing more is given out in this run. */
  async close(): Promise<void> {
    await this.#file.close();
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

  /** One of this host's ranges, which needs nobody else; a further range before one that is kept for another container. */
  async #choose(request: ReserveRequest, found: SegmentSnapshot): Promise<Ip> {
    const { family } = request;
    for (;;) {
      const blocks = rangeBlocks(this.#book, family).map(block => connectPart(this.segment, block));
      const isTaken = this.#takenIn(found);
      const ip = chooseAddress(this.#book, request, { blocks, isTaken });
      if (ip !== undefined) return ip;
      try {
        await this.#lease(family);
      } catch (error) {
        const kept = takeKept(this.#book, family, { blocks, isTaken });
        if (kept === undefined) throw error;
        return kept;
      }
    }
  }

  /** What is in a range of this host is its own; any other address is asked for in the store. */
  async #claim(ip: Ip, { mac, container }: ReserveRequest, found: SegmentSnapshot): Promise<void> {
    const { presence, host } = this.#options;
    const other = found.endpoints.get(ip.key);
    if (other !== undefined && other.hostId !== host.hostId) {
      throw duplicateAddress(this.segment.name, other);
    }
    if (this.#isOwn(ip)) return;
    await presence.add(this.segment, [endpointOf({ ip, mac, container }, host)]);
  }

  #isOwn(ip: Ip): boolean {
    return this.#book.ranges().some(({ block }) => block.contains(ip));
  }

  #takenIn({ endpoints }: SegmentSnapshot): (ip: Ip) => boolean {
    const { hostId } = this.#options.host;
    return ip => {
      if (this.#book.at(ip) !== undefined || !isUsable(ip, this.segment)) return true;
      const other = endpoints.get(ip.key);
      return other !== undefined && other.hostId !== hostId;
    };
  }

  #site(found: SegmentSnapshot): AddressSite {
    const { watch, host } = this.#options;
    return { found, host, isConnected: watch.isConnected.value };
  }

  /** The next free one of this host's ranges, of which it leases a further one when all are full. */
  async #freeAddress(
    family: Family,
    found: SegmentSnapshot,
    excluded: ReadonlySet<number | bigint>,
  ): Promise<Ip> {
    const isTaken = this.#takenIn(found);
    for (;;) {
      const blocks = rangeBlocks(this.#book, family).map(block => connectPart(this.segment, block));
      const ip = nextFree(blocks, this.#book.last(family), one => excluded.has(one.key) || isTaken(one));
      if (ip !== undefined) return ip;
      await this.#lease(family);
    }
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
      await this.#file.save();
    } catch (error) {
      this.#options.onEvent?.({ type: 'not-saved', network: this.segment.name, error });
    }
  }
}
