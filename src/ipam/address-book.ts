/**
 * Who has which address on one network of this host, and which ranges it gives them out of: a value in memory. What is
 * changed is said by `takeChanges`, for the file (book-text.ts has its lines).
 */
import type { Family, Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import type { Prefix } from '../base/prefix.ts';
import type { Revision } from '../store/store.ts';

/** One address of one container. */
export interface GivenAddress {
  readonly ip: Ip;
  readonly mac: Mac;
  readonly container: string;
  /** Who asked for it, and says when it is free; absent for what `tulle network connect` connects. */
  readonly engine?: string;
}

/** A range as this host leased it. */
export interface OwnRange {
  readonly block: Prefix;
  /** Since when the store has it: an older state of the store says nothing about it. */
  readonly revision: Revision;
}

/** An address that is kept for a container of this name. */
export interface KeptAddress {
  readonly container: string;
  readonly ip: Ip;
}

export type BookChange =
  | { readonly type: 'given'; readonly address: GivenAddress }
  | { readonly type: 'freed'; readonly ip: Ip }
  | { readonly type: 'range'; readonly range: OwnRange }
  | { readonly type: 'no-range'; readonly block: Prefix }
  | { readonly type: 'last'; readonly ip: Ip }
  | { readonly type: 'kept'; readonly kept: KeptAddress }
  | { readonly type: 'not-kept'; readonly ip: Ip };

export class AddressBook {
  readonly network: string;
  /** Of the network: a later one of the same name has other addresses. */
  readonly id: string;
  readonly #ranges = new Map<number | bigint, OwnRange>();
  readonly #addresses = new Map<number | bigint, GivenAddress>();
  /** What `tulle network connect` gave, by container. */
  readonly #connected = new Map<string, Map<number | bigint, GivenAddress>>();
  readonly #last = new Map<Family, Ip>();
  /** The one that was kept first is the first. */
  readonly #kept = new Map<number | bigint, KeptAddress>();
  /** By container and family. */
  readonly #keptFor = new Map<string, Ip>();
  #changes: BookChange[] = [];

  constructor({ name, id }: { readonly name: string; readonly id: string }) {
    this.network = name;
    this.id = id;
  }

  /** How many addresses are given out. */
  get size(): number {
    return this.#addresses.size;
  }

  addresses(): readonly GivenAddress[] {
    return [...this.#addresses.values()];
  }

  /** In order. */
  ranges(): readonly OwnRange[] {
    return [...this.#ranges.values()].sort((a, b) => a.block.compare(b.block));
  }

  at(ip: Ip): GivenAddress | undefined {
    return this.#addresses.get(ip.key);
  }

  /** What `tulle network connect` has given to a container. */
  of(container: string): readonly GivenAddress[] {
    return [...(this.#connected.get(container)?.values() ?? [])];
  }

  /** The address of the family that was given out last. */
  last(family: Family): Ip | undefined {
    return this.#last.get(family);
  }

  /** Addresses that are kept, the oldest first, whether they are given out or not. */
  kept(): Iterable<KeptAddress> {
    return this.#kept.values();
  }

  isKept(ip: Ip): boolean {
    return this.#kept.has(ip.key);
  }

  keptFor(container: string, family: Family): Ip | undefined {
    return this.#keptFor.get(`${family} ${container}`);
  }

  give(address: GivenAddress): void {
    this.#change({ type: 'given', address });
  }

  /** The search for the next one goes on from here. */
  remember(ip: Ip): void {
    this.#change({ type: 'last', ip });
  }

  free(ip: Ip): void {
    if (this.#addresses.has(ip.key)) this.#change({ type: 'freed', ip });
  }

  /** From now on for this container alone, which has no other one of the family kept. */
  keep(container: string, ip: Ip): void {
    if (this.#kept.get(ip.key)?.container !== container) {
      this.#change({ type: 'kept', kept: { container, ip } });
    }
  }

  /** Anybody may have it again. */
  forget(ip: Ip): void {
    if (this.#kept.has(ip.key)) this.#change({ type: 'not-kept', ip });
  }

  addRange(range: OwnRange): void {
    this.#change({ type: 'range', range });
  }

  removeRange(block: Prefix): void {
    this.#change({ type: 'no-range', block });
  }

  /** Whether an address of the block is given out. */
  isUsed(block: Prefix): boolean {
    for (const { ip } of this.#addresses.values()) if (block.contains(ip)) return true;
    return false;
  }

  /** What was changed since the last call, in order. */
  takeChanges(): readonly BookChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  /** Changes that make the same book of an empty one. */
  asChanges(): readonly BookChange[] {
    return [
      ...this.ranges().map(range => ({ type: 'range', range }) as const),
      ...Array.from(this.#last.values(), ip => ({ type: 'last', ip }) as const),
      ...Array.from(this.#kept.values(), kept => ({ type: 'kept', kept }) as const),
      ...Array.from(this.#addresses.values(), address => ({ type: 'given', address }) as const),
    ];
  }

  /** As a file says it: it is not told again by `takeChanges`. */
  apply(change: BookChange): void {
    switch (change.type) {
      case 'given':
        return this.#give(change.address);
      case 'freed':
        return this.#free(change.ip);
      case 'range':
        return void this.#ranges.set(change.range.block.key, change.range);
      case 'no-range':
        return void this.#ranges.delete(change.block.key);
      case 'last':
        return void this.#last.set(change.ip.family, change.ip);
      case 'kept':
        return this.#keep(change.kept);
      case 'not-kept':
        return this.#forget(change.ip);
    }
  }

  #change(change: BookChange): void {
    this.apply(change);
    this.#changes.push(change);
  }

  #give(address: GivenAddress): void {
    const { ip, container, engine } = address;
    this.#free(ip);
    this.#addresses.set(ip.key, address);
    if (engine !== undefined) return;
    const own = this.#connected.get(container) ?? new Map<number | bigint, GivenAddress>();
    this.#connected.set(container, own.set(ip.key, address));
  }

  #free(ip: Ip): void {
    const { container = '' } = this.#addresses.get(ip.key) ?? {};
    this.#addresses.delete(ip.key);
    const own = this.#connected.get(container);
    own?.delete(ip.key);
    if (own?.size === 0) this.#connected.delete(container);
  }

  #keep(kept: KeptAddress): void {
    const { ip, container } = kept;
    const former = this.keptFor(container, ip.family);
    if (former !== undefined) this.#forget(former);
    this.#forget(ip);
    this.#kept.set(ip.key, kept);
    this.#keptFor.set(`${ip.family} ${container}`, ip);
  }

  #forget(ip: Ip): void {
    const kept = this.#kept.get(ip.key);
    if (kept === undefined) return;
    this.#kept.delete(ip.key);
    this.#keptFor.delete(`${ip.family} ${kept.container}`);
  }
}
