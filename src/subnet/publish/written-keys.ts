/** What a host has written and no snapshot of the store shows yet: it is not written again meanwhile. */
import type { Revision } from '../../store/store.ts';

export class WrittenKeys {
  /** By what it is: when it was written. */
  readonly #written = new Map<string, Revision>();
  /** Of the last snapshot. */
  #seen: Revision = 0n;

  /** The revision of the snapshot that is compared next. A lower one is of another store, which counts anew. */
  sees(revision: Revision): void {
    for (const [what, written] of this.#written) {
      if (written <= revision || revision < this.#seen) this.#written.delete(what);
    }
    this.#seen = revision;
  }

  has(what: string): boolean {
    return this.#written.has(what);
  }

  note(what: string, revision: Revision): void {
    this.#written.set(what, revision);
  }
}
