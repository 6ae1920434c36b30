import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { successor } from './key-order.ts';

test('nothing is between a key and its successor', () => {
  assert.deepEqual(successor(Uint8Array.of(0x2f, 0x61)), Uint8Array.of(0x2f, 0x61, 0));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4 }), fc.uint8Array({ maxLength: 5 }), (key, other) => {
      const [before, after] = [Buffer.compare(other, key), Buffer.compare(other, successor(key))];
      assert.ok(before <= 0 || after >= 0);
    }),
  );
});
