/** Waiting for a file descriptor on Node's own event loop: no thread, no timer. */
import koffi from 'koffi';

/**
 * Resolves when `fd` has something to read (or an error to report), and right away when it has already.
 * Rejects with the signal's reason. One waiter per descriptor at a time; the descriptor must stay open meanwhile.
 */
export function readable(fd: number, signal?: AbortSignal): Promise<void> {
  return happens(fd, { readable: true }, signal);
}

/** Resolves when `fd` takes something to send, or a connection that was begun is there or has failed; the rest as above. */
export function writable(fd: number, signal?: AbortSignal): Promise<void> {
  return happens(fd, { writable: true }, signal);
}

function happens(
  fd: number,
  events: { readonly readable?: true; readonly writable?: true },
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const stop = () => {
      handle.close();
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      stop();
      reject(signal?.reason as Error);
    };
    const handle = koffi.node.poll(fd, events, () => {
      stop();
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
