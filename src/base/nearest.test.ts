import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a name is near another one that a few edits make of it, fewer for a short name', () => {
  for (const [name, candidates, expected] of [
    ['vxlna', ['vxlan', 'udp'], 'vxlan'],
    ['stats', ['status', 'start'], 'status'],
    ['Netwrok', ['Network', 'IPv6Network'], 'Network'],
    ['statsu', ['start', 'status', 'state'], 'status'],
    ['ab', ['abc'], 'abc'],
    ['ab', ['abcd'], undefined],
    ['interface', ['interfere'], 'interfere'],
    ['interface', ['surface', 'internet'], undefined],
    ['vxlan', [], undefined],
    ['EnableIPv6', ['EnableIPv4'], 'EnableIPv4'],
    ['peers', ['events'], undefined],
  ] as const) {
    assert.equal(nearest(name, candidates), expected, name);
  }
});
