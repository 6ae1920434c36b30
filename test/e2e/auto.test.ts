/** The backend auto on real hosts: what a firewall drops is left within seconds, and taken again when it passes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { findRecord } from '../../src/lab/record/record.ts';
import type { PingReport } from '../../src/lab/traffic/ping.ts';
import { needsRoot } from '../support/capabilities.ts';
import { eventually } from '../support/eventually.ts';
import { dumpHost, lab, labName } from '../support/lab.ts';

/** Milliseconds: three lost echoes and a try; where that gets too few answers in its seconds, a better way is tried 36 s later. */
const FALL_BACK = 150_000;
/** Better ways are tried after 36 s, after 72 s when that failed, and after 144 s more. */
const RETURN = 300_000;
/** For one test, which waits for several ways. */
const OPTIONS = { timeout: 600_000 } as const;

const FILTER =
  'add table inet block; add chain inet block in { type filter hook prerouting priority -400; }; ' +
  'add rule inet block in iifname eth0 ip saddr 188.172.0.0/16 drop';

describe('auto', needsRoot, () => {
  const labs = labName();
  let hosts: readonly LabHost[] = [];

  before(async () => {
    const backend = JSON.stringify({ Type: 'auto', VNI: 88, Port: 4789 });
    const args = ['up', '--name', labs, '--hosts', '3', '--containers', '1', '--json'];
    const up = await lab([...args, '--backend-config', backend]);
    assert.equal(up.status, 0, up.stderr);
    hosts = (findRecord(labs)?.hosts ?? []).map(({ name, anchor }) => new LabHost(name, anchor));
  });
  after(() => lab(['down', '--name', labs]));

  const host = (index: number) => hosts[index] ?? assert.fail(`no host ${index}`);

  /** The way from one host to another. */
  async function wayFrom(from: number, to: number) {
    const { peers } = await new AgentClient({ socketPath: host(from).path(DEFAULT_SOCKET) }).status();
    return peers.find(({ hostName }) => hostName === host(to).name)?.ways?.ipv4;
  }

  async function awaitWay(from: number, to: number, wanted: string, timeout: number): Promise<void> {
    try {
      await eventually(
        `${host(from).name} reaches ${host(to).name} over ${wanted}`,
        async () => {
          const way = await wayFrom(from, to);
          return way?.inUse === wanted && way.answers === true;
        },
        timeout,
      );
    } catch (error) {
      throw new Error(await dumpHost(host(from)), { cause: error });
    }
  }

  async function assertConnected(): Promise<void> {
    const ping = await lab(['ping', '--name', labs, '--json']);
    const { sent, results } = JSON.parse(ping.stdout) as PingReport;
    assert.ok(sent > 0, ping.stdout);
    // From hosts, too.
    assert.deepEqual(
      results.filter(({ lost }) => lost > 0),
      [],
    );
  }

  test('hosts on one link reach each other directly', OPTIONS, async () => {
    for (const [from, to] of [
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 2],
      [2, 0],
      [2, 1],
    ] as const) {
      await awaitWay(from, to, 'direct', RETURN);
    }
    await assertConnected();
    const { stdout } = await host(0).run('ip', ['route', 'show', 'proto', '77']);
    assert.equal(stdout.match(/dev eth0/g)?.length, 2, stdout);
  });

  test('what drops packets of containers on the way is passed by in a tunnel', OPTIONS, async () => {
    await host(1).run('nft', [FILTER]);
    await awaitWay(0, 1, 'vxlan', FALL_BACK);
    await awaitWay(2, 1, 'vxlan', FALL_BACK);
    await assertConnected();
    // While the echoes of the mesh still miss their answers, the status says what they say.
    await eventually('the status says why it is another way', async () => {
      const { stdout } = await host(0).run(TULLE, ['status'], { anyStatus: true });
      return /flannel\.88 +ok .*no answer over the direct route for /.test(stdout);
    });
    const { stdout: events } = await host(0).run(TULLE, ['events']);
    assert.match(
      events,
      /peer-way +the peer \S+ is reached over VXLAN \(UDP 4789\): it does not answer over/,
    );
  });

  test('where VXLAN is dropped as well, UDP passes', OPTIONS, async () => {
    await host(1).run('nft', ['add rule inet block in iifname eth0 udp dport 4789 drop']);
    await awaitWay(0, 1, 'udp', FALL_BACK);
    await awaitWay(2, 1, 'udp', FALL_BACK);
    await assertConnected();
  });

  test('when nothing is dropped any more all return to the direct route', OPTIONS, async () => {
    await host(1).run('nft', ['delete table inet block']);
    await awaitWay(0, 1, 'direct', RETURN);
    await awaitWay(2, 1, 'direct', RETURN);
    await assertConnected();
  });

  test(
    'a host behind a router is reached through a tunnel, and status names the router',
    OPTIONS,
    async () => {
      const route = (from: number, to: string) =>
        host(from).run('ip', ['route', 'add', `${to}/32`, 'via', '192.168.65.4']);
      await route(0, '192.168.65.5');
      await route(2, '192.168.65.3');
      await awaitWay(0, 2, 'vxlan', FALL_BACK);
      await awaitWay(2, 0, 'vxlan', FALL_BACK);
      await assertConnected();
      const { stdout } = await host(0).run(TULLE, ['status'], { anyStatus: true });
      assert.match(
        stdout.replaceAll(/\s+/g, ' '),
        /the direct route is not possible: it is behind the router 192\.168\.65\.4/,
      );
    },
  );
});
