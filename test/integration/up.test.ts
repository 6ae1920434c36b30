/**
 * Three machines and nothing else: no etcd, no configuration, no certificates.
 *
 *     docker1   tulle up                 keeps the store, leases the first subnet
 *     docker2   tulle up --join TOKEN    |
 *     docker3   tulle up --join TOKEN    | on one underlay, 192.168.65.0/24
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Prefix } from '../../src/base/prefix.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import type { Site } from '../../src/lab/host/site.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { etcdctl, machines, peersAfter, peersOf, tulle, untilServing, up } from '../support/up.ts';

const NETWORK = Prefix.parse('10.244.0.0/16');
const SUBNETS = '/coreos.com/network/subnets/';

test('three machines become a network with two words and a token', needsRoot, async t => {
  const sites = await machines(t, 3);
  const [first, second, third] = sites as [Site, Site, Site];
  await first.host.run('mkdir', ['-p', '/run/flannel']);
  await up(first);
  const ready = await untilServing(first);
  assert.equal(ready.network.config?.ipv4?.network, String(NETWORK));
  // What it prints goes into a journal here, where a token would be kept for everybody who reads it.
  const log = readFileSync(first.host.logFile('up'), 'utf8');
  assert.match(log, /`tulle store token` prints what further hosts need to join/);
  assert.doesNotMatch(log, /tulle1\./);

  const { token } = JSON.parse((await tulle(first, 'store', 'token', '--json')).stdout) as { token: string };
  const [seenBySecond, seenByFirst] = await Promise.all([
    peersAfter(second, 2, () => up(second, '--join', token)),
    peersAfter(first, 2, () => up(third, '--join', token)),
  ]);
  // So that it knows the way back.
  await peersOf(third, 2);
  const leases = (await tulle(first, 'lease', 'list', '--json')).stdout;
  for (const subnet of [...seenByFirst, ...seenBySecond]) assert.ok(leases.includes(subnet), subnet);

  await t.test('every peer is reached through the tunnel', async () => {
    for (const subnet of seenByFirst) {
      const base = subnet.replace(/\/\d+$/, '');
      await first.host.run('ping', ['-c', '1', '-W', '10', base]);
    }
  });

  await t.test('each answers the others with the certificate that it got', async () => {
    await eventually('all are ready', async () => {
      const all = ['status', '--all-hosts', '--json'];
      const { stdout } = await second.host.run(TULLE, all, { anyStatus: true });
      const { hosts } = JSON.parse(stdout) as { hosts: { host: string; state: string; via?: string }[] };
      assert.deepEqual(
        hosts.map(({ state, via }) => ({ state, via })),
        sites.map(() => ({ state: 'ready', via: undefined })),
        stdout,
      );
      return true;
    });
  });

  await t.test('a host cannot write what is not its own', async () => {
    const status = JSON.parse((await tulle(first, 'status', '--json')).stdout) as { lease: { key: string } };
    for (const [key, value] of [
      [SUBNETS + status.lease.key, '{"PublicIP":"192.168.65.4"}'],
      ['/coreos.com/network/config', '{"Network":"10.0.0.0/8"}'],
    ] as const) {
      const { stderr, status: exit } = await etcdctl(second, 'host', 'put', key, value);
      assert.notEqual(exit, 0);
      assert.match(stderr, /permission denied/);
    }
    assert.match((await etcdctl(second, 'host', 'get', '--prefix', SUBNETS)).stdout, /TulleHost/);
  });

  await t.test('a stranger without a certificate gets nothing', async () => {
    const { status } = await etcdctl(second, undefined, 'get', '--prefix', '/');
    assert.notEqual(status, 0);
  });

  await t.test('a second one on the same host is refused, and ends', async () => {
    const { status, stderr } = await second.host.run(TULLE, ['up', '--iface=eth0'], { anyStatus: true });
    assert.notEqual(status, 0);
    assert.match(stderr, /an agent already runs/);
  });

  await t.test('a revoked token lets nobody in', async () => {
    const [{ id }] = JSON.parse((await tulle(first, 'store', 'token', 'list', '--json')).stdout) as [
      { id: string },
    ];
    await tulle(first, 'store', 'token', 'revoke', id);
    const stranger = ['up', '--iface=eth0', '--state-dir=/run/stranger', '--socket=/run/stranger.sock'];
    const { status, stderr } = await second.host.run(TULLE, [...stranger, '--join', token], {
      anyStatus: true,
    });
    assert.notEqual(status, 0);
    assert.match(stderr, /was revoked/);
  });
});
