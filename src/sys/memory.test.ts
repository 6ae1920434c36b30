import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { collectGarbage, residentMemory, returnFreeMemory } from './memory.ts';

test('garbage goes back to the kernel, and what is in use stays', () => {
  const kept = Array.from({ length: 1000 }, (_, index) => ({ index, text: `kept ${index}` }));
  let garbage: object[] | undefined = Array.from({ length: 500_000 }, (_, index) => ({
    index,
    more: [index],
  }));
  const before = residentMemory();
  assert.equal(garbage.length, 500_000);
  garbage = undefined;
  collectGarbage();
  returnFreeMemory();
  const after = residentMemory();
  assert.ok(after < before - 20_000_000, `${before} bytes before, ${after} after`);
  assert.deepEqual(kept[999], { index: 999, text: 'kept 999' });
});

test('the program goes on without its code in memory, and has most of it no more', () => {
  const file = () => Number(/^RssFile:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = file();
  returnFreeMemory();
  const after = file();
  assert.ok(after < before / 2, `${before} kB of files before, ${after} after`);
  // Numbers with exponents, dates and errors: code and constants of all parts, read again from the file.
  assert.equal(JSON.stringify([1e21, new Date(0)]), '[1e+21,"1970-01-01T00:00:00.000Z"]');
  assert.throws(() => JSON.parse('{'), SyntaxError);
});
