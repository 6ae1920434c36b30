import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from './clock.ts';
import { Pace } from './pace.ts';

/** A clock whose sleeps are over at once, and are counted. */
class CountingClock implements Clock {
  time = 0;
  readonly slept: number[] = [];
  now = () => this.time;
  monotonic = () => this.time;
  sleep = async (ms: number) => {
    this.slept.push(ms);
    this.time += ms;
  };
}

test('a rest is so many times as long as the work before it, within limits', async () => {
  const clock = new CountingClock();
  const pace = new Pace(clock, { least: 5, most: 500, times: 9 });
  const { signal } = new AbortController();
  for (const spent of [0, 0.1, 20, 1000]) {
    pace.begin();
    clock.time += spent;
    await pace.rest(signal);
  }
  assert.deepEqual(clock.slept.map(Math.round), [5, 5, 180, 500]);
});

test('work that takes no time is followed by no rest', async () => {
  const clock = new CountingClock();
  const pace = new Pace(clock);
  pace.begin();
  clock.time += 0.05;
  await pace.rest(new AbortController().signal);
  assert.deepEqual(clock.slept, []);
});
