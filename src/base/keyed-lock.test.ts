import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedLock } from './keyed-lock.ts';

test('work on one key is done in turns, whatever becomes of it, and on another one meanwhile', async () => {
  const lock = new KeyedLock();
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = lock.run('a', async () => {
    await gate.promise;
    done.push('first');
    throw new Error('it failed');
  });
  const second = lock.run('a', async () => done.push('second'));
  await lock.run('b', async () => done.push('other'));
  assert.deepEqual(done, ['other']);
  gate.resolve();
  await assert.rejects(first, /it failed/);
  await second;
  assert.deepEqual(done, ['other', 'first', 'second']);
});
