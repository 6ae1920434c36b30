/** Who has an entry that several peers want: the one with the highest revision, on every host alike. */
import type { Entry, Key } from './entry.ts';

export class Claims<Value extends Entry> {
  /** Only entries with more than one claim, with all of them; nearly all entries have one. */
  readonly #contested = new Map<Key, readonly Value[]>();

  /** Adds a claim, in the place of the peer's former one. Returns who has the entry now. @param holder who had it. */
  add(key: Key, holder: Value | undefined, claim: Value): Value {
    if (holder === undefined) return claim;
    const rivals = this.#claims(key, holder).filter(rival => rival.claim?.peer !== claim.claim?.peer);
    return this.#decide(key, [...rivals, claim]) ?? claim;
  }

  /** Takes the claim of a peer back, whatever it was. Returns who has the entry now. @param holder who had it. */
  remove(key: Key, holder: Value | undefined, peer: string | undefined): Value | undefined {
    const rest = this.#claims(key, holder).filter(rival => rival.claim?.peer !== peer);
    return this.#decide(key, rest);
  }

  clear(): void {
    this.#contested.clear();
  }

  #claims(key: Key, holder: Value | undefined): readonly Value[] {
    return this.#contested.get(key) ?? (holder === undefined ? [] : [holder]);
  }

  #decide(key: Key, claims: readonly Value[]): Value | undefined {
    if (claims.length > 1) this.#contested.set(key, claims);
    else this.#contested.delete(key);
    const [first, ...others] = claims;
    return others.reduce(
      (best, claim) => (best === undefined || precedes(claim, best) ? claim : best),
      first,
    );
  }
}

function precedes(a: Entry, b: Entry): boolean {
  const [left, right] = [a.claim?.revision ?? 0n, b.claim?.revision ?? 0n];
  return left === right ? (a.claim?.peer ?? '') < (b.claim?.peer ?? '') : left > right;
}
