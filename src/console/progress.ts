/**
 * Signs of life for work that takes longer than a moment. Nothing is said about work that is done within a
 * second; after that one line on stderr names it, and another says how long it took.
 */
import { formatDuration } from './format.ts';
import { note } from './output.ts';

const PATIENCE_MS = 1000;

/** Awaits `work`, naming it as `what` ("starting dockerd on docker1") when it takes over a second. */
export async function withProgress<T>(what: string, work: Promise<T> | (() => Promise<T>)): Promise<T> {
  const started = performance.now();
  let shown = false;
  const timer = setTimeout(() => {
    shown = true;
    note(`${what} ...`);
  }, PATIENCE_MS);
  try {
    const result = await (typeof work === 'function' ? work() : work);
    if (shown) note(`${what}: done in ${formatDuration(performance.now() - started)}`);
    return result;
  } finally {
    clearTimeout(timer);
  }
}
