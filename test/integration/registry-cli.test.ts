/** The registry's commands as a person runs them: a process, real etcd, and an exit status. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { run } from '../../src/sys/process.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

test(
  'a network is configured, a subnet reserved, shown and released, and an L2 network made and deleted',
  needsEtcd,
  async t => {
    const stack = new AsyncDisposableStack();
    t.after(() => stack[Symbol.asyncDispose]());
    const etcd = stack.use(await Etcd.start());
    const tulle = (args: readonly string[], input = '') =>
      run(process.execPath, [MAIN, ...args], {
        input,
        anyStatus: true,
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

    const create = (...args: string[]) => tulle(['network', 'create', 'blue', ...args]);
    const refused = await create('--subnet', '10.5.0.0/24', '--mtu', '70', '--gateway', 'x');
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /2 problems\n {2}--subnet = "10\.5\.0\.0\/24": overlaps .*\n {2}--gateway = "x"/,
    );
    assert.equal((await create('--subnet', '10.9.0.0/16', '--l2', '--vni', '4242')).status, 0);
    assert.equal((await create('--subnet', '10.9.0.0/16')).status, 1);
    assert.equal((await etcd.ctl('get', '--print-value-only', '/test/net/vnis/4242')).trim(), 'blue');
    const { networks } = JSON.parse((await tulle(['network', 'list', '--json'])).stdout) as {
      networks: object[];
    };
    assert.partialDeepStrictEqual(networks, [{ name: 'blue', vni: 4242, subnets: { ipv4: '10.9.0.0/16' } }]);
    assert.match((await tulle(['network', 'inspect', 'blue'])).stdout, /^gateway {2}10\.9\.0\.1$/m);
    assert.equal((await tulle(['completion', '--offer', 'networks'])).stdout, 'blue\n');
    assert.equal((await tulle(['network', 'delete', 'blue'])).status, 0);
    assert.equal((await tulle(['network', 'inspect', 'blue'])).status, 7);
  },
);
