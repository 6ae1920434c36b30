/** One peer's claim on one entry, in whatever table it is. */
import type { Entry, EntryKind } from './entry.ts';

export interface StakeReport {
  /** In the words of iproute2. */
  readonly desired: string;
  readonly actual?: string;
  readonly state: 'ok' | 'pending' | 'failed';
  readonly reason?: string;
}

/** What a stake needs of its table. */
interface Claimable<Value extends Entry> {
  readonly kind: EntryKind<Value>;
  claim(key: string, value: Value): void;
  release(key: string, peer: string | undefined): void;
  inspect(key: string, value: Value): StakeReport;
}

export class Stake<Value extends Entry> {
  readonly #table: Claimable<Value>;
  readonly #key: string;
  readonly #value: Value;

  constructor(table: Claimable<Value>, key: string, value: Value) {
    this.#table = table;
    this.#key = key;
    this.#value = value;
  }

  /** The same for claims on the same entry of one device. */
  get entry(): string {
    return `${this.#table.kind.object} ${this.#key}`;
  }

  claim(): void {
    this.#table.claim(this.#key, this.#value);
  }

  release(): void {
    this.#table.release(this.#key, this.#value.claim?.peer);
  }

  inspect(): StakeReport {
    return this.#table.inspect(this.#key, this.#value);
  }
}

/** Stakes in different tables have this in common. */
export type AnyStake = Pick<Stake<Entry>, 'entry' | 'claim' | 'release' | 'inspect'>;
