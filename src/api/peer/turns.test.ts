import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Turns } from './turns.ts';

const never = new AbortController().signal;

test('so many at a time, and the others in their order', async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const take = async (number: number, signal = never) => {
    const turn = await turns.take(signal);
    begun.push(number);
    return turn;
  };
  const [first, second] = [await take(1), await take(2)];
  const leave = new AbortController();
  const third = take(3, leave.signal);
  const fourth = take(4);
  const fifth = take(5);
  leave.abort(new Error('left'));
  await assert.rejects(third, /left/);
  await setImmediate();
  assert.deepEqual(begun, [1, 2]);
  first[Symbol.dispose]();
  second[Symbol.dispose]();
  for (const turn of await Promise.all([fourth, fifth])) turn[Symbol.dispose]();
  assert.deepEqual(begun, [1, 2, 4, 5]);
  await assert.rejects(turns.take(AbortSignal.abort(new Error('late'))), /late/);
  await using stack = new AsyncDisposableStack();
  stack.use(await turns.take(never));
  stack.use(await turns.take(never));
});
