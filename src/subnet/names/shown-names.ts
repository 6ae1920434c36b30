/**
 * How everything is called, for whoever asks on this host: what the store has, and of this host's own what it says itself,
 * whether or not the store has that already. While the store is away, a container of this host is known at once, and one
 * that is gone is not.
 *
 * An address for which the store has names of another host is called what that host says, as long as the store says so.
 */
import type { Ip } from '../../base/ip.ts';
import { NameTable } from './name-table.ts';
import type { StoredNames } from './name-watch.ts';
import type { KnownNames, NamedAddress } from './names.ts';

/** What a host says of its own. */
export interface StatedNames {
  readonly hostId: string;
  /** By key. */
  readonly named: ReadonlyMap<string, NamedAddress>;
  /** Of which networks is not known yet what is on them: what the store has of this host there counts. */
  readonly isUnknown: (network: string) => boolean;
}

export class ShownNames implements KnownNames {
  readonly #stored: ReadonlyMap<string, StoredNames>;
  readonly #table = new NameTable();
  /** What the table has, by key. */
  readonly #shown = new Map<string, NamedAddress>();
  /** Undefined until it was stated for the first time. */
  #own: StatedNames | undefined;

  /** @param stored what the store has, by key; each change is told with `refresh` */
  constructor(stored: ReadonlyMap<string, StoredNames>) {
    this.#stored = stored;
  }

  get count(): number {
    return this.#table.count;
  }

  lookup(network: string, name: string): readonly Ip[] {
    return this.#table.lookup(network, name);
  }

  reverse(ip: Ip): readonly { readonly network: string; readonly name: string }[] {
    return this.#table.reverse(ip);
  }

  hasNetwork(network: string): boolean {
    return this.#table.hasNetwork(network);
  }

  /** In no order. */
  all(): readonly NamedAddress[] {
    return [...this.#shown.values()];
  }

  /** All that the host says, each time. */
  state(own: StatedNames): void {
    this.#own = own;
    const stale = [...this.#shown].filter(([, { hostId }]) => hostId === own.hostId).map(([key]) => key);
    for (const key of new Set([...stale, ...own.named.keys()])) this.refresh(key);
    // What was hidden before, of networks that are not known now.
    for (const [key, { named }] of this.#stored) if (named.hostId === own.hostId) this.refresh(key);
  }

  /** The store or this host says something else of this key. */
  refresh(key: string): void {
    const before = this.#shown.get(key);
    const now = this.#choose(key);
    if (before === now || (before !== undefined && now !== undefined && isSame(before, now))) return;
    if (before !== undefined) this.#table.remove(before);
    if (now === undefined) {
      this.#shown.delete(key);
      return;
    }
    this.#shown.set(key, now);
    this.#table.add(now);
  }

  #choose(key: string): NamedAddress | undefined {
    const stored = this.#stored.get(key);
    const own = this.#own;
    if (own === undefined) return stored?.named;
    const isOther = stored !== undefined && stored.named.hostId !== own.hostId;
    const stated = own.named.get(key);
    if (stated !== undefined) return isOther && !stored.isForgotten ? stored.named : stated;
    return isOther || (stored !== undefined && own.isUnknown(stored.named.network))
      ? stored.named
      : undefined;
  }
}

function isSame(one: NamedAddress, other: NamedAddress): boolean {
  return (
    one.hostId === other.hostId &&
    one.hostName === other.hostName &&
    one.names.length === other.names.length &&
    one.names.every((name, at) => name === other.names[at])
  );
}
