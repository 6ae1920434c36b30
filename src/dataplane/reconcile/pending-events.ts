/**
 * What the kernel has announced about entries and has not been weighed yet.
 *
 * What is known comes from dumps, from acknowledgements of our own writes, and from the kernel's announcements.
 * The last two come through different sockets, so an announcement may be older than an acknowledgement that was read
 * before it. It is therefore only noted, and weighed later, when the socket of the announcements has been read empty:
 * a note on an entry we have not written meanwhile is true; one on an entry we have written may be either, and only a
 * dump decides.
 */
import type { Key } from '../tables/entry.ts';

/** The last word about an entry: undefined for "gone". */
export interface PendingEvent<Value> {
  readonly key: Key;
  readonly value: Value | undefined;
  /** We have written the entry since the notes were weighed last. */
  readonly isAmbiguous: boolean;
}

export class PendingEvents<Value> {
  readonly #values = new Map<Key, Value | undefined>();
  readonly #written = new Set<Key>();

  set(key: Key, value: Value | undefined): void {
    this.#values.set(key, value);
  }

  /** What was noted of the entry has been taken back. */
  delete(key: Key): void {
    this.#values.delete(key);
  }

  /** We have written the entry. */
  wrote(key: Key): void {
    this.#written.add(key);
  }

  *[Symbol.iterator](): Generator<PendingEvent<Value>> {
    for (const [key, value] of this.#values) yield { key, value, isAmbiguous: this.#written.has(key) };
  }

  /** They have been weighed, or a dump that starts now says more. */
  clear(): void {
    this.#values.clear();
    this.#written.clear();
  }
}
