/**
 * What the kernel has announced about entries and has not been processed yet.
 *
 * What is known comes from dumps, from acknowledgements of our own writes, and from the kernel's announcements.
 * The last two come through different sockets, so an announcement may be older than an acknowledgement that was read
 * before it. It is therefore only recorded, and processed later, when the socket of the announcements has been read empty:
 * an event of an entry we have not written meanwhile is true; one of an entry we have written may be either, and only a
 * dump decides.
 */
import type { Key } from '../tables/entry.ts';

/** The latest event of an entry; undefined: it was removed. */
export interface PendingEvent<Value> {
  readonly key: Key;
  readonly value: Value | undefined;
  /** We have written the entry since the events were processed last. */
  readonly isAmbiguous: boolean;
}

export class PendingEvents<Value> {
  readonly #values = new Map<Key, Value | undefined>();
  readonly #written = new Set<Key>();

  set(key: Key, value: Value | undefined): void {
    this.#values.set(key, value);
  }

  /** The pending event of the entry no longer holds. */
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

  /** They have been processed, or a dump that starts now replaces them. */
  clear(): void {
    this.#values.clear();
    this.#written.clear();
  }
}
