import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Netns } from './netns.ts';

test('a name cannot leave the directory', () => {
  for (const name of ['', '.', '..', 'a/b', '../x', 'a b'])
    assert.throws(() => Netns.named(name), RangeError);
});
