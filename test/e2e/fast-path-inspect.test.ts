/**
 * What check, trace, capture and report see of the fast path on two hosts of a lab: flows that go it, a program that is
 * gone while no agent runs, and one of somebody else that drops what takes the fast path.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { attachedPrograms, detachProgram } from '../../src/bpf/attachment.ts';
import { programInfoById } from '../../src/bpf/info.ts';
import { BpfProgram } from '../../src/bpf/program.ts';
import type { CheckDocument } from '../../src/inspect/check/json.ts';
import type { ReportDocument } from '../../src/inspect/report/collect.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsBpf } from '../support/bpftool.ts';
import { eventually } from '../support/eventually.ts';
import { DROP, plantProgram } from '../support/fast-path-plant.ts';
import { FlowTalk } from '../support/flow-talk.ts';
import { LabPair, type PairHost } from '../support/lab-pair.ts';
import { type ToldTrace, traceOn } from '../support/told-trace.ts';

const PATIENCE = 60_000;
const PORT = 7000;

async function check({ host }: PairHost, ...words: string[]): Promise<CheckDocument> {
  const options = { anyStatus: true, timeout: PATIENCE } as const;
  const { stdout, stderr } = await host.run(TULLE, ['check', ...words, '--json'], options);
  assert.ok(stdout.startsWith('{'), stderr);
  return JSON.parse(stdout) as CheckDocument;
}

const codesOf = ({ findings }: CheckDocument) =>
  findings.filter(({ code }) => /^FAST_PATH|^TC_DROP/.test(code)).map(({ code, host }) => `${code} ${host}`);

/** Runs `work` in the network namespace of a host, with the index of its uplink. */
async function atUplink({ host }: PairHost, work: (uplink: number) => void): Promise<void> {
  using netns = Netns.open(host.netnsFile);
  await using rtnetlink = connectRoute({ netns });
  const links = await rtnetlink.links.list();
  const uplink = links.find(({ name }) => name === 'eth0')?.index ?? assert.fail('no eth0');
  netns.run(() => work(uplink));
}

/** Takes a program of ours away at the uplink. */
const detach = (host: PairHost, point: 'ingress' | 'egress', name: string) =>
  atUplink(host, index => {
    const { ids = [], revision = 0n } = attachedPrograms(index, point) ?? {};
    const id = ids.find(one => programInfoById(one)?.name === name) ?? assert.fail(`no ${name}`);
    using program = BpfProgram.open(id);
    detachProgram({ index, point, program: program?.fd ?? -1, revision });
  });

