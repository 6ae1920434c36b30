/**
 * What all observations of one client have learned together about the store: which one it is, and how far it was.
 * One that was emptied, restored from a backup or replaced is behind that, or has another name. An observer of a key
 * that was last written long ago would not notice by itself: for that key alone, the new store looks like the old one.
 *
 * (One that has the same identity, the same term and more revisions cannot be distinguished from the old one by any client.)
 */
import type { Revision } from '../store.ts';
import type { Header } from './codec.ts';

/** How far the store was at one moment, and which one it was. */
export interface Mark {
  /** Grows each time the store turns out to be another one. */
  readonly generation: number;
  /** The most that was seen; undefined before anything was. */
  readonly seen: Header | undefined;
}

export class History {
  #mark: Mark = { generation: 0, seen: undefined };
  readonly #listeners = new Set<() => void>();

  get mark(): Mark {
    return this.#mark;
  }

  get generation(): number {
    return this.#mark.generation;
  }

  /** The store that was seen so far has answered. */
  note({ clusterId, term, revision }: Header): void {
    const { generation, seen = { clusterId, term, revision } } = this.#mark;
    const newest = { clusterId, term: max(term, seen.term), revision: max(revision, seen.revision) };
    this.#mark = { generation, seen: newest };
  }

  /** It has delivered what it had at this revision. */
  reached(revision: Revision): void {
    const { seen } = this.#mark;
    if (seen !== undefined && revision > seen.revision) this.note({ ...seen, revision });
  }

  /** The store is another one, and all observers are notified. */
  beginAnew(seen: Header): void {
    this.#mark = { generation: this.#mark.generation + 1, seen };
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` when the store turns out to be another one, until the result is disposed of. */
  onReplaced(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}

/**
 * Whether an answer that was asked for after `mark`, and reflects every write before it, can come from the same store.
 * What was seen since says nothing about it: the answer may have been under way for long.
 */
export function follows({ seen }: Mark, { clusterId, term, revision }: Header): boolean {
  if (seen === undefined) return true;
  return clusterId === seen.clusterId && term >= seen.term && revision >= seen.revision;
}

const max = (a: bigint, b: bigint) => (a > b ? a : b);
