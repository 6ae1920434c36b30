import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { forEach } from './each.ts';

async function* numbers(onEnd: () => void): AsyncGenerator<number, void> {
  try {
    yield* [1, 2, 3];
  } finally {
    onEnd();
  }
}

test('every item is taken, in order', async () => {
  const taken: number[] = [];
  let ended = false;
  await forEach(
    numbers(() => (ended = true)),
    item => taken.push(item),
  );
  assert.deepEqual(taken, [1, 2, 3]);
  assert.ok(ended);
});

test('an item that cannot be taken ends it, and what the items come from', async () => {
  let ended = false;
  const taking = forEach(
    numbers(() => (ended = true)),
    item => assert.notEqual(item, 2),
  );
  await assert.rejects(taking);
  assert.ok(ended);
});

test('no item is held while it waits for the next one', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const end = Promise.withResolvers<void>();
  async function* one(): AsyncGenerator<object, void> {
    yield {};
    await end.promise;
  }
  let last: WeakRef<object> | undefined;
  const running = forEach(one(), item => (last = new WeakRef(item)));
  // A weak reference holds on until the turn of the event loop is over.
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  collect();
  assert.ok(last !== undefined && last.deref() === undefined);
  end.resolve();
  await running;
});
