import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { aborted } from '../../base/abort.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import type { DesiredHost } from '../../dataplane/desired.ts';
import type { JudgingRule } from '../../firewall/judging/judging-rule.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import { TC_H_ROOT } from '../../netlink/route/traffic-constants.ts';
import { AsyncQueue } from '../../testing/async-queue.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import {
  addressFixture,
  bridgeFixture,
  linkFixture,
  vethFixture,
} from '../../testing/network/link-fixtures.ts';
import type { HostNetwork } from '../underlay.ts';
import { HostFastPath, type HostFastPathParts } from './host-fast-path.ts';
import type { CarriedNetwork } from './plan.ts';

const OVERLAY: CarriedNetwork = {
  name: 'overlay',
  uplink: { index: 2 },
  addresses: [Prefix.parse('10.5.0.0/16')],
  tunnels: [{ link: 'flannel.88', port: 8472, vni: 88 }],
  block: Prefix.parse('10.5.34.0/24'),
};

const veth = (index: number) => vethFixture(index, `veth${index}`, 4);

const HOST: HostNetwork = {
  links: [linkFixture(2, 'eth0'), linkFixture(3, 'flannel.88'), bridgeFixture(4, 'docker0'), veth(10)],
  addresses: [addressFixture(4, '10.5.34.1/24')],
  defaultRoutes: [],
  defaultVxlanPort: 8472,
};

/** A host whose parts a test changes, and what its fast path makes of that. */
class Harness {
  readonly clock = new ManualClock();
  readonly host = new Watchable<HostNetwork | undefined>(HOST);
  networks: readonly CarriedNetwork[] | undefined = [OVERLAY];
  readonly rounds = new Watchable(0);
  writes = 0;
  readonly events = new AsyncQueue<KernelEvent>();
  queue = 'noqueue';
  readonly rules = new Watchable<readonly JudgingRule[] | undefined>([]);
  changeRules: () => void = () => undefined;
  /** How many tunnels the programs have room for. */
  room = 8;
  bumps = 0;
  readonly tunnels: number[][] = [];
  readonly stated: string[][] = [];
  readonly fastPath: HostFastPath;

  constructor(t: TestContext) {
    const stop = new AbortController();
    this.fastPath = new HostFastPath(this.#parts());
    const running = this.fastPath.run(stop.signal);
    t.after(async () => {
      stop.abort();
      this.events.end();
      await running;
    });
  }

  async settle(): Promise<void> {
    await this.clock.advance(100);
  }

  /** Links that have programs, as they were stated last. */
  get links(): readonly string[] {
    return [...new Set(this.stated.at(-1))];
  }

  #parts(): HostFastPathParts {
    const state = (host: DesiredHost) =>
      void this.stated.push((host.programs ?? []).map(({ link: at }) => at));
    const writes = () => this.writes;
    return {
      programs: {
        others: async () => ({ ingress: [], egress: [] }),
        otherIds: async () => [],
        setTunnels: tunnels => {
          this.tunnels.push(tunnels.map(({ vni }) => vni));
          return tunnels.slice(this.room);
        },
        bump: () => void this.bumps++,
        flows: () => [],
        normal: () => new Map(),
        tcpObstacle: undefined,
      },
      networks: () => this.networks,
      host: this.host,
      rtnetlink: {
        get writes() {
          return writes();
        },
        watch: (_, signal) => this.events.consume(signal),
        routes: { read: async (_, reader) => reader.begin() } as HostFastPathParts['rtnetlink']['routes'],
        traffic: {
          qdiscs: async () => [{ index: 10, kind: this.queue, handle: 0, parent: TC_H_ROOT }],
        } as HostFastPathParts['rtnetlink']['traffic'],
      },
      dataPlane: {
        network: () => ({ setHost: state, report: () => ({ failures: [] }) }) as never,
        apply: async () => ({ inSync: true, writes: 0, failures: [] }),
        rounds: this.rounds,
      },
      watchRules: ({ onChange }) => {
        this.changeRules = onChange;
        return {
          judging: this.rules,
          reread: () => undefined,
          run: signal => aborted(signal),
        };
      },
      clock: this.clock,
      logger: silentLogger,
    };
  }
}

test('states the programs of the links that there are, after the tunnels were told, and not again', async t => {
  const harness = new Harness(t);
  await harness.settle();
  assert.deepEqual(harness.links, ['eth0', 'veth10']);
  assert.deepEqual(harness.tunnels, [[88]]);
  increment(harness.rounds);
  await harness.settle();
  assert.equal(harness.stated.length, 1);
});

test('says nothing of programs that the last run has left, until it knows its networks or has waited', async t => {
  const harness = new Harness(t);
  harness.networks = undefined;
  await harness.settle();
  assert.deepEqual(harness.stated, []);
  harness.networks = [];
  await harness.clock.advance(30_000);
  await harness.settle();
  assert.equal(harness.fastPath.hasWaited, true);
  assert.deepEqual(harness.stated, [[]]);
});

test('a container that comes disturbs no flow; one that goes makes all prove themselves anew', async t => {
  const harness = new Harness(t);
  await harness.settle();
  const before = harness.bumps;
  harness.host.set({ ...HOST, links: [...HOST.links, veth(11)] });
  await harness.settle();
  assert.deepEqual([harness.links, harness.bumps], [['eth0', 'veth10', 'veth11'], before]);
  harness.host.set(HOST);
  await harness.settle();
  assert.deepEqual([harness.links, harness.bumps], [['eth0', 'veth10'], before + 1]);
});

test('what the agent writes to the kernel makes flows prove themselves anew; a round without writes does not', async t => {
  const harness = new Harness(t);
  await harness.settle();
  const before = harness.bumps;
  increment(harness.rounds);
  await harness.settle();
  assert.equal(harness.bumps, before);
  harness.writes++;
  increment(harness.rounds);
  await harness.settle();
  assert.equal(harness.bumps, before + 1);
});

test('many changes in a row make few generations', async t => {
  const harness = new Harness(t);
  await harness.settle();
  const before = harness.bumps;
  for (let change = 0; change < 10; change++) {
    harness.changeRules();
    await harness.clock.advance(5);
  }
  await harness.settle();
  assert.ok(harness.bumps - before >= 1 && harness.bumps - before <= 3, `${harness.bumps - before}`);
});

test('a rule that must see each packet takes the programs away, and its end brings them back', async t => {
  const harness = new Harness(t);
  await harness.settle();
  harness.rules.set([{ where: 'chain FORWARD', rule: 'limit a rate', look: 'iptables -S' }]);
  await harness.settle();
  assert.deepEqual(harness.links, []);
  assert.equal(harness.fastPath.networks[0]?.obstacle?.code, 'FIREWALL_RULE');
  harness.rules.set([]);
  await harness.settle();
  assert.deepEqual(harness.links, ['eth0', 'veth10']);
});

test('a queue that somebody gives a link takes its programs away', async t => {
  const harness = new Harness(t);
  await harness.settle();
  harness.queue = 'tbf';
  harness.events.push({ type: 'traffic', index: 10 });
  await harness.settle();
  assert.deepEqual(harness.links, []);
  assert.equal(harness.fastPath.networks[0]?.without[0]?.code, 'LINK_QUEUE');
});

test('a network whose tunnel the programs have no room for is left out', async t => {
  const harness = new Harness(t);
  harness.room = 0;
  await harness.settle();
  assert.deepEqual(harness.links, []);
  assert.equal(harness.fastPath.networks[0]?.obstacle?.code, 'TUNNELS');
});
