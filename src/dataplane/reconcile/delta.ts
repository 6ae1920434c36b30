/**
 * What is wanted and what there is, by key, and where they differ.
 *
 *              Desired                 Actual
 *        +----------------+-----+----------------+
 *        |    missing     |equal|  superfluous   |
 *        |            +---+-----+---+            |
 *        |            |   wrong     |            |
 *        +------------+-------------+------------+
 *
 * Every change of either side costs O(1) and keeps the set of differences current, so that finding out what
 * to do costs as much as there is to do, however much there is in all.
 */
import type { Key } from '../tables/entry.ts';

interface Slot<Value> {
  readonly key: Key;
  desired: Value | undefined;
  actual: Value | undefined;
  differs: boolean;
  /** The reading in which `actual` was found last. */
  reading: number;
}

/** What a change of one side means: whether the sides differ now, and did before. */
export type EntryDifference = 'same' | 'begins to differ' | 'still differs';

/** A key and its two sides, as they are now. */
export type Difference<Value> = Readonly<Pick<Slot<Value>, 'key' | 'desired' | 'actual'>>;

export class Delta<Value> {
  readonly #same: (desired: Value, actual: Value) => boolean;
  /** Those with at least one side. */
  readonly #slots = new Map<Key, Slot<Value>>();
  readonly #differing = new Set<Slot<Value>>();
  #desiredSize = 0;
  #reading = 0;

  /** @param same whether the kernel's value is as good as the wanted one. */
  constructor(same: (desired: Value, actual: Value) => boolean) {
    this.#same = same;
  }

  desired(key: Key): Value | undefined {
    return this.#slots.get(key)?.desired;
  }

  actual(key: Key): Value | undefined {
    return this.#slots.get(key)?.actual;
  }

  get desiredSize(): number {
    return this.#desiredSize;
  }

  get differingSize(): number {
    return this.#differing.size;
  }

  differs(key: Key): boolean {
    return this.#slots.get(key)?.differs === true;
  }

  /** Where something is to be done, in the order it began to differ. May change while it is read. */
  differences(): IterableIterator<Difference<Value>> {
    return this.#differing.values();
  }

  /** undefined takes the spec away. */
  setDesired(key: Key, value: Value | undefined): void {
    const slot = this.#slot(key);
    this.#desiredSize += Number(value !== undefined) - Number(slot.desired !== undefined);
    slot.desired = value;
    this.#compare(slot);
  }

  /** undefined: it is not there. */
  setActual(key: Key, value: Value | undefined): EntryDifference {
    const slot = this.#slot(key);
    slot.actual = value;
    slot.reading = this.#reading;
    return this.#compare(slot);
  }

  /** Everything is about to be read: what is not passed to `setActual` from now on will be among `unread`. */
  beginReading(): void {
    this.#reading++;
  }

  /** Whether it was found to be there since `beginReading`. */
  isRead(key: Key): boolean {
    const slot = this.#slots.get(key);
    return slot?.actual !== undefined && slot.reading === this.#reading;
  }

  /** Keys that are known to be there and were not found since `beginReading`. May change while it is read. */
  *unread(): Generator<Key> {
    for (const { key, actual, reading } of this.#slots.values()) {
      if (actual !== undefined && reading !== this.#reading) yield key;
    }
  }

  clearDesired(): void {
    this.#desiredSize = 0;
    for (const slot of this.#slots.values()) {
      slot.desired = undefined;
      this.#compare(slot);
    }
  }

  clearActual(): void {
    for (const slot of this.#slots.values()) {
      slot.actual = undefined;
      this.#compare(slot);
    }
  }

  #slot(key: Key): Slot<Value> {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { key, desired: undefined, actual: undefined, differs: false, reading: this.#reading };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #compare(slot: Slot<Value>): EntryDifference {
    const { desired, actual, differs: differed } = slot;
    if (desired === undefined && actual === undefined) this.#slots.delete(slot.key);
    slot.differs =
      desired === undefined || actual === undefined ? desired !== actual : !this.#same(desired, actual);
    if (slot.differs) {
      if (!differed) this.#differing.add(slot);
      return differed ? 'still differs' : 'begins to differ';
    }
    // One object per entry in sync, not two.
    slot.actual = desired;
    if (differed) this.#differing.delete(slot);
    return 'same';
  }
}
