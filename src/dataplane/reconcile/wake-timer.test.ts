import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../testing/manual-clock.ts';
import { WakeTimer } from './wake-timer.ts';

test('a timer fires once, at the earliest time asked for, and can be set again when it fires', async () => {
  const clock = new ManualClock();
  const fired: number[] = [];
  using wakeTimer = new WakeTimer(clock, () => {
    fired.push(clock.monotonic());
    if (fired.length === 1) wakeTimer.atLatest(500);
  });
  wakeTimer.atLatest(200);
  wakeTimer.atLatest(100);
  wakeTimer.atLatest(300);
  await clock.advance(99);
  assert.deepEqual(fired, []);
  await clock.advance(1000);
  assert.deepEqual(fired, [100, 500]);
  assert.equal(clock.sleeping, 0);
});

test('a timer that is disposed of does not fire', async () => {
  const clock = new ManualClock();
  const wakeTimer = new WakeTimer(clock, () => assert.fail('it fired'));
  wakeTimer.atLatest(100);
  wakeTimer[Symbol.dispose]();
  await clock.advance(1000);
  assert.equal(clock.sleeping, 0);
});
