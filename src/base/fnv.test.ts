import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fnv1a } from './fnv.ts';

test('has the values of RFC 9923, and continues from a seed', () => {
  const hash = (text: string, seed?: number) => fnv1a(new TextEncoder().encode(text), seed);
  assert.deepEqual([hash(''), hash('a'), hash('foobar')], [0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  assert.equal(hash('bar', hash('foo')), hash('foobar'));
});
