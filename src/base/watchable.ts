/**
 * A value that changes, for readers who want the newest state and not the way to it: a slow reader misses
 * the states in between and never the last one.
 */
export class Watchable<T> {
  #value: T;
  #version = 0;
  readonly #readers = new Set<() => void>();

  constructor(initial: T) {
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    this.#version++;
    for (const wake of this.#readers) wake();
  }

  /** The value now, and then each newest value since the last one taken; ends quietly when `signal` aborts. */
  async *changes(signal: AbortSignal): AsyncGenerator<T, void> {
    let wake: () => void = () => undefined;
    const call = () => wake();
    this.#readers.add(call);
    // Once for all waits: many readers share a signal, and its listeners are searched in order.
    signal.addEventListener('abort', call, { once: true });
    try {
      let seen = -1;
      while (!signal.aborted) {
        if (seen === this.#version) await new Promise<void>(resolve => (wake = resolve));
        else {
          seen = this.#version;
          yield this.#value;
        }
      }
    } finally {
      this.#readers.delete(call);
      signal.removeEventListener('abort', call);
    }
  }

  /** Calls back with the same values as `changes`. */
  async follow(onChange: (value: T) => void, signal: AbortSignal): Promise<void> {
    for await (const value of this.changes(signal)) onChange(value);
  }

  /** Resolves with the first value, from now on, that satisfies `test`. @throws the signal's reason on abort. */
  async until(test: (value: T) => boolean, signal: AbortSignal): Promise<T> {
    for await (const value of this.changes(signal)) if (test(value)) return value;
    throw signal.reason;
  }
}

/** Counts a change of something that is not itself the value. */
export function increment(version: Watchable<number>): void {
  version.set(version.value + 1);
}
