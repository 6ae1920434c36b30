/** Waiting for something in a directory, by the kernel's notifications (inotify), not by looking again and again. */
import { type FSWatcher, watch } from 'node:fs';
import type { Clock } from '../base/clock.ts';

/** Milliseconds between two looks where the kernel gives no notifications: a user has only so many (fs.inotify.max_user_watches). */
const LOOK = 5000;

/** Until `isSo`, which is asked now and after each change in the directory, its own end included; or until `signal` aborts. */
export async function untilInDirectory(
  directory: string,
  isSo: () => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    let change = Promise.withResolvers<void>();
    let watcher: FSWatcher | undefined;
    const onAbort = () => change.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      // Watching begins before the first look, so that nothing falls in between.
      watcher = watch(directory, () => change.resolve());
      watcher.once('error', error => change.reject(error));
      while (!isSo()) {
        await change.promise;
        if (signal.aborted) return;
        change = Promise.withResolvers();
      }
      return;
    } catch {
      if (isSo()) return;
      await clock.sleep(LOOK, signal).catch(() => undefined);
    } finally {
      watcher?.close();
      signal.removeEventListener('abort', onAbort);
    }
  }
}