describe('the fast path is seen by', needsBpf, () => {
  let pair: LabPair;
  let talk: FlowTalk;

  before(async () => {
    pair = await LabPair.create({ family: 'ipv4' });
    await pair.whole();
    await pair.untilReachable();
    const { first, second } = pair;
    talk = await FlowTalk.begin({
      protocol: 'udp',
      from: first.containerNetns,
      to: second.containerNetns,
      address: second.ip.ipv4 ?? '',
      port: PORT,
      interval: 1,
    });
  });
  after(async () => {
    await talk?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  const udp = () => traceOn(pair.first, 'c1', 'docker2/c1', '--proto', 'udp', '--port', String(PORT));
  /** Until a flow of the talk goes it on both hosts. */
  const untilFast = () =>
    eventually(
      'a flow is fast on both hosts',
      async () => {
        const told = await udp();
        return told.fastPath.length === 2 && told.fastPath.every(({ state }) => state === 'fast')
          ? told
          : undefined;
      },
      PATIENCE,
    );

  /** A check that was not given up because the machine is busy. */
  const probed = () =>
    eventually(
      'a flow is made for a check',
      async () => {
        const found = await check(pair.first, 'docker2');
        return found.fastPath.length > 0 ? found : undefined;
      },
      PATIENCE,
    );

  test('a trace: which flows go it on each host, with their counters, while its own packet does not', () =>
    pair.explaining(async () => {
      const told: ToldTrace = await untilFast();
      assert.equal(told.ok, true);
      for (const { host, flows, text } of told.fastPath) {
        const [flow] = flows;
        assert.ok(
          flow?.sent && flow.delivered && flow.sentPackets > 0 && flow.deliveredPackets > 0,
          JSON.stringify(flow),
        );
        assert.match(
          text,
          new RegExp(
            `(docker0|flannel\\.88), (docker0|flannel\\.88), the routes and rules of ${host} do not`,
          ),
        );
      }
      const args = ['trace', 'c1', 'docker2/c1', '--proto', 'udp', '--port', `${PORT}`];
      await eventually(
        'the screen says it: between two proofs a flow rests, longer where the machine is busy',
        async () => {
          const { stdout } = await pair.first.host.run(TULLE, args);
          assert.match(stdout, /The fast path\ndocker1: A flow between these ends takes it/);
          assert.match(stdout, /fast, [\d,]+ packets? out/);
          return true;
        },
        PATIENCE,
      );
      const icmp = await eventually('both hosts say their part', async () => {
        const traced = await traceOn(pair.first, 'c1', 'docker2/c1');
        return traced.unasked.length === 0 && traced;
      });
      assert.deepEqual(
        icmp.fastPath.map(({ state }) => state),
        ['normal', 'normal'],
      );
    }));

  test('a check: a flow of its own goes it on both hosts, and nothing is lost', () =>
    pair.explaining(async () => {
      const found = await probed();
      assert.deepEqual([found.ok, codesOf(found)], [true, []]);
      const [probe] = found.fastPath;
      assert.equal(probe?.fast.answered, probe?.fast.sent);
      assert.deepEqual(
        probe?.hosts.map(({ host, flows: [flow] }) => [host, (flow?.sentPackets ?? 0) > 0]),
        [
          ['docker1', true],
          ['docker2', true],
        ],
      );
      await eventually(
        'the screen says it, of a flow that was made',
        async () => {
          const { stdout } = await pair.first.host.run(TULLE, ['check', 'docker2']);
          assert.match(stdout, /a flow from c1 to c1 of docker2 takes the fast path on docker1 and docker2/);
          return true;
        },
        PATIENCE,
      );
    }));

  test('a report: programs, maps, the count of flows; and a capture says what it does not show', () =>
    pair.explaining(async () => {
      // A talker that gets no processor for half a second has no fast flow for a moment.
      await eventually(
        'the report counts a fast flow',
        async () => {
          const { stdout } = await pair.first.host.run(TULLE, ['report', '--no-check', '--json']);
          const { parts } = JSON.parse(stdout) as ReportDocument;
          const listed = parts.find(({ title }) => title.includes('fast path'))?.text ?? '';
          assert.match(listed, /^eth0 ingress tcx program \d+ tulle_receive /m);
          assert.match(listed, /^generation \d+, \d+ flows known of 65536, [1-9]\d* of them fast$/m);
          return true;
        },
        PATIENCE,
      );
      await eventually(
        'a capture says what it does not show',
        async () => {
          const { stderr } = await pair.first.host.run(TULLE, ['capture', '-c', '1']);
          assert.match(stderr, /flows? takes? the fast path: of their packets flannel\.88 /);
          return true;
        },
        PATIENCE,
      );
    }));

  test('a check without an agent: a program that is gone is found, and the agent attaches it again', () =>
    pair.explaining(async () => {
      await pair.first.killAgent();
      await detach(pair.first, 'ingress', 'tulle_receive');
      const found = await check(pair.first);
      assert.deepEqual(codesOf(found), ['FAST_PATH_INCOMPLETE docker1']);
      const [finding] = found.findings.filter(({ code }) => code === 'FAST_PATH_INCOMPLETE');
      assert.match(finding?.reason ?? '', /receive at the ingress of eth0/);
      assert.match(finding?.remedy ?? '', /start the agent/);
      const ip = pair.second.ip.ipv4 ?? '';
      const told = await traceOn(pair.first, 'c1', ip, '--proto', 'udp', '--port', `${PORT}`);
      assert.match(
        told.fastPath[0]?.text ?? '',
        /receive at the ingress of eth0 is missing, and no agent answers/,
      );
      await pair.first.startAgent();
      await pair.whole();
      await untilFast();
      assert.deepEqual(codesOf(await probed()), []);
    }));

  test('a check: a program of others that drops what takes the fast path is found and named', () =>
    pair.explaining(async () => {
      // It comes in front of ours, which takes the mark of fast packets off, when ours is attached again.
      await pair.first.killAgent();
      await detach(pair.first, 'egress', 'tulle_sent');
      await atUplink(pair.first, index =>
        plantProgram(index, 'egress', { name: 'evil', verdict: DROP, onlyMarked: true }),
      );
      await pair.first.startAgent();
      await pair.whole();
      const found = await eventually(
        'the loss is found',
        async () => {
          const document = await probed();
          return codesOf(document).includes('FAST_PATH_LOSS docker1') ? document : undefined;
        },
        2 * PATIENCE,
      );
      assert.equal(found.ok, false);
      const [finding] = found.findings.filter(({ code }) => code === 'FAST_PATH_LOSS');
      assert.match(
        finding?.reason ?? '',
        /lost as soon as their flow takes the fast path.* evil \(id \d+\) at the egress of eth0/,
      );
      assert.match(finding?.remedy ?? '', /^bpftool net show dev eth0/);
    }));
});
