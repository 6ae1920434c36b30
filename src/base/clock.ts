/**
 * Time as a dependency, so that tests can hold it. `monotonic` never jumps and is what deadlines are made of;
 * `now` is the wall clock and is only for people.
 */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes backwards. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

/** Delays between tries: exponential from `first` to `cap` milliseconds, each spread over [1/2, 1) of its value. */
export function* backoff(
  first: number,
  cap: number,
  random: () => number = Math.random,
): Generator<number, never> {
  for (let delay = first; ; delay = Math.min(cap, delay * 2)) yield delay * (0.5 + random() / 2);
}
