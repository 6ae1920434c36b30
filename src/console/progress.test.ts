import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printed } from '../../test/support/output.ts';
import { withProgress } from './progress.ts';

test('nothing is said about work that is done in time, also later', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { result, err } = await printed(t, async () => {
    const value = await withProgress('quick work', async () => 1);
    await assert.rejects(withProgress('a quick failure', Promise.reject(new Error('no'))));
    t.mock.timers.tick(10_000);
    return value;
  });
  assert.deepEqual([result, err], [1, '']);
});

test('work that takes longer is named when it begins to, and when it is done', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { lines } = await printed(t, () =>
    withProgress('starting dockerd', async () => t.mock.timers.tick(1000)),
  );
  assert.equal(lines[0], 'starting dockerd ...');
  assert.match(lines[1] ?? '', /^starting dockerd: done in \d/);
  assert.equal(lines.length, 2);
});
