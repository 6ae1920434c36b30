/** Waiting for signals, and work that can be given up. */

/**
 * What `promise` becomes, or a rejection with the signal's reason as soon as it aborts. The work behind the
 * promise goes on; the caller bounds it in another way.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Aborts after so many milliseconds, as AbortSignal.timeout does, but not before what has come until then was looked at: a process
 * that was stopped, or had no processor, runs its timers before it reads its sockets, and immediates after that.
 */
export function outOfPatience(ms: number): AbortSignal {
  const late = new AbortController();
  const reason = () => new DOMException(`not within ${ms} ms`, 'TimeoutError');
  setTimeout(() => setImmediate(() => late.abort(reason())), ms).unref();
  return late.signal;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * Runs parts that need each other until all have ended: when one fails, the others are aborted and waited for.
 * @throws the first failure.
 */
export async function together(
  signal: AbortSignal,
  ...parts: readonly ((signal: AbortSignal) => Promise<unknown>)[]
): Promise<void> {
  const failure = new AbortController();
  const both = AbortSignal.any([signal, failure.signal]);
  const running = parts.map(async part => {
    try {
      await part(both);
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(running);
  // Aborting again changes nothing, so the reason is the first failure.
  if (failure.signal.aborted) throw failure.signal.reason;
}
