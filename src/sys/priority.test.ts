import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { needsRoot } from '../../test/support/capabilities.ts';
import { preferSession } from './priority.ts';
import { start } from './process.ts';

test('a session is put before ordinary ones', needsRoot, async () => {
  const child = await start('sleep', ['60']);
  try {
    preferSession(child.pid);
    assert.equal(getPriority(child.pid), -14);
    const autogroup = `/proc/${child.pid}/autogroup`;
    if (existsSync(autogroup)) assert.match(readFileSync(autogroup, 'utf8'), /nice -14$/m);
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
  preferSession(child.pid);
});
