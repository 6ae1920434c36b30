/**
 * Faults while flows take the fast path: between two containers a hundred messages of UDP and a hundred of TCP are said
 * each second, on one flow each, and both take the fast path in both directions on both hosts. What becomes of them must be
 * what becomes of them on the normal path: nothing is lost where that loses nothing, and nothing comes through any more
 * where that lets nothing through, at most a second later and with no agent alive.
 */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { FlowTalk, type TalkProtocol } from '../support/flow-talk.ts';
import { detachAll, flowsAt, programsAt } from '../support/foreign-programs.ts';
import { HARMLESS, HOST_END, place, REPAIRED, SILENCING, SILENCING_ALONE, UPLINK } from './fast-faults.ts';
import { DEVICE, type FaultHost, needsFaultLab } from './fault-host.ts';
import { type FaultLab, useFaultLab } from './fault-lab.ts';

/** Messages in the second for which what is proven may hold. */
const A_SECOND = 100;
/** Packets that tell a fast flow from one that has only just been one. */
const MANY = 20;
const PORTS = { udp: 4001, tcp: 4002 } as const;
const PROTOCOLS = ['udp', 'tcp'] as const;

const begin = (lab: FaultLab, protocol: TalkProtocol): Promise<FlowTalk> =>
  FlowTalk.begin({
    protocol,
    from: lab.host(1).containerNetns,
    to: lab.host(2).containerNetns,
    address: lab.host(2).containerAddress,
    port: PORTS[protocol],
    fromPort: PORTS[protocol],
  });

/** Packets of a protocol that took the fast path on a host, of the direction in which fewer did. */
function fastPackets(host: FaultHost, protocol: TalkProtocol): number {
  const flows = flowsAt(place(host, UPLINK, 'egress')).filter(flow => flow.protocol === protocol);
  const sum = (of: 'sentPackets' | 'deliveredPackets') =>
    flows.reduce((all, flow) => all + Number(flow.state[of]), 0);
  return Math.min(sum('sentPackets'), sum('deliveredPackets'));
}

async function goFast(lab: FaultLab, protocols: readonly TalkProtocol[] = PROTOCOLS): Promise<void> {
  for (const host of lab.hosts) {
    for (const protocol of protocols) {
      let least = Number.POSITIVE_INFINITY;
      await eventually(`${protocol} takes the fast path on ${host.name}`, async () => {
        const now = fastPackets(host, protocol);
        // A flow that is forgotten begins at 0.
        least = Math.min(least, now);
        return now >= least + MANY;
      });
    }
  }
}

const allAnswered = (talks: readonly FlowTalk[], count = 2 * A_SECOND) =>
  Promise.all(talks.map(talk => talk.answered(count)));

/** @param isSoon what lets nothing through is what proves a flow, which it does for half a second */
async function allHushed(t: TestContext, talks: readonly FlowTalk[], isSoon = true): Promise<void> {
  const through = await Promise.all(talks.map(talk => talk.hushed()));
  t.diagnostic(`${through.join(' and ')} messages came through`);
  for (const count of through) assert.ok(!isSoon || count <= A_SECOND, `${count} messages came through`);
}

const lossOf = (talks: readonly FlowTalk[]) => Promise.all(talks.map(async talk => (await talk.toll()).lost));

function assertOpen(talks: readonly FlowTalk[]): void {
  for (const talk of talks) assert.equal(talk.isClosed, false);
}

