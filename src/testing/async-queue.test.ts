import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AsyncQueue } from './async-queue.ts';
import { fc } from './properties.ts';

test('everything pushed arrives in order, whoever is faster', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 20 }), async bursts => {
      const queue = new AsyncQueue<number>();
      const pushed: number[] = [];
      const producer = (async () => {
        for (const burst of bursts) {
          const items = Array.from({ length: burst }, (_, index) => pushed.length + index);
          pushed.push(...items);
          queue.push(...items);
          await Promise.resolve();
        }
        queue.end();
      })();
      const taken: number[] = [];
      for await (const item of queue.consume()) taken.push(item);
      await producer;
      assert.deepEqual(taken, pushed);
      assert.equal(queue.size, 0);
    }),
    { numRuns: 50 },
  );
});

test('an abort ends a waiting consumer quietly', async () => {
  const stop = new AbortController();
  const consumed = Array.fromAsync(new AsyncQueue<number>().consume(stop.signal));
  stop.abort();
  assert.deepEqual(await consumed, []);
});

test('pushes after the end are ignored', async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.end();
  queue.push(2);
  assert.deepEqual(await Array.fromAsync(queue.consume()), [1]);
});
