/** One peer's claim on one entry, in whatever table it is. */
import type { Entry, EntryKind, Key } from './entry.ts';

export interface EntryReport {
  /** In the words of iproute2. */
  readonly desired: string;
  readonly actual?: string;
  readonly state: 'ok' | 'pending' | 'failed';
  readonly reason?: string;
}

/** What a stake needs of its table. */
interface Claimable<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  owner(value: Value): void;
  release(value: Value): void;
  inspect(value: Value): EntryReport;
}

export class EntryStake<Value extends Entry> {
  readonly #table: Claimable<Value>;
  readonly #value: Value;

  constructor(table: Claimable<Value>, value: Value) {
    this.#table = table;
    this.#value = value;
  }

  /** Of the entry, in its table. */
  get key(): Key {
    return this.#table.kind.key(this.#value);
  }

  owner(): void {
    this.#table.owner(this.#value);
  }

  release(): void {
    this.#table.release(this.#value);
  }

  inspect(): EntryReport {
    return this.#table.inspect(this.#value);
  }
}

/** Stakes in different tables have this in common. */
export type AnyStake = Pick<EntryStake<Entry>, 'key' | 'owner' | 'release' | 'inspect'>;
