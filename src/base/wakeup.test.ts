import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { Wakeup } from './wakeup.ts';

test('a pause ends by itself, by the bell, and at once after a ring that nobody heard', async () => {
  const clock = new ManualClock();
  const wakeup = new Wakeup(clock);
  const ends: number[] = [];
  const pause = async (ms: number) => {
    await wakeup.pause(ms);
    ends.push(clock.monotonic());
  };
  void pause(100);
  await clock.advance(100);
  void pause(Number.POSITIVE_INFINITY);
  await clock.advance(50);
  wakeup.ring();
  await clock.advance(0);
  wakeup.ring();
  wakeup.ring();
  void pause(1000);
  await clock.advance(10);
  assert.deepEqual(ends, [100, 150, 150]);
  assert.equal(clock.sleeping, 0);
});
