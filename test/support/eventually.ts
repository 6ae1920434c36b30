/** Waiting for what nobody announces: the state of a kernel, of a store, of an agent, as it is seen from outside. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
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
  assert.fail(`not within ${patience} ms: ${what}${last}`);
}
