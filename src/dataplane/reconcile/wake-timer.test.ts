import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../testing/manual-clock.ts';
import { WakeTimer } from './wake-timer.ts';

test('an alarm rings once, at the earliest time asked for, and can be set again by its ringing', async () => {
  const clock = new ManualClock();
  const rung: number[] = [];
  using wakeTimer = new WakeTimer(clock, () => {
    rung.push(clock.monotonic());
    if (rung.length === 1) wakeTimer.atLatest(500);
  });
  wakeTimer.atLatest(200);
  wakeTimer.atLatest(100);
  wakeTimer.atLatest(300);
  await clock.advance(99);
  assert.deepEqual(rung, []);
  await clock.advance(1000);
  assert.deepEqual(rung, [100, 500]);
  assert.equal(clock.sleeping, 0);
});

test('an alarm that is disposed of is silent', async () => {
  const clock = new ManualClock();
  const wakeTimer = new WakeTimer(clock, () => assert.fail('it rang'));
  wakeTimer.atLatest(100);
  wakeTimer[Symbol.dispose]();
  await clock.advance(1000);
  assert.equal(clock.sleeping, 0);
});
