import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../testing/manual-clock.ts';
import { Retries } from './retries.ts';

test('each refusal waits longer, up to a minute, and a success forgets it', async () => {
  const clock = new ManualClock();
  const retries = new Retries(clock, () => 0.999_999);
  const waits: number[] = [];
  for (let round = 0; round < 12; round++) {
    retries.failed('a', 'because');
    const wait = Math.round((retries.next ?? 0) - clock.monotonic());
    waits.push(wait);
    assert.equal(retries.isDue('a', clock.monotonic() + wait - 1), false);
    assert.equal(retries.isDue('a', clock.monotonic() + wait + 1), true);
    await clock.advance(wait);
  }
  assert.deepEqual(waits.slice(0, 4), [200, 400, 800, 1600]);
  assert.deepEqual(waits.slice(-2), [60_000, 60_000]);
  assert.equal(retries.isDue('b', 0), true);
  assert.equal(retries.reason('a'), 'because');
  retries.succeeded('a');
  assert.equal(retries.size, 0);
  assert.equal(retries.next, undefined);
});
