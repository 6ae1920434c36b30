/**
 * Three machines and nothing else: no etcd, no configuration, no certificates.
 *
 *     docker1   tulle up                 keeps the store, leases the first subnet
 *     docker2   tulle up --join TOKEN    |
 *     docker3   tulle up --join TOKEN    | on one underlay, 192.168.65.0/24
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Prefix } from '../../src/base/prefix.ts';
import { Anchor, namespacesOf } from '../../src/lab/anchor.ts';
import { weaveFabric } from '../../src/lab/fabric.ts';
import { TULLE } from '../../src/lab/host.ts';
import { planLab } from '../../src/lab/plan.ts';
import { Site } from '../../src/lab/site.ts';
import { connectRoute } from '../../src/netlink/connect-route.ts';
import type { Route } from '../../src/netlink/objects.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from '../support/capabilities.ts';

const NETWORK = Prefix.parse('10.244.0.0/16');
const RTPROT_TULLE = 77;
const SUBNETS = '/coreos.com/network/subnets/';

async function machines(t: TestContext, count: number): Promise<Site[]> {
  const stack = new AsyncDisposableStack();
  t.after(() => stack.disposeAsync());
  const anchor = stack.use(await Anchor.drop());
  const route = stack.use(connectRoute({ netns: stack.use(Netns.open(namespacesOf(anchor.id).net)) }));
  await weaveFabric(route);
  const plan = planLab({ name: 'tt-up', hosts: count, containers: 0, runtime: 'namespace', store: 'tulle' });
  const sites: Site[] = [];
  for (const host of plan.hosts) sites.push(stack.use(await Site.prepare(host, { anchor, route }, '')));
  return sites;
}

/** Starts `tulle up`; every machine names its interface, for there is no default route. */
const up = (site: Site, ...flags: string[]) => site.host.start(TULLE, ['up', '--iface=eth0', ...flags], 'up');

const tulle = (site: Site, ...args: string[]) => site.host.run(TULLE, args, { timeout: 20_000 });

/** Waits until this machine has routes of ours to so many subnets, and returns these. */
async function peersOf(site: Site, count: number): Promise<string[]> {
  const found = new Set<string>();
  const note = ({ destination, protocol }: Route) => {
    if (protocol === RTPROT_TULLE && destination !== undefined) found.add(destination.toString());
  };
  const events = site.route.watch(['route'], AbortSignal.timeout(60_000));
  for (const route of await site.route.routes.list()) note(route);
  if (found.size >= count) return [...found];
  for await (const event of events) {
    if (event.type === 'route' && !event.gone) note(event.route);
    if (found.size >= count) break;
  }
  return [...found];
}

test('three machines become a network with two words and a token', {
  ...needsRoot,
  timeout: 120_000,
}, async t => {
  const sites = await machines(t, 3);
  const [first, second, third] = sites as [Site, Site, Site];
  await first.host.run('mkdir', ['-p', '/run/flannel']);
  await up(first);
  const ready = await untilServing(first);
  assert.equal(ready.network.config?.ipv4?.network, String(NETWORK));

  const { token } = JSON.parse((await tulle(first, 'store', 'token', '--json')).stdout) as { token: string };
  const [seenBySecond, seenByFirst] = await Promise.all([
    peersAfter(second, 2, () => up(second, '--join', token)),
    peersAfter(first, 2, () => up(third, '--join', token)),
  ]);
  const leases = (await tulle(first, 'lease', 'list', '--json')).stdout;
  for (const subnet of [...seenByFirst, ...seenBySecond]) assert.ok(leases.includes(subnet), subnet);

  await t.test('every peer is reached through the tunnel', async () => {
    for (const subnet of seenByFirst) {
      const base = subnet.replace(/\/\d+$/, '');
      await first.host.run('ping', ['-c', '1', '-W', '5', base], { timeout: 10_000 });
    }
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

  await t.test('a revoked token lets nobody in', async () => {
    const [{ id }] = JSON.parse((await tulle(first, 'store', 'token', 'list', '--json')).stdout) as [
      { id: string },
    ];
    await tulle(first, 'store', 'token', 'revoke', id);
    const stranger = ['up', '--iface=eth0', '--state-dir=/run/stranger', '--socket=/run/stranger.sock'];
    const { status, stderr } = await second.host.run(TULLE, [...stranger, '--join', token], {
      anyStatus: true,
      timeout: 20_000,
    });
    assert.notEqual(status, 0);
    assert.match(stderr, /was revoked/);
  });
});

async function peersAfter(site: Site, count: number, start: () => Promise<unknown>): Promise<string[]> {
  const [peers] = await Promise.all([peersOf(site, count), start()]);
  return peers;
}

/** The status of the agent, once it answers and has its lease. */
async function untilServing(site: Site) {
  const { waitForFile } = await import('../../src/sys/wait-file.ts');
  await waitForFile(site.host.path('/run/flannel/subnet.env'), AbortSignal.timeout(30_000));
  return JSON.parse((await tulle(site, 'status', '--json')).stdout) as {
    network: { config?: { ipv4?: { network: string } } };
  };
}

function etcdctl(site: Site, as: 'host' | undefined, ...args: string[]) {
  const trust = '/var/lib/tulle/trust';
  const identity = as === undefined ? [] : ['--cert', `${trust}/host.pem`, '--key', `${trust}/host-key.pem`];
  return site.host.run(
    'etcdctl',
    [
      '--endpoints=https://192.168.65.3:2379',
      '--command-timeout=2s',
      '--cacert',
      `${trust}/ca.pem`,
      ...identity,
      ...args,
    ],
    { anyStatus: true, timeout: 20_000 },
  );
}
