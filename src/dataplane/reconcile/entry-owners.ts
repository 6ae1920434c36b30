/** Who has an entry that several paths want: the one with the highest revision, on every host alike. */
import type { Entry, EntryOwner, Key } from '../tables/entry.ts';

export class EntryOwners<Value extends Entry> {
  /** Only entries that more than one path wants, as each of them wants it; nearly all entries have one owner. */
  readonly #shared = new Map<Key, readonly Value[]>();

  /** Adds what an owner wants, in the place of what it wanted before. Returns what counts. @param holder what counted. */
  add(key: Key, holder: Value | undefined, value: Value): Value {
    if (holder === undefined) return value;
    const others = this.#wanted(key, holder).filter(other => !isSame(other.owner, value.owner));
    return this.#decide(key, [...others, value]) ?? value;
  }

  /** An owner wants the entry no more. Returns what counts now. @param holder what counted. */
  remove(key: Key, holder: Value | undefined, owner: EntryOwner | undefined): Value | undefined {
    return this.#decide(
      key,
      this.#wanted(key, holder).filter(other => !isSame(other.owner, owner)),
    );
  }

  clear(): void {
    this.#shared.clear();
  }

  #wanted(key: Key, holder: Value | undefined): readonly Value[] {
    return this.#shared.get(key) ?? (holder === undefined ? [] : [holder]);
  }

  #decide(key: Key, values: readonly Value[]): Value | undefined {
    if (values.length > 1) this.#shared.set(key, values);
    else this.#shared.delete(key);
    const [first, ...others] = values;
    return others.reduce(
      (best, value) => (best === undefined || precedes(value, best) ? value : best),
      first,
    );
  }
}

function isSame(a: EntryOwner | undefined, b: EntryOwner | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.peer === b.peer && a.subnet.key === b.subnet.key;
}

function precedes(a: Entry, b: Entry): boolean {
  const [left, right] = [a.owner?.revision ?? 0n, b.owner?.revision ?? 0n];
  return left === right ? (a.owner?.peer ?? '') < (b.owner?.peer ?? '') : left > right;
}
