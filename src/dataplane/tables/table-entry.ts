/** An entry that a path wants, in whatever table it is. */
import type { Entry, EntryKind, Key } from './entry.ts';

export interface EntryReport {
  /** In the words of iproute2. */
  readonly desired: string;
  readonly actual?: string;
  readonly state: 'ok' | 'pending' | 'failed';
  readonly reason?: string;
}

/** What could not be done. */
export interface EntryFailure {
  readonly text: string;
  /** Who wants it; absent for the removal of what is not desired. */
  readonly network: string | undefined;
}

/** What it needs of its table. */
interface Table<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  add(value: Value): void;
  remove(value: Value): void;
  inspect(value: Value): EntryReport;
}

export class TableEntry<Value extends Entry> {
  readonly #table: Table<Value>;
  readonly #value: Value;

  constructor(table: Table<Value>, value: Value) {
    this.#table = table;
    this.#value = value;
  }

  get object(): EntryKind<Value>['object'] {
    return this.#table.kind.object;
  }

  get key(): Key {
    return this.#table.kind.key(this.#value);
  }

  /** The path wants it. */
  add(): void {
    this.#table.add(this.#value);
  }

  /** The path wants it no more. */
  remove(): void {
    this.#table.remove(this.#value);
  }

  inspect(): EntryReport {
    return this.#table.inspect(this.#value);
  }
}

/** What entries of different tables have in common. */
export type AnyTableEntry = Pick<TableEntry<Entry>, 'object' | 'key' | 'add' | 'remove' | 'inspect'>;
