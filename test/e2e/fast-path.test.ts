/** The fast path with real agents: two hosts with a container each that talk, and everything that may happen to them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Status } from '../../src/api/status.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { FlowTalk } from '../support/flow-talk.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';

describe('the fast path', { ...needsRoot, concurrency: 1 }, () => {
  let pair: LabPair;
  let talk: FlowTalk;

  before(async () => {
    pair = await LabPair.create({});
    await pair.whole();
    const { first, second } = pair;
    talk = await FlowTalk.begin({
      protocol: 'udp',
      from: first.containerNetns,
      to: second.containerNetns,
      address: second.ip.ipv4 ?? '',
      port: 7000,
      interval: 1,
    });
  });

  after(async () => {
    await talk[Symbol.asyncDispose]();
    await pair[Symbol.asyncDispose]();
  });

  const statusOf = async ({ host }: PairHost) =>
    JSON.parse((await host.run(TULLE, ['status', '--json'])).stdout) as Status;

  /** Packets of the network that took the fast path, sent and received; 0 while none is fast. */
  const fastPackets = async (host: PairHost, name: string): Promise<number> => {
    const { fastPath } = await statusOf(host);
    const network = fastPath?.networks.find(one => one.name === name);
    return network !== undefined && network.flows > 0 ? network.sentPackets + network.receivedPackets : 0;
  };

  /** Waits until more packets of the talk take the fast path on a host. */
  const untilMore = async (host: PairHost, name = 'overlay') => {
    let least = Number.POSITIVE_INFINITY;
    await eventually(`packets take the fast path on ${host.record.name}`, async () => {
      const now = await fastPackets(host, name);
      // A flow that is forgotten begins at 0, and so do those of other programs.
      least = Math.min(least, now);
      return now > least + 100;
    });
  };

  /** The same on both. */
  const untilFast = async (name = 'overlay') => {
    for (const host of [pair.first, pair.second]) await untilMore(host, name);
  };

  const configure = (fastPath: string, vni = 88) => {
    const config = JSON.stringify({
      Network: '188.172.0.0/16',
      FastPath: fastPath,
      Backend: { Type: 'vxlan', VNI: vni, Port: 4789 },
    });
    return pair.first.host.run('sh', ['-c', `printf '%s' '${config}' | ${TULLE} config set -`]);
  };

  test('packets of two containers take the fast path, and status says so of host and peer', async () => {
    await pair.explaining(untilFast);
    // A talker that gets no processor for half a second has no fast flow for a moment.
    await eventually('status says so', async () => {
      const { fastPath, peers } = await statusOf(pair.first);
      assert.equal(fastPath?.used, true);
      assert.equal(fastPath.networks[0]?.links.length, 1);
      assert.ok((peers[0]?.fastPath?.flows ?? 0) > 0);
      const { stdout } = await pair.first.host.run(TULLE, ['status']);
      assert.match(stdout, /^fast path +1 flow fast now \([\d,]+ packets, .*\), on 1 container link$/m);
      return true;
    });
  });

  test('an agent that is killed and started again costs no packet', async () => {
    const before = await talk.toll();
    await pair.first.killAgent();
    await talk.answered();
    await pair.first.startAgent();
    await pair.whole();
    await untilFast();
    const after = await talk.toll();
    assert.equal(after.lost - before.lost, 0);
  });

  test('turned off in the configuration, and on again, without a lost packet', async () => {
    const before = await talk.toll();
    await configure('off');
    for (const host of [pair.first, pair.second]) {
      await eventually('the programs are gone', async () => {
        const { fastPath } = await statusOf(host);
        return fastPath?.used === false && fastPath.obstacle?.code === 'OFF_BY_CONFIG';
      });
    }
    await configure('auto');
    await untilFast();
    const after = await talk.toll();
    assert.equal(after.lost - before.lost, 0);
  });

  test('a queue that limits the link of a container keeps its packets on the normal path', async () => {
    const { first } = pair;
    const { fastPath } = await statusOf(first);
    const [link = ''] = fastPath?.networks[0]?.links ?? [];
    await first.host.run('tc', [
      'qdisc',
      'add',
      'dev',
      link,
      'root',
      'tbf',
      'rate',
      '1gbit',
      'burst',
      '1m',
      'latency',
      '50ms',
    ]);
    const reason = await eventually(
      'it is left out',
      async () => (await statusOf(first)).fastPath?.networks[0]?.without[0],
    );
    assert.deepEqual([reason.link, reason.code], [link, 'LINK_QUEUE']);
    await first.host.run('tc', ['qdisc', 'del', 'dev', link, 'root']);
    await untilFast();
  });

  test('another VNI: the fast path goes over to the new device, without a lost packet', async () => {
    const before = await talk.toll();
    await configure('auto', 99);
    for (const host of [pair.first, pair.second]) {
      await eventually('only the new device is left', async () => {
        const { backend } = await statusOf(host);
        return backend?.devices.map(({ name }) => name).join() === 'flannel.99';
      });
    }
    await untilFast();
    const after = await talk.toll();
    assert.equal(after.lost - before.lost, 0);
  });

  test('an agent that is started with it off takes away what the one before has attached', async () => {
    const { second } = pair;
    const before = await talk.toll();
    await second.killAgent();
    await second.startAgent('--fast-path=off');
    await pair.whole();
    assert.equal((await statusOf(second)).fastPath?.obstacle?.code, 'OFF_BY_FLAG');
    // One side alone may have it.
    await untilMore(pair.first);
    await second.killAgent();
    await second.startAgent();
    await pair.whole();
    await untilFast();
    const after = await talk.toll();
    assert.equal(after.lost - before.lost, 0);
  });

  test('on an L2 network as well', async () => {
    const { first, second } = pair;
    await first.host.run(TULLE, ['network', 'create', 'blue', '--subnet', '172.20.0.0/24']);
    const ips: string[] = [];
    for (const { host } of [first, second]) {
      await host.run('ip', ['netns', 'add', 'x1']);
      const { stdout } = await eventually('x1 is connected', () =>
        host.run(TULLE, ['network', 'connect', 'blue', 'x1']),
      );
      ips.push(/172\.20\.0\.\d+/.exec(stdout)?.[0] ?? '');
    }
    const [from, to] = [first, second].map(({ host }) => host.path('/run/netns/x1'));
    const [, address] = ips;
    assert.ok(from !== undefined && to !== undefined && address !== undefined);
    await using _ = await FlowTalk.begin({ protocol: 'udp', from, to, address, port: 7001, interval: 1 });
    await untilFast('blue');
  });
});
