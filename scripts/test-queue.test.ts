import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../test/support/eventually.ts';
import { type Job, runQueue } from './test-queue.ts';

/** Jobs that end when they are told to. */
function jobs(kinds: readonly ('beside others' | 'alone')[]) {
  const begun: number[] = [];
  const ends = kinds.map(() => Promise.withResolvers<void>());
  const all = kinds.map((kind, at): Job => {
    const run = async () => {
      begun.push(at);
      await ends[at]?.promise;
    };
    return { isAlone: kind === 'alone', run };
  });
  const begins = (count: number) => eventually(`${count} have begun`, async () => begun.length >= count);
  return {
    all,
    begun,
    begins,
    end: (at: number) => ends[at]?.resolve(),
    fail: (at: number) => ends[at]?.reject(new Error('no')),
  };
}

const BUSY = { room: 2, idleShare: () => 0.3, interval: 1 };

test('as many run at a time as there is room, in their order', async () => {
  const { all, begun, begins, end } = jobs(Array(4).fill('beside others'));
  const running = runQueue(all, BUSY);
  assert.deepEqual(begun, [0, 1]);
  end(1);
  await begins(3);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const at of [0, 2, 3]) end(at);
  await running;
  assert.deepEqual(begun, [0, 1, 2, 3]);
});

test('while processors are idle one more runs, and no second one', async () => {
  const { all, begun, begins, end } = jobs(Array(4).fill('beside others'));
  let questions = 0;
  const idleShare = () => {
    questions++;
    return 0.5;
  };
  const running = runQueue(all, { ...BUSY, idleShare });
  await begins(3);
  const asked = questions;
  await eventually('it is asked again', async () => questions > asked + 2);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const at of [0, 1, 2, 3]) end(at);
  await running;
});

test('what needs all processors runs alone, and nothing overtakes it, also while they are idle', async () => {
  const { all, begun, begins, end } = jobs(['beside others', 'alone', 'beside others']);
  let questions = 0;
  const idleShare = () => {
    questions++;
    return 1;
  };
  const askedAgain = async () => {
    const asked = questions;
    await eventually('it is asked again', async () => questions > asked + 2);
  };
  const running = runQueue(all, { ...BUSY, idleShare });
  await askedAgain();
  assert.deepEqual(begun, [0]);
  end(0);
  await begins(2);
  await askedAgain();
  assert.deepEqual(begun, [0, 1]);
  end(1);
  end(2);
  await running;
});

test('a job that fails ends the queue with those that run', async () => {
  const { all, begun, end, fail } = jobs(Array(3).fill('beside others'));
  const running = runQueue(all, BUSY);
  fail(0);
  end(1);
  await assert.rejects(running, /no/);
  assert.deepEqual(begun, [0, 1]);
});
