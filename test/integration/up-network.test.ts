/** The network of a first host, beside what this host has already: `tulle up` on a machine of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { needsRoot } from '../support/capabilities.ts';
import { machines, untilServing, up } from '../support/up.ts';

// A4, B4
test(
  'A4, B4: the network of a first host is none that it uses, and is not changed by another start',
  needsRoot,
  async t => {
    const [site] = await machines(t, 1);
    assert.ok(site !== undefined);
    const { host } = site;
    await host.run('mkdir', ['-p', '/run/flannel']);
    await host.run('ip', ['link', 'add', 'lan', 'type', 'bridge']);
    await host.run('ip', ['address', 'add', '10.244.7.1/24', 'dev', 'lan']);
    await host.run('ip', ['link', 'set', 'lan', 'up']);
    const refused = (...args: string[]) =>
      host.run(TULLE, ['up', '--iface=eth0', ...args], { anyStatus: true });

    const clash = await refused('--network', '10.0.0.0/8');
    assert.notEqual(clash.status, 0);
    assert.match(
      clash.stderr,
      /--network.*10\.0\.0\.0\/8.* is in use on this host: 10\.244\.7\.1\/24 on lan/,
    );
    assert.match(clash.stderr, /10\.245\.0\.0\/16 is free/);

    const daemon = await up(site);
    const status = await untilServing(site);
    assert.equal(status.network.config?.ipv4?.network, '10.245.0.0/16');
    assert.deepEqual(
      status.warnings.filter(({ code }) => code === 'FORMER_SUBNET'),
      [],
    );
    await t.test('a network that no host could use is refused by the host itself', async () => {
      const { status: exit, stderr } = await host.run(
        TULLE,
        ['config', 'set', '{"Network": "192.168.0.0/16", "Backend": {"Type": "vxlan"}}'],
        { anyStatus: true },
      );
      assert.notEqual(exit, 0);
      assert.match(stderr, /contains addresses of hosts: 192\.168\.65\.3/);
    });

    await t.test(
      'another network is refused with the one that is there, and nothing is changed',
      async () => {
        await endProcess(daemon);
        const { status: exit, stderr } = await refused('--network', '10.99.0.0/16');
        assert.notEqual(exit, 0);
        assert.match(stderr, /is not the network in the store of this host, which is 10\.245\.0\.0\/16/);
        await host.run('rm', ['/run/flannel/subnet.env']);
        await up(site, '--network', '10.245.0.0/16');
        assert.equal((await untilServing(site)).lease.key, status.lease.key);
      },
    );
  },
);
