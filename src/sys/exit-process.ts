/** The last thing a process does. */
import { fstatSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { exitNow, setBlocking } from './libc.ts';

/**
 * Ends this process at once. `process.exit()` first waits for V8's threads, one of which may be waiting for a garbage
 * collection on this very thread, forever (nodejs/node#54918). Of what Node writes at exit only the compile cache is
 * written: no profile (`--cpu-prof`), no coverage.
 *
 * Node makes pipes non-blocking, stdin too as soon as any module imports `node:process`. Programs that share them do not
 * expect that (the shell that reads its script from one, the next program that writes to one), so they are made blocking.
 */
export function exitProcess(status: number): never {
  flushCompileCache();
  for (const fd of [0, 1, 2]) if (isPipe(fd)) setBlocking(fd);
  return exitNow(status);
}

/** False for a descriptor that is closed, too. */
function isPipe(fd: number): boolean {
  try {
    const file = fstatSync(fd);
    return file.isFIFO() || file.isSocket();
  } catch {
    return false;
  }
}
