import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { Wakeup } from './wakeup.ts';

test('a pause ends by itself, by a wake-up, and at once after one that came before it', async () => {
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
  wakeup.wake();
  await clock.advance(0);
  wakeup.wake();
  wakeup.wake();
  void pause(1000);
  await clock.advance(10);
  assert.deepEqual(ends, [100, 150, 150]);
  assert.equal(clock.sleeping, 0);
});

test('a pause ends when its signal aborts, and does not begin after that', async () => {
  const clock = new ManualClock();
  const wakeup = new Wakeup(clock);
  const over = new AbortController();
  const ended = wakeup.pause(Number.POSITIVE_INFINITY, over.signal);
  await clock.advance(50);
  assert.equal(clock.sleeping, 1);
  over.abort();
  await ended;
  await wakeup.pause(Number.POSITIVE_INFINITY, over.signal);
  assert.equal(clock.sleeping, 0);
});
