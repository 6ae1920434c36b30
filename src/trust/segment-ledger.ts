/**
 * Every L2 network by what may be asked of it before a host writes there: which it is, whose a key is, which addresses and
 * MAC addresses hosts have. One key more or less costs the same however many there are.
 */
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { valuesOf } from '../base/per-family.ts';
import type { Segment, SegmentEndpoint, SegmentMember, SegmentRange } from '../subnet/segment/segment.ts';
import type { SegmentKey } from '../subnet/segment/segment-key.ts';
import {
  decodeEndpoint,
  decodeMember,
  decodeSegment,
  decodeSegmentRange,
} from '../subnet/segment/segment-value.ts';

/** What a key below `networks/` says. */
export type SegmentEntry =
  | { readonly kind: 'config'; readonly segment: Segment }
  | { readonly kind: 'member'; readonly member: SegmentMember }
  | { readonly kind: 'endpoint'; readonly endpoint: SegmentEndpoint }
  | { readonly kind: 'range'; readonly range: SegmentRange };

/** @throws ParseError */
export function decodeEntry(key: SegmentKey, value: Uint8Array): SegmentEntry {
  switch (key.kind) {
    case 'config':
      return {
        kind: 'config',
        segment: { name: key.name, ...decodeSegment(value), createRevision: 0n },
      };
    case 'member':
      return { kind: 'member', member: decodeMember(key.hostId, value) };
    case 'endpoint':
      return { kind: 'endpoint', endpoint: decodeEndpoint(key.ip, value) };
    case 'range':
      return { kind: 'range', range: decodeSegmentRange(key.block, value) };
  }
}

/** The host to which an entry belongs; a network belongs to none. */
export function hostIdOfEntry(entry: SegmentEntry): string | undefined {
  switch (entry.kind) {
    case 'config':
      return undefined;
    case 'member':
      return entry.member.hostId;
    case 'endpoint':
      return entry.endpoint.hostId;
    case 'range':
      return entry.range.hostId;
  }
}

/** One network. */
class SegmentLedgerPage {
  segment: Segment | undefined;
  readonly ranges = new Map<string, SegmentRange>();
  /** MAC address -> host -> how many of its endpoints have it. */
  readonly macs = new Map<number, Map<string, number>>();
}

export class SegmentLedger {
  readonly #entries = new Map<string, SegmentEntry>();
  readonly #pages = new Map<string, SegmentLedgerPage>();
  /** Underlay address -> keys of members. */
  readonly #members = new Map<string, Set<string>>();
  /** Host -> how many endpoints and ranges. */
  readonly #counts = new Map<string, { endpoints: number; ranges: number }>();

  /** @param key below `networks/` */
  put(key: string, name: string, entry: SegmentEntry): void {
    this.delete(key, name);
    this.#entries.set(key, entry);
    this.#count(key, name, entry, 1);
  }

  delete(key: string, name: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#count(key, name, entry, -1);
  }

  clear(): void {
    this.#entries.clear();
    this.#pages.clear();
    this.#members.clear();
    this.#counts.clear();
  }

  get(key: string): SegmentEntry | undefined {
    return this.#entries.get(key);
  }

  segment(name: string): Segment | undefined {
    return this.#pages.get(name)?.segment;
  }

  segments(): readonly Segment[] {
    return [...this.#pages.values()].flatMap(({ segment }) => segment ?? []);
  }

  ranges(name: string): Iterable<SegmentRange> {
    return this.#pages.get(name)?.ranges.values() ?? [];
  }

  /** Hosts of which an endpoint has this MAC address. */
  hostsOfMac(name: string, mac: Mac): Iterable<string> {
    return this.#pages.get(name)?.macs.get(mac.key)?.keys() ?? [];
  }

  /** Hosts that are members of any network with this underlay address. */
  hostsOfAddress(address: Ip): readonly string[] {
    return [...(this.#members.get(`${address}`) ?? [])].flatMap(key => {
      const entry = this.#entries.get(key);
      return entry?.kind === 'member' ? [entry.member.hostId] : [];
    });
  }

  countsOf(hostId: string): { readonly endpoints: number; readonly ranges: number } {
    return this.#counts.get(hostId) ?? { endpoints: 0, ranges: 0 };
  }

  #count(key: string, name: string, entry: SegmentEntry, step: 1 | -1): void {
    const page = this.#page(name);
    const counts = this.#counts.get(hostIdOfEntry(entry) ?? '') ?? { endpoints: 0, ranges: 0 };
    switch (entry.kind) {
      case 'config':
        page.segment = step === 1 ? entry.segment : undefined;
        return;
      case 'member':
        for (const address of valuesOf(entry.member.addresses)) this.#note(`${address}`, key, step);
        return;
      case 'endpoint': {
        counts.endpoints += step;
        const hosts = page.macs.get(entry.endpoint.mac.key) ?? new Map<string, number>();
        const left = (hosts.get(entry.endpoint.hostId) ?? 0) + step;
        if (left > 0) hosts.set(entry.endpoint.hostId, left);
        else hosts.delete(entry.endpoint.hostId);
        if (hosts.size > 0) page.macs.set(entry.endpoint.mac.key, hosts);
        else page.macs.delete(entry.endpoint.mac.key);
        this.#counts.set(entry.endpoint.hostId, counts);
        return;
      }
      case 'range':
        counts.ranges += step;
        if (step === 1) page.ranges.set(key, entry.range);
        else page.ranges.delete(key);
        this.#counts.set(entry.range.hostId, counts);
        return;
    }
  }

  #note(address: string, key: string, step: 1 | -1): void {
    const keys = this.#members.get(address) ?? new Set<string>();
    if (step === 1) keys.add(key);
    else keys.delete(key);
    if (keys.size > 0) this.#members.set(address, keys);
    else this.#members.delete(address);
  }

  #page(name: string): SegmentLedgerPage {
    let page = this.#pages.get(name);
    if (page === undefined) {
      page = new SegmentLedgerPage();
      this.#pages.set(name, page);
    }
    return page;
  }
}
