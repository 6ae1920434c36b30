/**
 * Who has an entry that several paths want: of several networks the one that began first, within it the highest revision,
 * on every host alike. The tables of several links may share one list of owners where there is but one entry for all
 * of them, as there is one route to a destination: then only the table of the winner has it desired.
 */
import type { Entry, Key } from '../tables/entry.ts';

/** What it needs of a table. */
export interface OwnedTable<Value extends Entry> {
  desired(key: Key): Value | undefined;
  actual(key: Key): Value | undefined;
  /** What is programmed from now on. */
  want(key: Key, value: Value | undefined): void;
  /** The table of another link had this in the place of the entry. */
  displace(key: Key, found: Value): void;
}

/** What a path wants in a table. */
export interface EntryClaim<Value extends Entry> {
  readonly table: OwnedTable<Value>;
  readonly value: Value;
}

export class EntryOwners<Value extends Entry> {
  /** Only entries that more than one path wants, as each of them wants it; nearly all entries have one owner. */
  readonly #claims = new Map<Key, readonly EntryClaim<Value>[]>();
  /** The table that has the entry desired, or had it last and may still hold it. Absent where there is but one table. */
  readonly #tables: Map<Key, OwnedTable<Value>> | undefined;

  /** @param isShared among the tables of several links */
  constructor(isShared = false) {
    this.#tables = isShared ? new Map() : undefined;
  }

  /** A path wants the entry in this table, in the place of what it wanted before. */
  add(key: Key, table: OwnedTable<Value>, value: Value): void {
    const winner = this.winner(key, table);
    const claim = { table, value };
    if (winner === undefined) this.#award(key, claim);
    else this.#decide(key, winner, [...this.#without(key, winner, table, value), claim]);
  }

  /** The path wants it no more. */
  remove(key: Key, table: OwnedTable<Value>, value: Value): void {
    const winner = this.winner(key, table);
    if (winner !== undefined) this.#decide(key, winner, this.#without(key, winner, table, value));
  }

  /** What is programmed, if anything is wanted. @param table one that may have it. */
  winner(key: Key, table: OwnedTable<Value>): EntryClaim<Value> | undefined {
    const holder = this.#tables === undefined ? table : this.#tables.get(key);
    const value = holder?.desired(key);
    return holder === undefined || value === undefined ? undefined : { table: holder, value };
  }

  /** What paths want in this table and do not get, because another path wants the entry otherwise. */
  *losers(
    table: OwnedTable<Value>,
    isSame: (a: Value, b: Value) => boolean,
  ): Generator<{ readonly value: Value; readonly winner: EntryClaim<Value> }> {
    for (const [key, claims] of this.#claims) {
      const winner = this.winner(key, table);
      if (winner === undefined) continue;
      for (const claim of claims) {
        if (claim.table !== table) continue;
        if (winner.table !== table || !isSame(claim.value, winner.value))
          yield { value: claim.value, winner };
      }
    }
  }

  /** Nothing is desired in this table any more. */
  release(table: OwnedTable<Value>): void {
    for (const key of this.#tables?.keys() ?? [])
      if (table.actual(key) === undefined) this.forget(key, table);
    for (const [key, claims] of this.#claims) {
      const others = claims.filter(claim => claim.table !== table);
      if (others.length === claims.length) continue;
      const [first] = others;
      this.#claims.delete(key);
      if (first !== undefined) this.#decide(key, undefined, others);
    }
  }

  /** The table holds nothing under this key any more. */
  forget(key: Key, table: OwnedTable<Value>): void {
    if (this.#tables?.get(key) === table && table.desired(key) === undefined) this.#tables.delete(key);
  }

  /** All claims but that of the path that wants `value` in `table`. */
  #without(key: Key, winner: EntryClaim<Value>, table: OwnedTable<Value>, value: Value): EntryClaim<Value>[] {
    const claims = this.#claims.get(key) ?? [winner];
    return claims.filter(claim => claim.table !== table || !isSameOwner(claim.value, value));
  }

  #decide(key: Key, former: EntryClaim<Value> | undefined, claims: readonly EntryClaim<Value>[]): void {
    if (claims.length > 1) this.#claims.set(key, claims);
    else this.#claims.delete(key);
    const [first, ...others] = claims;
    if (first === undefined) {
      former?.table.want(key, undefined);
      return;
    }
    const best = others.reduce((one, other) => (precedes(other.value, one.value) ? other : one), first);
    if (former !== undefined && former.table !== best.table) former.table.want(key, undefined);
    this.#award(key, best);
  }

  #award(key: Key, { table, value }: EntryClaim<Value>): void {
    table.want(key, value);
    const former = this.#tables?.get(key);
    this.#tables?.set(key, table);
    const found = former === table ? undefined : former?.actual(key);
    if (found !== undefined) table.displace(key, found);
  }
}

function isSameOwner({ owner: a }: Entry, { owner: b }: Entry): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.network === b.network && a.peer === b.peer && a.subnet.key === b.subnet.key;
}

function precedes({ owner: a }: Entry, { owner: b }: Entry): boolean {
  if (a === undefined || b === undefined) return b === undefined && a !== undefined;
  if (a.network !== b.network) return a.network.rank < b.network.rank;
  if (a.revision !== b.revision) return a.revision > b.revision;
  if (a.peer !== b.peer) return a.peer < b.peer;
  return a.link === b.link ? a.subnet.toString() < b.subnet.toString() : a.link < b.link;
}
