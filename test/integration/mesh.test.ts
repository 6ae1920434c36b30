/** Agents on hosts of real kernels ask each other whether they answer, and say where packets are lost. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { describe, test } from 'node:test';
import type { PeerHealth } from '../../src/api/peer-health.ts';
import type { Status } from '../../src/api/status.ts';
import { messageOf } from '../../src/base/errors.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Cluster } from '../support/cluster.ts';
import type { ClusterHost } from '../support/cluster-host.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
/** Milliseconds for anything to be noticed, on a machine with much else to do. */
const NOTICED = 90_000;

async function inHost(host: ClusterHost, program: string, ...words: string[]): Promise<void> {
  await run(program, words, {
    namespaces: { net: `/proc/${process.pid}/fd/${host.netns.fd}` },
  });
}

/** Rules of somebody else, until `mend`. */
async function plant(host: ClusterHost, ...rules: string[]): Promise<void> {
  const chains = ['input', 'output', 'forward'].map(
    hook => `add chain inet fault ${hook} { type filter hook ${hook} priority 0; }`,
  );
  await inHost(
    host,
    'nft',
    ['add table inet fault', ...chains, ...rules.map(rule => `add rule inet fault ${rule}`)].join('\n'),
  );
}

const mend = (host: ClusterHost) => inHost(host, 'nft', 'delete table inet fault');

const healthOf = (status: Status, key: string): PeerHealth | undefined =>
  status.peers.find(peer => peer.key === key)?.health?.ipv4;

const codes = ({ warnings }: Status) => warnings.map(({ code }) => code);

class Hosts {
  readonly cluster: Cluster;
  readonly keys: readonly string[];

  private constructor(cluster: Cluster, keys: readonly string[]) {
    this.cluster = cluster;
    this.keys = keys;
  }

  static async start(
    t: Parameters<typeof Cluster.start>[0],
    hosts: number,
    backend: { readonly Type: string },
  ): Promise<Hosts> {
    const cluster = await Cluster.start(t, { hosts, config: { Network: '10.77.0.0/16', Backend: backend } });
    await cluster.startAgents();
    const keys: string[] = [];
    for (const host of cluster.hosts) keys.push((await host.client.status()).lease?.key ?? assert.fail());
    const made = new Hosts(cluster, keys);
    await made.untilAllWell(backend.Type !== 'host-gw');
    return made;
  }

  host(number: number): ClusterHost {
    return this.cluster.host(number);
  }

  /** Until a host says of a peer what `test` wants. */
  async until(
    number: number,
    peer: number,
    what: string,
    test: (health: PeerHealth, status: Status) => boolean,
  ): Promise<Status> {
    let last: PeerHealth | undefined;
    const found = eventually(
      `host ${number} says of host ${peer}: ${what}`,
      async () => {
        const status = await this.host(number).client.status();
        last = healthOf(status, this.keys[peer - 1] ?? '');
        return last !== undefined && test(last, status) && status;
      },
      NOTICED,
    );
    return found.catch((error: unknown) => {
      throw new Error(`${messageOf(error)}; it says ${JSON.stringify(last)}`);
    });
  }

