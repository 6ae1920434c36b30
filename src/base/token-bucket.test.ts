import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../testing/manual-clock.ts';
import { TokenBucket } from './token-bucket.ts';

/** Gives answers as soon as it may for so long. Returns when they were given. */
async function answer(bucket: TokenBucket, clock: ManualClock, ms: number, took: number): Promise<number[]> {
  const times: number[] = [];
  const end = clock.monotonic() + ms;
  while (clock.monotonic() + bucket.delay < end) {
    await clock.advance(bucket.delay);
    times.push(clock.monotonic());
    await clock.advance(took);
    bucket.take(took);
  }
  return times;
}

test('a few answers come at once, and no more than one per interval in the long run', async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, { burst: 5, interval: 100 });
  const times = await answer(bucket, clock, 10_000, 1);
  assert.deepEqual(times.slice(0, 5), [0, 1, 2, 3, 4]);
  assert.ok(times.length <= 5 + 100, `${times.length}`);
  assert.ok(times.length >= 100, `${times.length}`);
});

test('answers that take long take a tenth of the time', async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, { burst: 5, interval: 100 });
  await answer(bucket, clock, 5000, 200);
  const times = await answer(bucket, clock, 20_000, 200);
  assert.ok(times.length * 200 <= 20_000 * 0.12, `${times.length}`);
});

test('the wait is never longer than the last answer explains', () => {
  const bucket = new TokenBucket(new ManualClock(), { burst: 5, interval: 100 });
  for (let count = 0; count < 20; count++) bucket.take(50);
  assert.equal(bucket.delay, 500);
});

test('to have looked costs no more than its time', () => {
  const bucket = new TokenBucket(new ManualClock(), { burst: 5, interval: 100 });
  for (let count = 0; count < 10; count++) bucket.take(1, false);
  assert.equal(bucket.delay, 0);
  for (let count = 0; count < 40; count++) bucket.take(1, false);
  assert.ok(bucket.delay > 0, 'a tenth of the time is spent');
});

test('is pressed until all is quiet again', async () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket(clock, { burst: 5, interval: 100 });
  for (let count = 0; count < 4; count++) bucket.take(0);
  assert.deepEqual([bucket.isExhausted, bucket.delay], [false, 0]);
  bucket.take(0);
  assert.deepEqual([bucket.isExhausted, bucket.delay, bucket.refillTime], [true, 100, 500]);
  await clock.advance(499);
  assert.deepEqual([bucket.isExhausted, bucket.delay], [true, 0]);
  await clock.advance(1);
  assert.deepEqual([bucket.isExhausted, bucket.refillTime], [false, 0]);
});
