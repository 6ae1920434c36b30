/** The registry's commands as a person runs them: a process, real etcd, and an exit status. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { run } from '../../src/sys/process.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

test('a network is configured, and a subnet reserved, shown and released', needsEtcd, async t => {
  const stack = new AsyncDisposableStack();
  t.after(() => stack[Symbol.asyncDispose]());
  const etcd = stack.use(await Etcd.start());
  const tulle = (args: readonly string[], input = '') =>
    run(process.execPath, [MAIN, ...args], {
      input,
      anyStatus: true,
      timeout: 30_000,
      env: { ...process.env, FLANNELD_ETCD_ENDPOINTS: etcd.url, TULLE_ETCD_PREFIX: '/test/net' },
    });

  assert.equal((await tulle(['config', 'get'])).status, 7);
  const wrong = await tulle(
    ['config', 'set', '-'],
    '{"Network": "10.5.0.0/16", "SubnetLen": 40, "Backend": {}}',
  );
  assert.equal(wrong.status, 2);
  assert.match(
    wrong.stderr,
    /^tulle: error: network configuration: 2 problems\n {2}SubnetLen = 40: .*\n {2}Backend = \{\}: has no Type/,
  );

  const config = '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}';
  assert.equal((await tulle(['config', 'set', '-'], config)).status, 0);
  assert.equal((await etcd.ctl('get', '--print-value-only', '/test/net/config')).trim(), config);
  assert.equal((await tulle(['lease', 'reserve', '10.5.34.0/24', '--public-ip', '192.0.2.4'])).status, 0);
  const { leases } = JSON.parse((await tulle(['lease', 'list', '--json'])).stdout) as { leases: object[] };
  assert.partialDeepStrictEqual(leases, [
    { key: '10.5.34.0-24', publicIp: { ipv4: '192.0.2.4' }, reservation: true },
  ]);
  assert.equal((await tulle(['lease', 'release', '192.0.2.4'])).status, 0);
  assert.equal((await tulle(['lease', 'show', '192.0.2.4'])).status, 7);
});
