/** Work on the same thing one after another, on different things at once. */
export class KeyedLock {
  /** What settles with the last work of each key; gone with it. */
  readonly #queues = new Map<string, Promise<unknown>>();

  /** @throws what the work throws; the next one begins all the same */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#queues.get(key) ?? Promise.resolve()).then(work);
    const settled = result.catch(() => undefined);
    this.#queues.set(key, settled);
    try {
      return await result;
    } finally {
      if (this.#queues.get(key) === settled) this.#queues.delete(key);
    }
  }
}
