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
interface Slot<Value> {
  readonly key: string;
  desired: Value | undefined;
  actual: Value | undefined;
}

/** A key and its two sides, as they are now. */
export type Difference<Value> = Readonly<Slot<Value>>;

export class Delta<Value> {
  readonly #same: (desired: Value, actual: Value) => boolean;
  /** Those with at least one side. */
  readonly #slots = new Map<string, Slot<Value>>();
  readonly #differing = new Set<Slot<Value>>();
  #desiredSize = 0;

  /** @param same whether the kernel's value is as good as the wanted one. */
  constructor(same: (desired: Value, actual: Value) => boolean) {
    this.#same = same;
  }

  desired(key: string): Value | undefined {
    return this.#slots.get(key)?.desired;
  }

  actual(key: string): Value | undefined {
    return this.#slots.get(key)?.actual;
  }

  get desiredSize(): number {
    return this.#desiredSize;
  }

  get differingSize(): number {
    return this.#differing.size;
  }

  differs(key: string): boolean {
    const slot = this.#slots.get(key);
    return slot !== undefined && this.#differing.has(slot);
  }

  /** Where something is to be done, in the order it began to differ. May change while it is read. */
  differences(): IterableIterator<Difference<Value>> {
    return this.#differing.values();
  }

  /** undefined takes the wish away. */
  setDesired(key: string, value: Value | undefined): void {
    const slot = this.#slot(key);
    this.#desiredSize += Number(value !== undefined) - Number(slot.desired !== undefined);
    slot.desired = value;
    this.#compare(slot);
  }

  /** undefined: it is not there. */
  setActual(key: string, value: Value | undefined): void {
    const slot = this.#slot(key);
    slot.actual = value;
    this.#compare(slot);
  }

  /** Forgets what was believed and believes this: the outcome of a dump. */
  replaceActual(entries: Iterable<readonly [string, Value]>): void {
    for (const slot of this.#slots.values()) slot.actual = undefined;
    for (const [key, value] of entries) this.#slot(key).actual = value;
    for (const slot of this.#slots.values()) this.#compare(slot);
  }

  clearDesired(): void {
    this.#desiredSize = 0;
    for (const slot of this.#slots.values()) {
      slot.desired = undefined;
      this.#compare(slot);
    }
  }

  #slot(key: string): Slot<Value> {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { key, desired: undefined, actual: undefined };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #compare(slot: Slot<Value>): void {
    const { key, desired, actual } = slot;
    if (desired === actual) {
      this.#differing.delete(slot);
      if (desired === undefined) this.#slots.delete(key);
    } else if (desired !== undefined && actual !== undefined && this.#same(desired, actual)) {
      // One object per entry in sync, not two.
      slot.actual = desired;
      this.#differing.delete(slot);
    } else {
      this.#differing.add(slot);
    }
  }
}
