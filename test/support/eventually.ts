/**
 * How tests wait: never without a deadline, and a wait that is over says for what it was. `eventually` looks again and
 * again at what nobody announces (the state of a kernel, of a store, of an agent, as it is seen from outside); `within`
 * and `deadline` are for what is announced.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { untilAborted } from '../../src/base/abort.ts';
import { messageOf } from '../../src/base/errors.ts';

/** How long something may take to become true, and between two looks, in milliseconds. */
const PATIENCE = 15_000;
const LOOK = 25;

/** Waits until `look` returns something else than undefined or false. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  patience = PATIENCE,
): Promise<T> {
  const end = performance.now() + patience;
  let last = '';
  while (performance.now() < end) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = ` (${messageOf(error)})`;
    }
    await sleep(LOOK);
  }
  throw late(`${what}${last}`, patience);
}

/** What `promise` becomes. @throws Error with `what` when that takes more than `patience` milliseconds */
export function within<T>(what: string, promise: Promise<T>, patience = PATIENCE): Promise<T> {
  return untilAborted(promise, deadline(what, patience));
}

/** Aborts after `patience` milliseconds, and its reason says `what` had not happened. */
export function deadline(what: string, patience = PATIENCE): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(late(what, patience)), patience).unref();
  return controller.signal;
}

const late = (what: string, patience: number) => new Error(`not within ${patience} ms: ${what}`);
