/** The set of tunnels against a kernel in memory: whatever happens, what is kept and what the kernel has are the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TunnelRequest } from '../../api/tunnels.ts';
import { Ip } from '../../base/ip.ts';
import { silentLogger } from '../../base/log.ts';
import { Prefix } from '../../base/prefix.ts';
import { openDataPlane } from '../../dataplane/open-data-plane.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { FakeKernel } from '../../testing/netlink/fake-kernel.ts';
import { fc } from '../../testing/properties.ts';
import { BridgeFinder } from './attachment.ts';
import type { KeptTunnels } from './kept.ts';
import { Tunnels } from './tunnels.ts';

const request = (name: string, change: Partial<TunnelRequest> = {}): TunnelRequest => ({
  name,
  vni: 1,
  remote: '172.31.0.107',
  port: 4789,
  addresses: [],
  learning: true,
  ...change,
});

/** A host with eth0 in 172.31.0.0/24, whose agent may end and start again. */
class Host implements AsyncDisposable {
  readonly kernel = new FakeKernel();
  readonly others = this.kernel.connect();
  readonly eth0: number;
  /** What is on the disk. */
  kept: KeptTunnels = { tunnels: [], fitted: [] };
  isDiskFull = false;
  #run: { readonly tunnels: Tunnels; end(): Promise<void> };
  #seed = 0;

  constructor() {
    this.eth0 = this.kernel.plugIn({ name: 'eth0', up: true, running: true, mtu: 1500 }).index;
    this.#run = this.#start();
  }

  async prepare(): Promise<this> {
    await this.others.addresses.replace({ index: this.eth0, ip: Ip.parse('172.31.0.106'), length: 24 });
    await this.others.routes.replace({
      destination: Prefix.parse('172.31.0.0/24'),
      oif: this.eth0,
      protocol: 2,
    });
    return this;
  }

  get tunnels(): Tunnels {
    return this.#run.tunnels;
  }

  /** The agent is killed and started. */
  async restart(): Promise<void> {
    await this.#run.end();
    this.#run = this.#start();
    await this.tunnels.refresh();
  }

  async links(): Promise<string[]> {
    const links = await this.others.links.list();
    return links
      .filter(({ info }) => info?.kind === 'vxlan')
      .map(({ name }) => name)
      .sort();
  }

