/**
 * A value that changes, for readers who want the newest state and not the way to it: whoever is slow misses
 * the states in between and never the last one.
 */
export class Latest<T> {
  #value: T;
  #version = 0;
  readonly #waiting = new Set<() => void>();

  constructor(initial: T) {
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    this.#version++;
    for (const wake of this.#waiting) wake();
  }

  /** The value now, and then each newest value since the last one taken; ends quietly when `signal` aborts. */
  async *changes(signal: AbortSignal): AsyncGenerator<T, void> {
    let seen = -1;
    while (!signal.aborted) {
      if (seen === this.#version) await this.#changed(signal);
      else {
        seen = this.#version;
        yield this.#value;
      }
    }
  }

  /** Resolves with the first value, from now on, that satisfies `test`. @throws the signal's reason on abort. */
  async until(test: (value: T) => boolean, signal: AbortSignal): Promise<T> {
    for await (const value of this.changes(signal)) if (test(value)) return value;
    throw signal.reason;
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
