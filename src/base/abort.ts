/** Waiting that can be given up. */

/**
 * What `promise` becomes, or a rejection with the signal's reason as soon as it aborts. The work behind the
 * promise goes on; whoever started it bounds it in another way.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
