/** Places for work that callers ask for: a few in all, and no caller has them all. */
export class Places {
  readonly #most: number;
  readonly #mostOfOne: number;
  readonly #taken = new Map<string, number>();
  #count = 0;

  constructor(most: number, mostOfOne: number) {
    this.#most = most;
    this.#mostOfOne = mostOfOne;
  }

  /** A place until it is disposed of; undefined when there is none for this caller. */
  take(caller: string): Disposable | undefined {
    const own = this.#taken.get(caller) ?? 0;
    if (this.#count >= this.#most || own >= this.#mostOfOne) return undefined;
    this.#count += 1;
    this.#taken.set(caller, own + 1);
    return {
      [Symbol.dispose]: () => {
        this.#count -= 1;
        const left = (this.#taken.get(caller) ?? 1) - 1;
        if (left === 0) this.#taken.delete(caller);
        else this.#taken.set(caller, left);
      },
    };
  }
}
