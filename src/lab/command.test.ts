import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { TULLE } from './host/host.ts';

test('a lab with a backend that no host could use is refused before anything is made', t => {
  const backend = '{"Type": "vxlan", "VNI": -1, "Port": "x"}';
  const { status, stdout, stderr } = spawnSync(
    TULLE,
    ['lab', 'up', '--name', 'tt-backend', '--backend-config', backend],
    { encoding: 'utf8', timeout: 60_000 },
  );
  // Where it was not refused there is a lab now.
  if (status !== 2)
    t.after(() => spawnSync(TULLE, ['lab', 'down', '--name', 'tt-backend'], { timeout: 60_000 }));
  assert.equal(status, 2, stderr);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^tulle: error: network configuration: .*Backend\.VNI = -1: .*; Backend\.Port = "x": .*\n$/,
  );
});
