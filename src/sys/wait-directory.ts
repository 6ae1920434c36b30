/** Waiting for something in a directory, by the kernel's notifications (inotify), not by looking again and again. */
import { type FSWatcher, watch } from 'node:fs';
import type { Clock } from '../base/clock.ts';

/** Milliseconds between two looks where the kernel gives no notifications: a user has only so many (fs.inotify.max_user_watches). */
const LOOK = 5000;

/** Milliseconds of a watch: a mount over the directory, or another name of one above it, is announced to nobody. */
const RENEWAL = 30_000;

/** Until `isSo`, which is asked now and after each change in the directory, its own end included; or until `signal` aborts. */
export async function untilInDirectory(
  directory: string,
  isSo: () => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const change = Promise.withResolvers<void>();
    const over = new AbortController();
    const onward = () => change.resolve();
    signal.addEventListener('abort', onward, { once: true });
    let watcher: FSWatcher | undefined;
    try {
      // Watching begins before the look, so that nothing falls in between.
      watcher = watch(directory, () => change.resolve());
      watcher.once('error', error => change.reject(error));
      if (isSo()) return;
      clock.sleep(RENEWAL, over.signal).then(onward, () => undefined);
      await change.promise;
    } catch {
      if (isSo()) return;
      await clock.sleep(LOOK, signal).catch(() => undefined);
    } finally {
      watcher?.close();
      over.abort();
      signal.removeEventListener('abort', onward);
    }
  }
}
