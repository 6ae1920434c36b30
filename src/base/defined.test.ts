import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defined } from './defined.ts';

test('what is undefined becomes absent, and what is null, empty or zero stays', () => {
  const given = { a: 1, b: undefined, c: null, d: 0, e: '' };
  const result = defined(given);
  assert.deepEqual(Object.entries(result), [
    ['a', 1],
    ['c', null],
    ['d', 0],
    ['e', ''],
  ]);
  assert.equal('b' in given, true, 'the given object stays as it is');
});
