import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { releaseMemory } from './memory.ts';

test('garbage goes back to the kernel, and what is in use stays', () => {
  const kept = Array.from({ length: 1000 }, (_, index) => ({ index, text: `kept ${index}` }));
  let garbage: object[] | undefined = Array.from({ length: 500_000 }, (_, index) => ({
    index,
    more: [index],
  }));
  const before = process.memoryUsage.rss();
  assert.equal(garbage.length, 500_000);
  garbage = undefined;
  releaseMemory();
  const after = process.memoryUsage.rss();
  assert.ok(after < before - 20_000_000, `${before} bytes before, ${after} after`);
  assert.deepEqual(kept[999], { index: 999, text: 'kept 999' });
});
