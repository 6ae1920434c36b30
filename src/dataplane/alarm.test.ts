import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/manual-clock.ts';
import { Alarm } from './alarm.ts';

test('an alarm rings once, at the earliest time asked for, and can be set again by its ringing', async () => {
  const clock = new ManualClock();
  const rung: number[] = [];
  using alarm = new Alarm(clock, () => {
    rung.push(clock.monotonic());
    if (rung.length === 1) alarm.atLatest(500);
  });
  alarm.atLatest(200);
  alarm.atLatest(100);
  alarm.atLatest(300);
  await clock.advance(99);
  assert.deepEqual(rung, []);
  await clock.advance(1000);
  assert.deepEqual(rung, [100, 500]);
  assert.equal(clock.sleeping, 0);
});

test('an alarm that is disposed of is silent', async () => {
  const clock = new ManualClock();
  const alarm = new Alarm(clock, () => assert.fail('it rang'));
  alarm.atLatest(100);
  alarm[Symbol.dispose]();
  await clock.advance(1000);
  assert.equal(clock.sleeping, 0);
});
