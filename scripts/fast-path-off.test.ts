import assert from 'node:assert/strict';
import { matchesGlob } from 'node:path';
import { test } from 'node:test';
import { filesOfBothWays, filesThatStartAgents, ONCE_IS_ENOUGH } from './fast-path-off.ts';

test('what is about packets of containers runs with the fast path off, too', () => {
  const files = filesOfBothWays();
  for (const file of [
    'test/e2e/docker-plugin.test.ts',
    'test/e2e/faults.test.ts',
    'test/e2e/switch.test.ts',
    'test/e2e/network-docker.test.ts',
    'test/integration/cni.test.ts',
    'test/integration/senders.test.ts',
  ])
    assert.ok(files.includes(file), file);
});

test('every reason for leaving files out has files that start agents', () => {
  const files = filesThatStartAgents();
  const stale = Object.keys(ONCE_IS_ENOUGH).filter(glob => !files.some(file => matchesGlob(file, glob)));
  assert.deepEqual(stale, []);
});
