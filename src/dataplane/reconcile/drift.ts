/** Differences of one table that are not of our making, until they are repaired; then they are reported. */

import { type ObjectType, type Repair, type RepairCause, repairOf } from '../report.ts';
import type { Entry, Key } from '../tables/entry.ts';

export interface DriftOptions<Value> {
  readonly object: ObjectType;
  /** Name of the device. */
  readonly link: string;
  readonly text: (value: Value) => string;
  readonly onRepair: (repair: Repair) => void;
}

export class Drift<Value extends Entry> {
  readonly #options: DriftOptions<Value>;
  /** What was found, in words: that of the wanted entry it will be compared with is not known yet. */
  readonly #found = new Map<Key, { readonly cause: RepairCause; readonly text: string | undefined }>();

  constructor(options: DriftOptions<Value>) {
    this.#options = options;
  }

  causeOf(key: Key): RepairCause | undefined {
    return this.#found.get(key)?.cause;
  }

  /** @param value what was found; undefined when nothing was. */
  set(key: Key, cause: RepairCause, value: Value | undefined): void {
    this.#found.set(key, { cause, text: value && this.#options.text(value) });
  }

  /** The entry is as it should be again, or is wanted otherwise now. */
  delete(key: Key): void {
    this.#found.delete(key);
  }

  clear(): void {
    this.#found.clear();
  }

  /** We have made the kernel hold `value`, or nothing; that is reported if it repairs something. */
  repaired(key: Key, value: Value | undefined): void {
    const found = this.#found.get(key);
    if (found === undefined) return;
    this.#found.delete(key);
    this.#options.onRepair(
      repairOf({
        cause: found.cause,
        object: this.#options.object,
        link: this.#options.link,
        network: value?.owner?.network.name,
        peer: value?.owner?.peer,
        found: found.text,
        wanted: value && this.#options.text(value),
      }),
    );
  }
}
