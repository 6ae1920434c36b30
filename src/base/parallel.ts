/** Many pieces of asynchronous work at once, but not too many; if one fails all fail. */

export interface ParallelOptions {
  /** How many run at the same time. */
  readonly limit: number;
  readonly signal?: AbortSignal;
}

/**
 * The results of `work` for all items, in their order. After the first failure nothing new is begun, the signal
 * that the others were given aborts, and the failure is thrown when all of them have settled.
 */
export async function parallel<Item, Result>(
  items: readonly Item[],
  options: ParallelOptions,
  work: (item: Item, signal: AbortSignal, index: number) => Promise<Result>,
): Promise<Result[]> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const results: Result[] = [];
  const failures: unknown[] = [];
  const queue = items.entries();
  const worker = async () => {
    // The workers share one iterator, so each entry goes to exactly one of them.
    for (const [index, item] of queue) {
      if (signal.aborted) return;
      try {
        results[index] = await work(item, signal, index);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.limit, items.length) }, worker));
  options.signal?.throwIfAborted();
  if (failures.length > 0) throw failures[0];
  return results;
}
