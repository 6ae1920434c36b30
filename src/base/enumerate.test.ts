import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enumerate } from './enumerate.ts';

test('names what fits, and counts what does not', () => {
  assert.equal(enumerate([]), '');
  assert.equal(enumerate(['a', 'b']), 'a, b');
  assert.equal(enumerate(['a', 'b'], { most: 2 }), 'a, b');
  assert.equal(enumerate(['a', 'b', 'c'], { most: 2 }), 'a, b and 1 more');
  assert.equal(
    enumerate(Array.from({ length: 5000 }, (_, index) => String(index))),
    '0, 1, 2, 3, 4 and 4,995 more',
  );
  let named = 0;
  enumerate(
    Array.from({ length: 5000 }, (_, index) => index),
    { name: index => `${index}${named++}` },
  );
  assert.equal(named, 5, 'only what is shown gets a name');
});
