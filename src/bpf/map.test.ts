import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { countCpus } from './map.ts';

test('processors in a list of the kernel', () => {
  assert.equal(countCpus('0\n'), 1);
  assert.equal(countCpus('0-1\n'), 2);
  assert.equal(countCpus('0-3,8,10-11'), 7);
});

test('any other text is refused: a wrong count would let the kernel write where it must not', () => {
  for (const text of ['', '-', '3-1', '0-', 'a', '0,,1', '0-1-2']) assert.throws(() => countCpus(text), text);
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        assert.ok(countCpus(text) >= 1);
      } catch (error) {
        assert.equal((error as Error).name, 'ParseError');
      }
    }),
  );
});
