/**
 * How tests wait: never without a deadline, and a wait that is over says for what it was. `eventually` looks again and
 * again at what nobody announces (the state of a kernel, of a store, of an agent, as it is seen from outside); `within`
 * and `deadline` are for what is announced.
 */
import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilAborted } from '../../src/base/abort.ts';
import { messageOf } from '../../src/base/errors.ts';

/**
 * How long something may take to become true, in milliseconds. It costs time only where a test fails, so that it is meant
 * for a machine with ten times as much to do.
 */
const PATIENCE = 45_000;
/**
 * Between two looks, in milliseconds: a tenth of the time that has passed, within these. An agent that is asked for its
 * status forty times a second is at work with nothing else, and so is the test.
 */
const SHORTEST = 25;
const LONGEST = 500;

/** Waits until `look` returns something else than undefined or false. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  patience = PATIENCE,
): Promise<T> {
  const begin = performance.now();
  let last = '';
  for (let passed = 0; passed < patience; passed = performance.now() - begin) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = ` (${messageOf(error)})`;
    }
    await sleep(Math.min(LONGEST, Math.max(SHORTEST, passed / 10)));
  }
  throw late(`${what}${last}`, patience);
}

/** What `promise` becomes. @throws Error with `what` when that takes more than `patience` milliseconds */
export function within<T>(what: string, promise: Promise<T>, patience = PATIENCE): Promise<T> {
  return untilAborted(promise, deadline(what, patience));
}

/**
 * Until a connection is over, however it ends: who is thrown out in the middle of a sentence gets ECONNRESET or EPIPE, or only
 * the end, as the kernel has it. `once` of node:events would reject with those.
 */
export function untilClosed(socket: EventEmitter): Promise<void> {
  return new Promise(resolve => socket.on('error', () => undefined).once('close', () => resolve()));
}

/** Aborts after `patience` milliseconds, and its reason says `what` had not happened. */
export function deadline(what: string, patience = PATIENCE): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(late(what, patience)), patience).unref();
  return controller.signal;
}

const late = (what: string, patience: number) => new Error(`not within ${patience} ms: ${what}`);
