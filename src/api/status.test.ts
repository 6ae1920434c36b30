import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containersCanTalk, type Status, type Warning } from './status.ts';

test('containers can talk when the agent is ready and no warning is an error', () => {
  const can = (ready: boolean, ...severities: Warning['severity'][]) =>
    containersCanTalk({
      agent: { ready },
      warnings: severities.map(severity => ({ severity })),
    } as Status);
  assert.equal(can(true), true);
  assert.equal(can(true, 'info', 'warning'), true);
  assert.equal(can(true, 'info', 'error'), false);
  assert.equal(can(false), false);
  assert.equal(can(false, 'error'), false);
});
