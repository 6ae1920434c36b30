/** Waiting for another program to write a file, by the kernel's notifications (inotify), not by looking again and again. */
import { readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isCode } from '../base/errors.ts';

/**
 * The text of a file once it is there and `accept` likes it. The directory must exist.
 *
 * @throws `signal.reason`; what `accept` throws.
 */
export function waitForFile(
  path: string,
  signal: AbortSignal,
  accept: (text: string) => boolean = () => true,
): Promise<string> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    // Watching begins before the first look, so that nothing falls in between.
    const watcher = watch(dirname(path), (_, name) => {
      if (name === null || name === basename(path)) look();
    });
    const settle = (act: () => void) => {
      watcher.close();
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const onAbort = () => settle(() => reject(signal.reason as Error));
    const look = () => {
      try {
        const text = readFileSync(path, 'utf8');
        if (accept(text)) settle(() => resolve(text));
      } catch (error) {
        if (!isCode(error, 'ENOENT')) settle(() => reject(error));
      }
    };
    watcher.on('error', error => settle(() => reject(error)));
    signal.addEventListener('abort', onAbort, { once: true });
    look();
  });
}
