/**
 * Two maps and the keys at which they differ.
 *
 *              Desired                 Actual
 *        +----------------+-----+----------------+
 *        |    missing     |equal|  superfluous   |
 *        |            +---+-----+---+            |
 *        |            |   wrong     |            |
 *        +------------+-------------+------------+
 *
 * Every change of either side costs O(1) and keeps the set of differing keys current, so that finding out what
 * to do costs as much as there is to do, however large the maps are.
 */
export class Delta<Value> {
  readonly #same: (desired: Value, actual: Value) => boolean;
  readonly #desired = new Map<string, Value>();
  readonly #actual = new Map<string, Value>();
  readonly #differing = new Set<string>();

  /** @param same whether the kernel's value is as good as the wanted one. */
  constructor(same: (desired: Value, actual: Value) => boolean) {
    this.#same = same;
  }

  desired(key: string): Value | undefined {
    return this.#desired.get(key);
  }

  actual(key: string): Value | undefined {
    return this.#actual.get(key);
  }

  get desiredSize(): number {
    return this.#desired.size;
  }

  get differingSize(): number {
    return this.#differing.size;
  }

  differs(key: string): boolean {
    return this.#differing.has(key);
  }

  /** The keys at which something is to be done, in the order they began to differ. May change while it is read. */
  differing(): IterableIterator<string> {
    return this.#differing.values();
  }

  /** undefined takes the wish away. */
  setDesired(key: string, value: Value | undefined): void {
    put(this.#desired, key, value);
    this.#compare(key);
  }

  /** undefined: it is not there. */
  setActual(key: string, value: Value | undefined): void {
    put(this.#actual, key, value);
    this.#compare(key);
  }

  /** Forgets what was believed and believes this: the outcome of a dump. */
  replaceActual(entries: Iterable<readonly [string, Value]>): void {
    this.#actual.clear();
    for (const [key, value] of entries) {
      // An equal value is dropped for the wanted one, so that in sync there is one object per entry, not two.
      const desired = this.#desired.get(key);
      this.#actual.set(key, desired !== undefined && this.#same(desired, value) ? desired : value);
    }
    this.#differing.clear();
    for (const key of this.#desired.keys()) this.#compare(key);
    for (const key of this.#actual.keys()) this.#compare(key);
  }

  clearDesired(): void {
    this.#desired.clear();
    this.#differing.clear();
    for (const key of this.#actual.keys()) this.#differing.add(key);
  }

  #compare(key: string): void {
    const desired = this.#desired.get(key);
    const actual = this.#actual.get(key);
    const inSync =
      desired === actual || (desired !== undefined && actual !== undefined && this.#same(desired, actual));
    if (inSync) this.#differing.delete(key);
    else this.#differing.add(key);
  }
}

function put<Value>(map: Map<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
