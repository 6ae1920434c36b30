/** From callbacks to `for await`: an unbounded queue with one consumer. Nothing that was pushed is lost. */
export class AsyncQueue<T> {
  readonly #items: T[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;
  #ended = false;

  /** Items that wait to be consumed. */
  get size(): number {
    return this.#items.length - this.#taken;
  }

  push(...items: readonly T[]): void {
    if (this.#ended) return;
    for (const item of items) this.#items.push(item);
    this.#wake?.();
  }

  /** What is in the queue is still delivered; later pushes are ignored. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Yields until `end()`, or at once stops when `signal` aborts; both end the loop without an error. */
  async *consume(signal?: AbortSignal): AsyncGenerator<T, void> {
    const wake = () => this.#wake?.();
    signal?.addEventListener('abort', wake, { once: true });
    try {
      while (signal?.aborted !== true) {
        if (this.size > 0) yield this.#take();
        else if (this.#ended) return;
        else await new Promise<void>(resolve => (this.#wake = resolve));
      }
    } finally {
      signal?.removeEventListener('abort', wake);
    }
  }

  #take(): T {
    const item = this.#items[this.#taken++] as T;
    // Shifting an array is linear in its length; a long backlog is dropped in halves instead.
    if (this.#taken > 64 && this.#taken * 2 > this.#items.length) {
      this.#items.splice(0, this.#taken);
      this.#taken = 0;
    }
    return item;
  }
}
