import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerText } from './publication.ts';

test('a container that has no name yet is not called by the id of its endpoint', () => {
  const endpoint = '9aab949289b8'.padEnd(64, '0');
  assert.equal(containerText(endpoint, '9aab949289b8'), 'a container that starts now');
  assert.equal(containerText(endpoint, 'web'), 'the container web');
  assert.equal(containerText('9aab949289b8/eth0', '9aab949289b8'), 'the container 9aab949289b8');
});
