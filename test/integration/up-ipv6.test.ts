/**
 * `tulle up` where there is no IPv4 but on loopback, and where there are both families.
 *
 *     docker1   tulle up                 fd00:65::3
 *     docker2   tulle up --join TOKEN    fd00:65::4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TULLE } from '../../src/lab/host/host.ts';
import type { Site } from '../../src/lab/host/site.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { parseToken } from '../../src/trust/token.ts';
import { needsRoot } from '../support/capabilities.ts';
import { etcdctl, machines, peersAfter, peersOf, tulle, untilServing, up } from '../support/up.ts';

const tokenOf = async (site: Site) =>
  (JSON.parse((await tulle(site, 'store', 'token', '--json')).stdout) as { token: string }).token;

const ping = (from: Site, subnet = '') =>
  from.host.run('ping', ['-c', '1', '-W', '10', subnet.replace(/\/\d+$/, '')]);

test('without IPv4, two machines become a network of random local addresses', needsRoot, async t => {
  const [first, second] = (await machines(t, 2, 'ipv6')) as [Site, Site];
  await first.host.run('mkdir', ['-p', '/run/flannel']);
  const running = await up(first);
  const { network, lease } = await untilServing(first);
  assert.deepEqual(
    Object.keys(network.config ?? {}).filter(key => key.startsWith('ipv')),
    ['ipv6'],
  );
  const block = network.config?.ipv6?.network ?? '';
  assert.match(block, /^fd[0-9a-f:]+::\/48$/);
  assert.equal(lease.subnet.ipv4, undefined);

  const token = await tokenOf(first);
  assert.equal(parseToken(token).address, '[fd00:65::3]:2379');
  const subnets = await peersAfter(second, 1, () => up(second, '--join', token));
  assert.deepEqual(subnets, [lease.subnet.ipv6]);
  const joined = await untilServing(second);
  assert.deepEqual(joined.store.endpoints, ['https://[fd00:65::3]:2379']);
  await peersOf(first, 1);
  await ping(second, lease.subnet.ipv6);
  await ping(first, joined.lease.subnet.ipv6);

  await t.test('and one more start of the first keeps everything', async () => {
    await endProcess(running);
    await first.host.run('rm', ['/run/flannel/subnet.env']);
    await up(first);
    const again = await untilServing(first);
    assert.equal(again.network.config?.ipv6?.network, block);
    assert.equal(again.lease.key, lease.key);
    await ping(second, lease.subnet.ipv6);
  });
});

test('two networks are asked for, and every machine has both', needsRoot, async t => {
  const [first, second] = (await machines(t, 2, 'dual')) as [Site, Site];
  await first.host.run('mkdir', ['-p', '/run/flannel']);
  await up(first, '--network', '10.244.0.0/16', '--network', 'fd5c:1e6:77b0::/48');
  const { lease } = await untilServing(first);
  assert.match(lease.key, /^10\.244\.\d+\.0-24&fd5c:1e6:77b0:[0-9a-f]+::-64$/);
  const token = await tokenOf(first);
  assert.equal(parseToken(token).address, '192.168.65.3:2379');
  const subnets = await peersAfter(second, 2, () => up(second, '--join', token));
  assert.deepEqual(new Set(subnets), new Set([lease.subnet.ipv4, lease.subnet.ipv6]));
  await peersOf(first, 2);
  for (const subnet of subnets) await ping(second, subnet);

  await t.test('the store answers at either address, with a certificate for it', async () => {
    for (const address of ['192.168.65.3', '[fd00:65::3]']) {
      const config = ['get', '/coreos.com/network/config', '--print-value-only'];
      const { stdout } = await etcdctl(second, 'host', `--endpoints=https://${address}:2379`, ...config);
      assert.match(stdout, /"IPv6Network":"fd5c:1e6:77b0::\/48"/);
    }
  });
});

test('two networks of one family are refused', needsRoot, async t => {
  const [machine] = (await machines(t, 1)) as [Site];
  const { status, stderr } = await machine.host.run(
    TULLE,
    ['up', '--network', '10.1.0.0/16', '--network', '10.2.0.0/16'],
    { anyStatus: true },
  );
  assert.equal(status, 2);
  assert.match(stderr, /--network = "10\.2\.0\.0\/16": is the second of IPv4/);
});
