import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentStateIn } from './cleanup.ts';

test("the store's database is never part of what the agent leaves", t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-state-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'identity.json'), '{}');
  assert.deepEqual(agentStateIn(directory), [directory]);
  mkdirSync(join(directory, 'store'));
  assert.deepEqual(agentStateIn(directory), [join(directory, 'identity.json')]);
  assert.deepEqual(agentStateIn(join(directory, 'absent')), [join(directory, 'absent')]);
});
