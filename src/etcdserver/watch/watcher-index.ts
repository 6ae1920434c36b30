/** Finds the watchers of a key: those of exactly this key, and those of a range it lies in. */
import { contains, type KeyRange, keyText } from '../kv/range.ts';

export class WatcherIndex<W extends { readonly range: KeyRange }> {
  readonly #byKey = new Map<string, Set<W>>();
  /** Watchers of the same range share an entry: a thousand hosts that watch one prefix cost one comparison. */
  readonly #byRange = new Map<string, { readonly range: KeyRange; readonly watchers: Set<W> }>();

  add(watcher: W): void {
    const { range } = watcher;
    if (range.single) {
      const key = keyText(range.start);
      const watchers = this.#byKey.get(key);
      if (watchers === undefined) this.#byKey.set(key, new Set([watcher]));
      else watchers.add(watcher);
      return;
    }
    const id = rangeText(range);
    const entry = this.#byRange.get(id);
    if (entry === undefined) this.#byRange.set(id, { range, watchers: new Set([watcher]) });
    else entry.watchers.add(watcher);
  }

  delete(watcher: W): void {
    const { range } = watcher;
    const id = range.single ? keyText(range.start) : rangeText(range);
    const watchers = range.single ? this.#byKey.get(id) : this.#byRange.get(id)?.watchers;
    watchers?.delete(watcher);
    if (watchers?.size === 0) (range.single ? this.#byKey : this.#byRange).delete(id);
  }

  *matching(key: Uint8Array): Generator<W> {
    yield* this.#byKey.get(keyText(key)) ?? [];
    for (const { range, watchers } of this.#byRange.values()) if (contains(range, key)) yield* watchers;
  }
}

/** The length in front keeps ("a", "b\0c") and ("a\0b", "c") apart. */
function rangeText({ start, end }: KeyRange): string {
  return `${start.byteLength} ${keyText(start)}${end === undefined ? '' : ` ${keyText(end)}`}`;
}
