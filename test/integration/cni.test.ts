/**
 * The plugins of CNI as a runtime starts them, on two hosts with real agents, beside Debian's plugins.
 *
 *     docker1: c1 eth0 ── tv... ── tulle0 ── flannel.88 ══ flannel.88 ── cni0 ── veth... ── eth0 c2 :docker2
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { TULLE as PROGRAM } from '../../src/lab/host/host.ts';
import { requires } from '../support/capabilities.ts';
import { type CniHost, cniHosts, DEBIAN_PLUGINS } from '../support/cni-host.ts';
import {
  type CniContainer,
  type CniList,
  CniRefusal,
  type CniResult,
  type ListedPlugin,
} from '../support/cni-runtime.ts';
import { eventually } from '../support/eventually.ts';
import { needsLab } from '../support/lab.ts';
import { begun } from '../support/link-changes.ts';

const NEEDS = requires(existsSync(`${DEBIAN_PLUGINS}/bridge`), 'needs containernetworking-plugins');
const LIMIT = { timeout: 230_000 };

const list = (cniVersion: string, ...plugins: readonly ListedPlugin[]): CniList => ({
  cniVersion,
  name: 'net',
  plugins,
});
const TULLE: ListedPlugin = { type: 'tulle', network: 'default' };
const BLUE: ListedPlugin = { type: 'tulle', network: 'blue' };

const addressOf = ({ ips }: CniResult) => ips[0]?.address.split('/')[0] ?? '';

async function refusal(work: Promise<unknown>): Promise<number> {
  try {
    await work;
  } catch (error) {
    if (error instanceof CniRefusal) return error.failure.code;
    throw error;
  }
  return 0;
}

test('containers of CNI', { ...needsLab(), ...(NEEDS.skip !== false && NEEDS), ...LIMIT }, async t => {
  let isBroken = true;
  const [one, two] = await cniHosts(t, () => isBroken);
  await one.run(`${PROGRAM} network create blue --subnet 10.9.0.0/16`);
  const peer = { id: 'peer', netns: await two.addNetns('peer') };
  await eventually(
    'blue is on both hosts',
    async () => (await refusal(two.runtime.status(list('1.1.0', BLUE)))) === 0,
  );
  const blue = addressOf(await two.runtime.add(list('1.0.0', BLUE), { ...peer, link: 'net1' }));
  const overlay = addressOf(await two.runtime.add(list('1.0.0', TULLE), peer));

  await t.test(
    'every version: attached, checked, drifted, removed, as often as it is asked for',
    async () => {
      for (const [version, plugin, far] of [
        ['0.3.1', TULLE, overlay],
        ['0.4.0', BLUE, blue],
        ['1.0.0', TULLE, overlay],
        ['1.1.0', BLUE, blue],
      ] as const) {
        const lists = list(version, plugin);
        const container = { id: `c-${version}`, netns: await one.addNetns('c1') };
        const result = await one.runtime.add(lists, container);
        const { stdout } = await one.host.run('ip', [
          '-n',
          'c1',
          '-4',
          '-o',
          'address',
          'show',
          'dev',
          'eth0',
        ]);
        assert.ok(stdout.includes(result.ips[0]?.address ?? 'none'), stdout);
        await eventually(`${far} answers`, () => one.pings('c1', far));
        assert.equal(await refusal(one.runtime.add(lists, container)), 101);
        if (version === '0.3.1') assert.equal(await refusal(one.runtime.check(lists, container)), 1);
        else {
          await one.runtime.check(lists, container);
          await one.run('ip -n c1 route delete default');
          assert.equal(await refusal(one.runtime.check(lists, container)), 105);
        }
        await one.run('ip netns delete c1');
        await one.runtime.delete(lists, { ...container, netns: '' });
        await one.runtime.delete(lists, { ...container, netns: '/run/netns/c1' });
        assert.deepEqual(await one.leftovers(), []);
      }
    },
  );

  await t.test('what a runtime must not do is refused, and what it lists no more is collected', async () => {
    const lists = list('1.1.0', TULLE);
    assert.equal(await refusal(one.runtime.add(lists, { id: 'c', netns: '/proc/self/ns/net' })), 8);
    assert.equal(await refusal(one.runtime.add(lists, { id: 'c', netns: '/run/netns/none' })), 8);
    assert.equal(await refusal(one.runtime.status(list('1.1.0', { ...TULLE, network: 'red' }))), 50);
    const containers = await Promise.all(
      ['c1', 'c2', 'c3'].map(async id => ({ id, netns: await one.addNetns(id) })),
    );
    await Promise.all(containers.map(container => one.runtime.add(lists, container)));
    await one.runtime.collect(lists, containers.slice(1, 2));
    assert.equal(await refusal(one.runtime.check(lists, containers[0] as CniContainer)), 3);
    await one.runtime.check(lists, containers[1] as CniContainer);
    await one.runtime.collect(lists, []);
    assert.deepEqual(await one.leftovers(), []);
    for (const { id } of containers) await one.run(`ip netns delete ${id}`);
  });

  await t.test('chained with portmap, bandwidth and firewall of Debian', async () => {
    const chain = list(
      '1.0.0',
      TULLE,
      { type: 'portmap', capabilities: { portMappings: true } },
      {
        type: 'bandwidth',
        ingressRate: 8_000_000,
        ingressBurst: 8_000_000,
        egressRate: 8_000_000,
        egressBurst: 8_000_000,
      },
      { type: 'firewall' },
    );
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
    const container = { id: 'c1', netns: await one.addNetns('c1'), runtime: { portMappings } };
    await one.runtime.add(chain, container);
    await one.run('ip netns exec c1 busybox httpd -p 80 -h /etc');
    const get = () =>
      two.host.run('curl', ['-sS', '--max-time', '3', 'http://192.168.65.3:8080/hostname'], {
        anyStatus: true,
      });
    await eventually('portmap leads to the container', async () => (await get()).status === 0);
    assert.match(await one.run('tc qdisc show'), /qdisc tbf/);
    // portmap's own CHECK fails where a container has no IPv6 address.
    await one.runtime.check({ ...chain, plugins: chain.plugins.slice(0, 1) }, container);
    await one.runtime.delete(chain, container);
    await one.runtime.delete(chain, container);
    assert.doesNotMatch(await one.run('iptables-save'), /8080/);
    await one.run('ip netns pids c1').then(pids => one.run(`kill ${pids.trim()}`));
    await one.run('ip netns delete c1');

    // The same port without portmap: ours.
    const own = list('1.0.0', { ...TULLE, capabilities: { portMappings: true } });
    const again = { ...container, id: 'c2', netns: await one.addNetns('c2') };
    await one.runtime.add(own, again);
    assert.equal(
      await refusal(one.runtime.add(own, { ...again, id: 'c3', netns: await one.addNetns('c3') })),
      104,
    );
    await one.run('ip netns exec c2 busybox httpd -p 80 -h /etc');
    await eventually('our port leads to the container', async () => (await get()).status === 0);
    await one.runtime.delete(own, again);
    await one.runtime.delete(own, { ...again, id: 'c3' });
    assert.deepEqual(await one.leftovers(), []);
    await one.run('ip netns pids c2').then(pids => one.run(`kill ${pids.trim()}`));
  });

  await t.test('a call without an agent, or whose agent is killed, leaves nothing', async () => {
    const lists = list('1.0.0', { ...BLUE, capabilities: { portMappings: true } });
    const portMappings = [{ hostPort: 9090, containerPort: 80, protocol: 'tcp' }];
    const container = { id: 'k', netns: await one.addNetns('k'), runtime: { portMappings } };
    for (const changes of [1, 3, 5]) {
      // The runtime sees that it failed, or that it was done; it removes it in both cases.
      const { running: added } = await begun(one.host, changes, () =>
        refusal(one.runtime.add(lists, container)),
      );
      await one.killAgent();
      assert.ok([0, 11].includes(await added));
      assert.equal(await refusal(one.runtime.delete(lists, container)), 11);
      await one.startAgent();
      const { running: deleted } = await begun(one.host, 1, () =>
        refusal(one.runtime.delete(lists, container)),
      );
      if (changes === 5) {
        await one.killAgent();
        await one.startAgent();
      }
      assert.ok([0, 11].includes(await deleted));
      await one.runtime.delete(lists, container);
      await eventually('nothing is left', async () => (await one.leftovers()).length === 0);
      const { stdout } = await one.host.run('nft', ['list', 'ruleset']);
      assert.doesNotMatch(stdout, /9090/);
    }
    // Every address that was given out is free for another container.
    const other = { ...container, id: 'other' };
    const first = addressOf(await one.runtime.add(list('1.0.0', BLUE), other));
    await one.runtime.delete(list('1.0.0', BLUE), other);
    for (const last of [1, 2, 3, 4, 5, 6, 7]) {
      const ip = first.replace(/\d+$/, `${last}`);
      const asked = list('1.0.0', { ...BLUE, args: { cni: { ips: [ip] } } });
      assert.equal(addressOf(await one.runtime.add(asked, other)), ip);
      await one.runtime.delete(asked, other);
    }
    assert.deepEqual(await one.leftovers(), []);
  });

  await t.test('tulle-ipam for the bridge plugin, and what flannel hands to it', async () => {
    await two.runtime.delete(list('1.0.0', TULLE), peer);
    await two.runtime.delete(list('1.0.0', BLUE), { ...peer, link: 'net1' });
    await eventually('its bridge is gone', async () => !(await two.run('ip -o link')).includes('tulle0'));
    const far = { id: 'far', netns: await one.addNetns('far') };
    const ip = addressOf(await one.runtime.add(list('1.0.0', TULLE), far));
    const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, isDefaultGateway: true, mtu: 1450 };
    for (const [at, ipam] of [{ type: 'tulle-ipam' }, await flannelIpam(two)].entries()) {
      const lists = list('0.4.0', { ...bridge, ipam });
      const container = { id: `b${at}`, netns: await two.addNetns(`b${at}`) };
      const result = await two.runtime.add(lists, container);
      await eventually('the container of the other host answers', () => two.pings(`b${at}`, ip));
      await eventually('and reaches this one', () => one.pings('far', addressOf(result)));
      // The bridge plugin does not find a route that it was given without a gateway, as flannel's are.
      if (at === 0) await two.runtime.check(lists, container);
      if (at === 0) assert.equal(await refusal(two.runtime.add(list('1.0.0', TULLE), { ...peer })), 11);
      await two.runtime.delete(lists, container);
      await two.runtime.delete(lists, container);
      assert.deepEqual(await two.leftovers(), []);
    }
    await one.runtime.delete(list('1.0.0', TULLE), far);
    isBroken = false;
  });
});

/** As flannel's own plugin makes it of subnet.env, for whichever plugin it delegates to. */
async function flannelIpam(host: CniHost): Promise<{ readonly type: string }> {
  const text = await host.run('cat /run/flannel/subnet.env');
  const value = (key: string) => new RegExp(`^${key}=(.+)$`, 'm').exec(text)?.[1] ?? '';
  const [, prefix, suffix] = /^(\d+\.\d+\.\d+\.)\d+(\/\d+)$/.exec(value('FLANNEL_SUBNET')) ?? [];
  const ranges = [[{ subnet: `${prefix}0${suffix}` }]];
  const addressing = { ranges, routes: [{ dst: value('FLANNEL_NETWORK') }], dataDir: '/run/host-local' };
  return {
    type: 'host-local',
    ...addressing,
  };
}