  get keptNames(): string[] {
    return this.kept.tunnels.map(({ request: { name } }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run.end();
    await this.others[Symbol.asyncDispose]();
  }

  #start() {
    const rtnetlink = this.kernel.connect();
    const sysctls = { read: () => undefined, write: () => undefined, watch: () => undefined };
    const dataPlane = openDataPlane({ rtnetlink, sysctls, logger: silentLogger, clock: new ManualClock() });
    const save = async (kept: KeptTunnels) => {
      if (this.isDiskFull) throw new Error('no space left on device');
      this.kept = structuredCloneOf(kept);
    };
    const tunnels = new Tunnels(
      {
        rtnetlink,
        dataPlane,
        storage: { save },
        bridges: new BridgeFinder({ network: () => assert.fail('Docker is not asked') }),
        boundPorts: () => [],
        kept: 'agent',
        reserved: () => [],
        randomBytes: count => new Uint8Array(count).fill(++this.#seed),
      },
      this.kept,
    );
    return {
      tunnels,
      end: async () => {
        await dataPlane[Symbol.asyncDispose]();
        await rtnetlink[Symbol.asyncDispose]();
      },
    };
  }
}

/** As the disk has it: a later change of the objects does not reach it. */
const structuredCloneOf = ({ tunnels, fitted }: KeptTunnels): KeptTunnels => ({
  tunnels: tunnels.map(tunnel => ({ ...tunnel })),
  fitted: [...fitted],
});

describe('a tunnel', () => {
  test('is written down before it is made, and is not made when that fails', async () => {
    await using host = await new Host().prepare();
    host.isDiskFull = true;
    await assert.rejects(host.tunnels.add(request('t1')), { code: 'NOT_KEPT', message: /no space left/ });
    assert.deepEqual([await host.links(), host.tunnels.size], [[], 0]);
    host.isDiskFull = false;
    await host.tunnels.add(request('t1'));
    assert.deepEqual([await host.links(), host.keptNames], [['t1'], ['t1']]);
  });

  test('that the kernel refuses is neither kept nor half made', async () => {
    await using host = await new Host().prepare();
    host.kernel.refuse('ENOSPC', event => event.type === 'address');
    const wanted = request('t1', { addresses: ['10.0.0.1/24'] });
    await assert.rejects(host.tunnels.add(wanted), {
      code: 'NOT_APPLIED',
      message: /tunnel t1: .*10\.0\.0\.1/,
    });
    assert.deepEqual([await host.links(), host.keptNames], [[], []]);
    assert.equal((await host.tunnels.add(wanted)).state, 'up');
  });

  test('whose deletion could not be written down says so, and is deleted all the same', async () => {
    await using host = await new Host().prepare();
    await host.tunnels.add(request('t1'));
    host.isDiskFull = true;
    await assert.rejects(host.tunnels.delete('t1'), { code: 'NOT_KEPT' });
    assert.deepEqual([await host.links(), host.keptNames], [[], ['t1']]);
    host.isDiskFull = false;
    await host.tunnels.refresh();
    assert.deepEqual(host.keptNames, []);
  });

  test('waits while there is no way to the other host, stays as it was, and goes on', async () => {
    await using host = await new Host().prepare();
    await host.tunnels.add(request('t1'));
    const way = { destination: Prefix.parse('172.31.0.0/24'), oif: host.eth0 };
    await host.others.routes.delete(way);
    await host.tunnels.refresh();
    const [waiting] = await host.tunnels.list();
    assert.deepEqual(
      [waiting?.state, waiting?.reason],
      ['waiting', 'remote = "172.31.0.107": this host has no route to it'],
    );
    assert.deepEqual(await host.links(), ['t1']);
    await host.restart();
    assert.equal(host.tunnels.isWaiting, true);
    await host.others.routes.replace({ ...way, protocol: 2 });
    await host.tunnels.refresh();
    assert.equal((await host.tunnels.list())[0]?.state, 'up');
  });

  test('is known by its MAC address: a link of another that has its name is not deleted with it', async () => {
    await using host = await new Host().prepare();
    await host.tunnels.add(request('t1'));
    await host.others.links.delete('t1');
    await host.others.links.add({ name: 't1', info: { kind: 'veth', peer: { name: 'x' } } });
    await host.restart();
    const [report] = await host.tunnels.list();
    assert.deepEqual([report?.state, report?.device], ['failed', undefined]);
    await host.tunnels.delete('t1');
    assert.equal((await host.others.links.get('t1'))?.info?.kind, 'veth');
  });

  test('of two requests at once for one VNI one is made', async () => {
    await using host = await new Host().prepare();
    const results = await Promise.allSettled(['t1', 't2'].map(name => host.tunnels.add(request(name))));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual([await host.links(), host.keptNames], [['t1'], ['t1']]);
  });
});

test('whatever is added, deleted, damaged and restarted, the kernel has what is kept', async () => {
  const name = fc.constantFrom('t1', 't2', 't3');
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('add' as const),
        name,
        vni: fc.integer({ min: 1, max: 3 }),
        block: fc.integer({ min: 1, max: 3 }),
        remote: fc.constantFrom('172.31.0.107', '172.31.0.108', '198.51.100.1', '172.31.0.106'),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), name }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('damage' as const), name }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('full' as const), isFull: fc.boolean() }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async steps => {
      await using host = await new Host().prepare();
      for (const one of steps) {
        const refused = (error: unknown) =>
          assert.match(String((error as { code?: string }).code), /^(INVALID_CONFIG|NOT_FOUND|NOT_KEPT)$/);
        if (one.do === 'add') {
          const { vni, block, remote } = one;
          await host.tunnels
            .add(request(one.name, { vni, remote, addresses: [`10.0.${block}.1/24`] }))
            .catch(refused);
        } else if (one.do === 'delete') await host.tunnels.delete(one.name).catch(refused);
        else if (one.do === 'damage') await host.others.links.delete(one.name).catch(() => undefined);
        else if (one.do === 'restart') await host.restart();
        else host.isDiskFull = one.isFull;
      }
      host.isDiskFull = false;
      await host.tunnels.refresh();
      await host.restart();
      const reports = await host.tunnels.list();
      assert.deepEqual(reports.map(report => report.name).sort(), host.keptNames);
      assert.deepEqual(await host.links(), host.keptNames);
      for (const report of reports) {
        assert.deepEqual([report.state, report.device?.addresses], ['up', report.addresses]);
      }
    }),
    { numRuns: 60 },
  );
});
