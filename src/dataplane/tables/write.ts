/** A change that is to be sent, who sends it, and what to do with the answer. */
import { isCode } from '../../base/errors.ts';
import type { Entry, Key } from './entry.ts';

/** Sends the changes of one or more tables. */
export interface TableWriter<Change> {
  /**
   * Sends them in order. A refused change never stops the next one; the result has one element per change, undefined
   * where it was made. Rejects when the answers are not known.
   */
  write(changes: readonly Change[]): Promise<readonly (Error | undefined)[]>;
}

/** Neighboring ones with the same writer are sent together. */
export interface Write {
  readonly writer: TableWriter<unknown>;
  readonly change: unknown;
  /** @param error undefined when the change was made. */
  settle(error: Error | undefined): void;
}

/** What a write needs of its table. */
interface Writable<Value extends Entry> {
  readonly writer: TableWriter<unknown>;
  written(key: Key, value: Value | undefined): void;
  refused(key: Key, error: Error): void;
}

/** The answers that mean "it is not there", by which a removal has succeeded. */
const GONE = ['ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL'];

/** The write of one entry, or its removal. */
export class EntryWrite<Value extends Entry> implements Write {
  readonly change: unknown;
  readonly #table: Writable<Value>;
  readonly #key: Key;
  readonly #value: Value | undefined;

  /** @param value what the table holds afterwards; undefined for a removal. */
  constructor(table: Writable<Value>, change: unknown, key: Key, value: Value | undefined) {
    this.#table = table;
    this.change = change;
    this.#key = key;
    this.#value = value;
  }

  get writer(): TableWriter<unknown> {
    return this.#table.writer;
  }

  settle(error: Error | undefined): void {
    const isDone = error === undefined || (this.#value === undefined && isCode(error, ...GONE));
    if (isDone) this.#table.written(this.#key, this.#value);
    else this.#table.refused(this.#key, error);
  }
}
