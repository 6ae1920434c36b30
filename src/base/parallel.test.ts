import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parallel } from './parallel.ts';

describe('parallel', () => {
  test('keeps the order of the items and the limit', async () => {
    let running = 0;
    let most = 0;
    const results = await parallel([5, 1, 4, 2, 3], { limit: 2 }, async item => {
      most = Math.max(most, ++running);
      for (let turns = 0; turns < item; turns++) await Promise.resolve();
      running--;
      return item * 10;
    });
    assert.deepEqual(results, [50, 10, 40, 20, 30]);
    assert.equal(most, 2);
  });

  test('after a failure begins nothing new, aborts the others and waits for them', async () => {
    const log: string[] = [];
    const failure = new Error('no');
    const work = parallel(['slow', 'bad', 'later'], { limit: 2 }, async (item, signal) => {
      log.push(`begin ${item}`);
      if (item === 'bad') throw failure;
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      log.push(`end ${item}`);
    });
    await assert.rejects(work, failure);
    assert.deepEqual(log, ['begin slow', 'begin bad', 'end slow']);
  });

  test('an abort from outside wins over what it causes', async () => {
    const reason = new Error('stopped');
    const stop = new AbortController();
    const work = parallel([1, 2], { limit: 1, signal: stop.signal }, async () => {
      stop.abort(reason);
      throw new Error('because of the abort');
    });
    await assert.rejects(work, reason);
  });

  test('nothing to do is done', async () => {
    assert.deepEqual(await parallel([], { limit: 4 }, async () => 1), []);
  });
});