describe('while flows take the fast path', needsFaultLab, () => {
  const lab = useFaultLab();
  const talks: FlowTalk[] = [];

  before(async () => {
    for (const protocol of PROTOCOLS) talks.push(await begin(lab, protocol));
    await recovers();
  });
  after(async () => {
    for (const talk of talks) await talk[Symbol.asyncDispose]();
  });

  /** Everything is as it was before, and takes the fast path again. */
  async function recovers(): Promise<void> {
    await lab.whole();
    await allAnswered(talks, A_SECOND);
    assertOpen(talks);
    await goFast(lab);
  }

  for (const { name, plant, undoLoses = false } of HARMLESS) {
    test(`nothing is lost when ${name}`, async () => {
      const lost = await lossOf(talks);
      const undo = await plant(lab.host(1), lab.host(2));
      await allAnswered(talks);
      assert.deepEqual(await lossOf(talks), lost);
      await undo?.();
      await recovers();
      if (!undoLoses) assert.deepEqual(await lossOf(talks), lost);
    });
  }

  for (const point of ['ingress', 'egress'] as const) {
    for (const link of [HOST_END, UPLINK]) {
      test(`nothing is lost when the programs at ${point} of ${link} are detached, and they come back`, async () => {
        const lost = await lossOf(talks);
        const [host, at] = [lab.host(1), place(lab.host(1), link, point)];
        const ours = programsAt(at);
        assert.equal(ours.length, 1);
        const last = await host.lastEvent();
        detachAll(at);
        await allAnswered(talks);
        // The kernel says nothing of programs, but of the link it does.
        await host.shell(`ip link set ${link} alias looked-at`);
        await host.eventsUntil(last, events =>
          events.some(({ type, fields }) => type === 'drift-repaired' && fields['object'] === 'program'),
        );
        assert.deepEqual(programsAt(at), ours);
        await recovers();
        assert.deepEqual(await lossOf(talks), lost);
      });
    }
  }

  for (const { name, plant, needsAgent = false } of SILENCING) {
    test(`nothing comes through when ${name}`, async t => {
      const undo = await plant(lab.host(1), lab.host(2));
      try {
        await allHushed(t, talks, !needsAgent);
      } finally {
        await undo?.();
      }
      await recovers();
    });
  }

  for (const { name, plant } of REPAIRED) {
    test(`what is repaired goes on: ${name}`, async () => {
      await plant(lab.host(1), lab.host(2));
      await recovers();
    });
  }

  test('nothing is lost when the agents are killed, and when they are started again', async () => {
    const lost = await lossOf(talks);
    await Promise.all(lab.hosts.map(host => host.killAgent()));
    await allAnswered(talks);
    await goFast(lab);
    await Promise.all(lab.hosts.map(host => host.startAgent()));
    await recovers();
    assert.deepEqual(await lossOf(talks), lost);
  });

  test('a container that asks is replaced by another one with its address', async () => {
    for (const talk of talks.splice(0)) await talk[Symbol.asyncDispose]();
    await replaceContainer(lab.host(1));
    for (const protocol of PROTOCOLS) talks.push(await begin(lab, protocol));
    await recovers();
  });

  test('a container that answers is replaced by another one with its address', async () => {
    const [udp, tcp] = talks.splice(0);
    assert.ok(udp && tcp);
    talks.push(udp);
    await tcp[Symbol.asyncDispose]();
    await udp.answerFrom(async () => {
      await replaceContainer(lab.host(2));
      return lab.host(2).containerNetns;
    });
    talks.push(await begin(lab, 'tcp'));
    await recovers();
  });
});

describe('while flows take the fast path and no agent lives', needsFaultLab, () => {
  const lab = useFaultLab();
  const talks: FlowTalk[] = [];

  before(async () => {
    for (const protocol of PROTOCOLS) talks.push(await begin(lab, protocol));
    await goFast(lab);
    await Promise.all(lab.hosts.map(host => host.killAgent()));
  });
  after(async () => {
    for (const talk of talks) await talk[Symbol.asyncDispose]();
  });

  for (const { name, plant } of SILENCING_ALONE) {
    test(`nothing comes through when ${name}`, async t => {
      // TCP does so once: a connection that has left the fast path needs an agent to go there again.
      await goFast(lab, ['udp']);
      const undo = await plant(lab.host(1), lab.host(2));
      try {
        await allHushed(t, talks);
      } finally {
        await undo?.();
      }
      await allAnswered(talks, A_SECOND);
      assertOpen(talks);
    });
  }

  test('nothing is lost when reverse paths are filtered strictly', async () => {
    await goFast(lab, ['udp']);
    const lost = await lossOf(talks);
    for (const link of ['all', 'docker0', DEVICE])
      await lab.host(1).shell(`sysctl -q -w net/ipv4/conf/${link}/rp_filter=1`);
    await allAnswered(talks);
    assert.deepEqual(await lossOf(talks), lost);
  });

  test('a container that answers is replaced by another one with its address', async () => {
    await goFast(lab, ['udp']);
    const [udp] = talks;
    await udp?.answerFrom(async () => {
      await replaceContainer(lab.host(2));
      return lab.host(2).containerNetns;
    });
    await udp?.answered(A_SECOND);
  });
});

/** The container is gone with its link, and there is another one with its address, which has said so. */
async function replaceContainer(host: FaultHost): Promise<void> {
  const gateway = host.subnet.ip.plus(1).toString();
  for (const line of [
    `ip link del ${HOST_END}`,
    'ip netns del c1',
    'ip netns add c1',
    `ip link add ${HOST_END} mtu 1450 type veth peer name eth0 netns c1`,
    `ip link set ${HOST_END} master docker0 up`,
    `ip -n c1 address add ${host.containerAddress}/24 dev eth0`,
    'ip -n c1 link set eth0 mtu 1450 up',
    `ip -n c1 route add default via ${gateway}`,
    `ip netns exec c1 ping -n -c 1 -W 5 ${gateway}`,
  ]) {
    await host.shell(line);
  }
}
