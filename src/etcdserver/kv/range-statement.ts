/** SQL about a range of keys, which has an end or goes on to the last key. */
import type { StatementSync } from 'node:sqlite';
import type { Cell } from '../sqlite/checksum.ts';
import type { Database } from '../sqlite/database.ts';
import type { KeyRange } from './range.ts';

/** A statement for a range with an end and one for a range without. */
export class RangeStatement {
  readonly #bounded: StatementSync;
  readonly #open: StatementSync;

  /** `sql` with `RANGE` in place of the condition on `key`. */
  constructor(database: Pick<Database, 'prepare'>, sql: string) {
    this.#bounded = database.prepare(sql.replace('RANGE', 'key >= ? AND key < ?'));
    this.#open = database.prepare(sql.replace('RANGE', 'key >= ?'));
    this.#bounded.setReturnArrays(true);
    this.#open.setReturnArrays(true);
  }

  all(range: KeyRange, ...more: bigint[]): Cell[][] {
    // With setReturnArrays the rows are arrays, which @types/node does not know.
    const rows: unknown = this.#for(range).all(...bound(range), ...more);
    return rows as Cell[][];
  }

  each(range: KeyRange, ...more: bigint[]): Iterable<Cell[]> {
    const rows: unknown = this.#for(range).iterate(...bound(range), ...more);
    return rows as Iterable<Cell[]>;
  }

  #for({ end }: KeyRange): StatementSync {
    return end === undefined ? this.#open : this.#bounded;
  }
}

function bound({ start, end }: KeyRange): Uint8Array[] {
  return end === undefined ? [start] : [start, end];
}
