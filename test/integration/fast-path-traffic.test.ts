/** Two hosts with containers and the fast path: real traffic, which the normal path must go on deciding about. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { PROOF_LIFETIME } from '../../src/fastpath/programs/proof.ts';
import { run } from '../../src/sys/process.ts';
import { needsBpf } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';
import { FastHost } from '../support/fast-host.ts';
import type { Namespace } from '../support/neighbourhood.ts';
import { type OverlayPair, overlayPair } from '../support/overlay-pair.ts';
import { Talk, type TalkOptions } from '../support/talk.ts';

const TUNNEL = { port: 8472, vni: 1 };
const FAR = '10.5.2.2';
const PORT = 7000;

const fastHost = (t: TestContext, { host }: OverlayPair['near' | 'far'], hostEnds = ['veth-c']) =>
  FastHost.start(t, host, { tunnel: TUNNEL, uplink: 'eth0', hostEnds });

const talk = (t: TestContext, { near, far }: OverlayPair, options: Partial<TalkOptions> = {}) =>
  Talk.start(t, [near.container, far.container], { protocol: 'udp', to: FAR, port: PORT, ...options });

/** That many more packets of the flow of a protocol have taken the fast path, in both directions. */
const goesFast = (host: FastHost, protocol: 'tcp' | 'udp', packets = 100) => {
  const count = () => {
    const flows = host.flows().filter(flow => flow.protocol === protocol);
    return Math.min(
      Math.max(0, ...flows.map(({ state }) => Number(state.sentPackets))),
      Math.max(0, ...flows.map(({ state }) => Number(state.deliveredPackets))),
    );
  };
  const before = count();
  return eventually(`${protocol} takes the fast path`, async () => count() >= before + packets);
};

/** A table whose chain sees what is forwarded. */
async function forwarding({ namespaces }: Namespace, ...rules: string[]): Promise<void> {
  const text = `table ip t { chain f { type filter hook forward priority 0; ${rules.join('; ')}; }; }`;
  await run('nft', ['-f', '-'], { namespaces, input: text });
}

for (const protocol of ['udp', 'tcp'] as const)
  test(
    `${protocol}: fast on both hosts, and most packets are seen by no tunnel device`,
    needsBpf,
    async t => {
      const pair = await overlayPair(t);
      const [near, far] = [await fastHost(t, pair.near), await fastHost(t, pair.far)];
      const talking = await talk(t, pair, { protocol });
      await Promise.all([goesFast(near, protocol, 200), goesFast(far, protocol, 200)]);
      const { namespaces } = pair.near.host;
      // After each rest of a busy machine the flow proves itself anew, and at first TCP waits for the agent.
      await eventually('more packets are fast than the tunnel device has sent', async () => {
        const { stdout } = await run('ip', ['-s', '-j', 'link', 'show', 'vx1'], { namespaces });
        const normal = JSON.parse(stdout)[0].stats64.tx.packets;
        const { sent } = near.counts;
        return normal < sent || assert.fail(`${normal} by the tunnel device, ${sent} fast`);
      });
      assert.equal(talking.wrong, 0);
    },
  );

test('a stream arrives whole, and its end is in step with conntrack', needsBpf, async t => {
  const pair = await overlayPair(t);
  for (const { host } of [pair.near, pair.far])
    await forwarding(host, 'ct state established,related accept', 'ct state invalid counter drop');
  const [near, far] = [await fastHost(t, pair.near), await fastHost(t, pair.far)];
  const talking = await talk(t, pair, { protocol: 'tcp', size: 300_000 });
  await Promise.all([goesFast(near, 'tcp', 500), goesFast(far, 'tcp', 500)]);
  await talking.hangUp();
  assert.equal(talking.wrong, 0);
  for (const { host } of [pair.near, pair.far]) {
    const { stdout } = await run('nft', ['list', 'table', 'ip', 't'], { namespaces: host.namespaces });
    assert.match(stdout, /invalid counter packets 0 bytes 0/);
  }
  assert.deepEqual(
    near.flows().filter(({ state }) => state.sentPackets > 0n),
    [],
    'the end of a connection ends its flow',
  );
});

for (const at of ['near', 'far'] as const)
  test(`a rule of ${at} that drops stops a fast flow, and its proof is not renewed`, needsBpf, async t => {
    const pair = await overlayPair(t);
    const hosts = { near: await fastHost(t, pair.near), far: await fastHost(t, pair.far) };
    const talking = await talk(t, pair);
    await Promise.all([goesFast(hosts.near, 'udp'), goesFast(hosts.far, 'udp')]);
    await forwarding(pair[at].host, 'udp dport 7000 drop');
    const end = process.hrtime.bigint() + BigInt(PROOF_LIFETIME);
    await eventually('nothing is answered any more', async () => talking.unanswered > 100);
    const [flow] = hosts[at].flows();
    const until = at === 'near' ? flow?.state.sentUntil : flow?.state.deliveredUntil;
    assert.ok(until !== undefined && until > 0n && until <= end, `${until} is after ${end}`);

    await run('nft', ['delete', 'table', 'ip', 't'], { namespaces: pair[at].host.namespaces });
    await goesFast(hosts[at], 'udp');
  });

for (const at of ['near', 'far'] as const)
  test(`only ${at} has a fast path: the other is a plain peer`, needsBpf, async t => {
    const pair = await overlayPair(t);
    const host = await fastHost(t, pair[at]);
    const talks = await Promise.all([
      talk(t, pair),
      talk(t, pair, { protocol: 'tcp', port: PORT + 1, size: 50_000 }),
    ]);
    await Promise.all([goesFast(host, 'udp'), goesFast(host, 'tcp')]);
    assert.deepEqual(
      talks.map(({ wrong }) => wrong),
      [0, 0],
    );
  });

test('what is translated on the way never takes the fast path, and arrives', needsBpf, async t => {
  const pair = await overlayPair(t);
  const near = await fastHost(t, pair.near);
  const { namespaces } = pair.near.host;
  const text = `table ip n { chain p { type nat hook prerouting priority -100; ip daddr 10.5.9.9 dnat to ${FAR}; };
    chain q { type nat hook postrouting priority 100; udp dport 7001 masquerade; }; }`;
  await run('nft', ['-f', '-'], { namespaces, input: text });
  const talks = await Promise.all([
    talk(t, pair, { to: '10.5.9.9' }),
    talk(t, pair, { port: 7001 }),
    talk(t, pair, { to: '10.5.9.9', port: 7002, protocol: 'tcp' }),
  ]);
  await eventually('100 answers', async () => talks.every(({ answered }) => answered > 100));
  assert.deepEqual(near.counts, { sent: 0, delivered: 0 });
});

test(
  'two containers of a host, one of them with the address of the other: only its own is carried',
  needsBpf,
  async t => {
    const pair = await overlayPair(t);
    const near = await fastHost(t, pair.near, ['veth-c', 'veth-d']);
    const talking = await talk(t, pair);
    await goesFast(near, 'udp');
    // Of the same addresses, but not of that interface; every other packet the flow is another container's.
    await pair.near.second.do('ip addr add 10.5.1.2/32 dev eth0');
    const thief = await Talk.start(t, [pair.near.second, pair.far.container], {
      protocol: 'udp',
      to: FAR,
      port: PORT + 5,
    });
    await goesFast(near, 'udp');
    assert.equal(talking.wrong + thief.wrong, 0);
  },
);
