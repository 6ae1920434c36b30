/**
 * Two containers talk over the fast path of their hosts, by datagrams and by one connection, while all that happens to an
 * agent happens to that of the first: no packet is lost, the connection stays, and when everything is taken away nothing is
 * left.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { FastPath } from '../../src/fastpath/fast-path.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsBpftool } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';
import { areGone, type KernelObjects, objectsOf, othersOf } from '../support/fast-path-objects.ts';
import { FlowTalk } from '../support/flow-talk.ts';
import { plantForeign } from '../support/foreign-programs.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';
import { SteadyStream } from '../support/steady-stream.ts';

const OTHER_LAYOUT = `--import=${join(import.meta.dirname, '../support/other-layout.ts')}`;

/** One of datagrams, one of TCP. */
const FLOWS = 2;

describe('the fast path under traffic', { ...needsBpftool, concurrency: 1 }, () => {
  let pair: LabPair;
  let talk: FlowTalk;
  let stream: SteadyStream;

  before(async () => {
    pair = await LabPair.create({});
    const { first, second } = pair;
    const ends = { from: first.containerNetns, to: second.containerNetns };
    const address = second.ip.ipv4 ?? '';
    await pair.explaining(async () => {
      await pair.whole();
      talk = await FlowTalk.begin({ ...ends, protocol: 'udp', address, port: 7000, interval: 1 });
      stream = await SteadyStream.begin({ ...ends, ip: address, port: 7001 });
      await untilFast(first, second);
    });
  });

  after(async () => {
    await stream?.[Symbol.asyncDispose]();
    await talk?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  /** Runs `work`; afterwards both conversations go on, and nothing of them was lost. */
  async function withoutLoss(work: (first: PairHost) => Promise<void>): Promise<void> {
    await pair.explaining(async () => {
      const { lost } = await talk.toll();
      await work(pair.first);
      await stream.goesOn();
      assert.equal((await talk.toll()).lost - lost, 0, 'datagrams lost');
    });
  }

  /** Waits until the agents say that packets of both conversations take the fast path. */
  async function untilFast(...hosts: readonly PairHost[]): Promise<void> {
    for (const host of hosts) {
      let before = Number.POSITIVE_INFINITY;
      await eventually(`both conversations take the fast path on ${host.record.name}`, async () => {
        const [overlay] = (await host.status()).fastPath?.networks ?? [];
        const now = (overlay?.sentPackets ?? 0) + (overlay?.receivedPackets ?? 0);
        const isMore = now > before;
        before = now;
        assert.ok(isMore && overlay?.flows === FLOWS, JSON.stringify(overlay));
        return true;
      });
    }
  }

  async function untilUnused(...hosts: readonly PairHost[]): Promise<void> {
    for (const host of hosts)
      await eventually(`${host.record.name} has no fast path`, async () => {
        const { fastPath } = await host.status();
        return fastPath?.used === false && (await objectsOf(host.host)).programs.length === 0;
      });
  }

  const untilGone = ({ programs, maps }: KernelObjects) =>
    eventually('programs and maps are gone', () => areGone({ programs, maps }));

  test('an agent that is killed: both go on, and fast, and the next one goes on with the same programs', () =>
    withoutLoss(async first => {
      const former = await objectsOf(first.host);
      assert.ok(former.programs.length > 0);
      await first.killAgent();
      await untilFastWithoutAgent(first);
      await first.startAgent();
      await first.untilPeers(1);
      await untilFast(first);
      assert.deepEqual(await objectsOf(first.host), former);
    }));

  test('an agent that is stopped and started: nobody notices', () =>
    withoutLoss(async first => {
      const former = await objectsOf(first.host);
      await first.stopAgent();
      await untilFastWithoutAgent(first);
      await first.startAgent();
      await first.untilPeers(1);
      await untilFast(first);
      assert.deepEqual(await objectsOf(first.host), former);
    }));

  test('another version, with another layout, takes the place of this one, and back', () =>
    withoutLoss(async first => {
      for (const nodeOptions of [OTHER_LAYOUT, '']) {
        const former = await objectsOf(first.host);
        await first.stopAgent();
        await first.startAgentWith(nodeOptions);
        await first.untilPeers(1);
        await untilFast(first);
        const { programs } = await objectsOf(first.host);
        assert.equal(programs.length, former.programs.length);
        await untilGone(former);
      }
    }));

  test('turned off on one host by its flag, and on again', () =>
    withoutLoss(async first => {
      const former = await objectsOf(first.host);
      await first.stopAgent();
      await first.startAgent('--fast-path=off');
      await first.untilPeers(1);
      await untilUnused(first);
      await untilGone(former);
      await first.stopAgent();
      await first.startAgent();
      await first.untilPeers(1);
      await untilFast(first);
    }));

  test('turned off in the configuration of the network, and on again', () =>
    withoutLoss(async first => {
      const config = { Network: '188.172.0.0/16', Backend: { Type: 'vxlan', VNI: 88, Port: 4789 } };
      await first.configure({ ...config, FastPath: 'off' });
      await untilUnused(first, pair.second);
      await first.configure(config);
      await untilFast(first, pair.second);
    }));

  test('uninstalled, nothing is lost; cleaned up, nothing of ours is left, and all of others', async () => {
    let former: KernelObjects | undefined;
    await withoutLoss(async first => {
      former = await objectsOf(first.host);
      await first.stopAgent();
    });
    // The kernel loses packets while a link gets a queue, which the filter of somebody else needs.
    await plantNamesakes(pair.first);
    await withoutLoss(untilFastWithoutAgent);
    const { host } = pair.first;
    const others = await othersOf(host);
    assert.equal(others.length, 2);
    await host.run(TULLE, ['cleanup']);
    assert.deepEqual(await objectsOf(host), { programs: [], maps: [] });
    await untilGone(former ?? assert.fail());
    assert.deepEqual(await othersOf(host), others);
  });
});

/** Waits until more packets of both kinds have taken the fast path, by what is in the kernel. */
async function untilFastWithoutAgent({ host }: PairHost): Promise<void> {
  using netns = Netns.open(host.netnsFile);
  await using fastPath = await FastPath.open({ netns, owner: NETWORK_PREFIX });
  const count = () => {
    const packets = { tcp: 0n, udp: 0n };
    for (const { protocol, state } of fastPath.flows(1000))
      packets[protocol] += BigInt(state.sentPackets) + BigInt(state.deliveredPackets);
    return packets;
  };
  const begin = count();
  await eventually('packets take the fast path without an agent', async () => {
    const { tcp, udp } = count();
    return tcp > begin.tcp && udp > begin.udp;
  });
}

/** Programs of somebody else with a name like ours, at the link to the other hosts. */
async function plantNamesakes({ host }: PairHost): Promise<void> {
  using netns = Netns.open(host.netnsFile);
  await using rtnetlink = connectRoute({ netns });
  const { index } = (await rtnetlink.links.list()).find(({ name }) => name === 'eth0') ?? assert.fail();
  await rtnetlink.traffic.addClsact(index);
  await plantForeign(netns, index, 'tulle_theirs');
}
