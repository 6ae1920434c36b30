/** Who has an entry that several peers want: the one with the highest revision, on every host alike. */
import type { Entry, Key } from './entry.ts';

export class EntryOwners<Value extends Entry> {
  /** Only entries with more than one claim, with all of them; nearly all entries have one. */
  readonly #conflicting = new Map<Key, readonly Value[]>();

  /** Adds a claim, in the place of the peer's former one. Returns who has the entry now. @param holder who had it. */
  add(key: Key, holder: Value | undefined, owner: Value): Value {
    if (holder === undefined) return owner;
    const rivals = this.#claims(key, holder).filter(rival => rival.owner?.peer !== owner.owner?.peer);
    return this.#decide(key, [...rivals, owner]) ?? owner;
  }

  /** Takes the claim of a peer back, whatever it was. Returns who has the entry now. @param holder who had it. */
  remove(key: Key, holder: Value | undefined, peer: string | undefined): Value | undefined {
    const rest = this.#claims(key, holder).filter(rival => rival.owner?.peer !== peer);
    return this.#decide(key, rest);
  }

  clear(): void {
    this.#conflicting.clear();
  }

  #claims(key: Key, holder: Value | undefined): readonly Value[] {
    return this.#conflicting.get(key) ?? (holder === undefined ? [] : [holder]);
  }

  #decide(key: Key, claims: readonly Value[]): Value | undefined {
    if (claims.length > 1) this.#conflicting.set(key, claims);
    else this.#conflicting.delete(key);
    const [first, ...others] = claims;
    return others.reduce(
      (best, owner) => (best === undefined || precedes(owner, best) ? owner : best),
      first,
    );
  }
}

function precedes(a: Entry, b: Entry): boolean {
  const [left, right] = [a.owner?.revision ?? 0n, b.owner?.revision ?? 0n];
  return left === right ? (a.owner?.peer ?? '') < (b.owner?.peer ?? '') : left > right;
}