  async untilAllWell(hasTunnel = true): Promise<void> {
    await Promise.all(this.cluster.hosts.map((_, index) => this.#untilWell(index + 1, hasTunnel)));
  }

  async #untilWell(number: number, hasTunnel: boolean): Promise<void> {
    let last: unknown;
    const found = eventually(
      `all answer host ${number}`,
      async () => {
        const { peers } = await this.host(number).client.status();
        last = peers.map(({ ways, health }) => ({ ways, health }));
        // The underlay is asked as well, where it is another thing.
        return peers.every(
          ({ health }) =>
            health?.ipv4?.state === 'answers' && (!hasTunnel || health.ipv4.underlayAnswers === true),
        );
      },
      NOTICED,
    );
    await found.catch((error: unknown) => {
      throw new Error(`${messageOf(error)}; it says ${JSON.stringify(last)}`);
    });
  }
}

const VXLAN = { Type: 'vxlan', VNI: 88, Port: 4789 };
const isSilent = (reason: RegExp) => (health: PeerHealth) =>
  health.state === 'silent' && reason.test(health.reason ?? '');

// Nearly all of the time is waiting for probes that are lost: each test has hosts of its own.
describe('whether peers answer', { ...needs, concurrency: true }, () => {
  test('vxlan: is said of each, with the time it takes and the size that passes; the place of a fault', async t => {
    const hosts = await Hosts.start(t, 3, VXLAN);
    const status = await hosts.until(1, 2, 'well', ({ state }, { warnings }) => {
      return state === 'answers' && warnings.length === 0;
    });
    const well = healthOf(status, hosts.keys[1] ?? '');
    assert.equal(well?.pathMtu, 1450);
    assert.ok((well?.roundTripMs ?? 0) > 0);

    await t.test('only VXLAN is lost', async () => {
      await plant(hosts.host(3), 'input udp dport 4789 drop', 'output udp dport 4789 drop');
      const found = await hosts.until(
        1,
        3,
        'only VXLAN',
        isSilent(/^only VXLAN is lost: the underlay answers/),
      );
      assert.equal(healthOf(found, hosts.keys[1] ?? '')?.state, 'answers');
      const warned = await hosts.until(1, 3, 'a warning', (_, { warnings }) =>
        warnings.some(
          ({ code, text }) => code === 'PEER_SILENT' && /alone does not answer: only VXLAN/.test(text),
        ),
      );
      assert.ok(!codes(warned).includes('NO_PEER_ANSWERS'));
      await mend(hosts.host(3));
      await hosts.untilAllWell();
    });

    await t.test('one way', async () => {
      await plant(hosts.host(3), 'input udp dport 4789 drop');
      await hosts.until(
        1,
        3,
        'VXLAN one way',
        isSilent(/^only VXLAN is lost, one way: its packets arrive here/),
      );
      await mend(hosts.host(3));
      await hosts.untilAllWell();
      // What host 1 sends does not get there; what host 3 sends does, and is answered in vain.
      await plant(hosts.host(3), 'input ip saddr 192.168.65.3 drop');
      await hosts.until(
        1,
        3,
        'one way',
        isSilent(/^one way: its packets arrive here, ours are not answered/),
      );
      await mend(hosts.host(3));
      await hosts.untilAllWell();
    });

    await t.test('only large packets', async () => {
      await plant(hosts.host(3), 'input ip saddr 192.168.65.3 ip length > 1400 drop');
      await hosts.until(1, 3, 'only large', ({ state, reason }) => {
        return state === 'size' && reason?.startsWith('only large packets are lost: ') === true;
      });
      await hosts.until(1, 3, 'which size passes', ({ pathMtu }) => pathMtu !== undefined && pathMtu <= 1350);
      await mend(hosts.host(3));
      await hosts.untilAllWell();
    });
  });

  test('vxlan: loss, a host that is gone, and one that only drops echoes', async t => {
    const hosts = await Hosts.start(t, 3, VXLAN);
    await t.test('a part is lost', async () => {
      await plant(
        hosts.host(3),
        'input ip saddr 192.168.65.3 udp dport 4789 numgen random mod 100 < 30 drop',
      );
      await hosts.until(1, 3, 'loss', ({ state, lossPercent = 0 }) => state === 'loss' && lossPercent > 0);
      // Whatever is lost by chance: of the other peer and of the whole host nothing is said.
      const warned = await hosts.until(1, 3, 'a warning', (_, now) => codes(now).includes('PEER_LOSS'));
      assert.equal(healthOf(warned, hosts.keys[1] ?? '')?.state, 'answers');
      assert.ok(!codes(warned).includes('NO_PEER_ANSWERS'), codes(warned).join());
      await mend(hosts.host(3));
      await hosts.untilAllWell();
    });

    await t.test('a host that is gone, and this host alone', async () => {
      await hosts.cluster.fabric.links.change('h3', { up: false });
      // Events and warnings are told together, a moment after the state.
      const isGone = isSilent(/^its host does not answer, over the underlay neither/);
      await hosts.until(1, 3, 'gone', (health, now) => isGone(health) && codes(now).includes('PEER_SILENT'));
      const isCut = isSilent(/^no peer answers/);
      const cut = await hosts.until(
        3,
        1,
        'nobody answers',
        (health, now) => isCut(health) && codes(now).includes('NO_PEER_ANSWERS'),
      );
      assert.ok(!codes(cut).includes('PEER_SILENT'), codes(cut).join());
      await hosts.cluster.fabric.links.change('h3', { up: true });
      await hosts.untilAllWell();
      await hosts.until(1, 3, 'no warning', (_, now) => !codes(now).some(code => code.startsWith('PEER_')));
      const events: string[] = [];
      for await (const { type } of hosts.host(1).client.events()) events.push(type);
      for (const type of ['peer-silent', 'peer-loss', 'peer-answers']) assert.ok(events.includes(type), type);
    });

    await t.test('a host that drops echoes is not called dead where its own arrive', async () => {
      await plant(hosts.host(3), 'input icmp type echo-request drop');
      await hosts.until(1, 3, 'it drops ICMP', isSilent(/or its host drops ICMP echo/));
      await hosts.host(1).stopAgent();
      await hosts.host(1).startAgent();
      await hosts.until(1, 3, 'it never answered', ({ state, reason = '' }) => {
        return state === 'unanswered' && /drops ICMP echo/.test(reason);
      });
      const status = await hosts.until(1, 3, 'the agent is ready', (_, { agent }) => agent.state === 'ready');
      assert.deepEqual(
        codes(status).filter(code => /PEER/.test(code)),
        [],
      );
      await hosts.until(1, 3, 'no warning', (_, { warnings }) => warnings.length === 0);
      await mend(hosts.host(3));
      await hosts.untilAllWell();
    });
  });

  for (const type of ['host-gw', 'udp', 'auto']) {
    test(`${type}: a host that is gone is named, and answers again`, async t => {
      const hosts = await Hosts.start(t, 3, { ...VXLAN, Type: type });
      await hosts.cluster.fabric.links.change('h3', { up: false });
      const found = await hosts.until(1, 3, 'gone', isSilent(/^its host does not answer/));
      assert.equal(healthOf(found, hosts.keys[1] ?? '')?.state, 'answers');
      await hosts.cluster.fabric.links.change('h3', { up: true });
      await hosts.untilAllWell(type !== 'host-gw');
    });
  }

  test('is not asked with --health-mesh=false', async t => {
    const cluster = await Cluster.start(t, { config: { Network: '10.77.0.0/16', Backend: VXLAN } });
    await cluster.startAgents('--health-mesh=false');
    const { peers } = await cluster.host(1).client.status();
    assert.equal(peers[0]?.state, 'ok');
    assert.equal(peers[0]?.health, undefined);
  });
});
