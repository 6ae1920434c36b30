/** The last thing a process does. */
import { flushCompileCache } from 'node:module';
import { exitNow } from './libc.ts';

/**
 * Ends this process at once. `process.exit()` first waits for V8's threads, one of which may be waiting for a garbage
 * collection on this very thread, forever (nodejs/node#54918). Of what Node writes at exit only the compile cache is
 * written: no profile (`--cpu-prof`), no coverage.
 */
export function exitProcess(status: number): never {
  flushCompileCache();
  return exitNow(status);
}
