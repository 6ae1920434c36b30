/**
 * The main job, on real input (scenario S7): etcd, leases, VXLAN, Docker.
 *
 *     docker1 192.168.65.3                    docker2 192.168.65.4
 *     etcd, agent, dockerd                    agent, dockerd
 *     c1 --- docker0 --- flannel.88 ==VNI 88, UDP 4789== flannel.88 --- docker0 --- c1
 *
 * Once with etcd, once with Tulle's own store in its place.
 *
 * Everything is asserted from the kernel, from etcd and from the wire, never from what Tulle says, except for the
 * number of its own netlink writes.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import { NETWORK_PREFIX, SUBNET_FILE } from '../../src/console/defaults.ts';
import { decodeFrame } from '../../src/inspect/decode/decode-frame.ts';
import type { Layer } from '../../src/inspect/decode/layers.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { type HostRecord, type LabRecord, requireRecord } from '../../src/lab/record/record.ts';
import { requireCapabilities } from '../../src/lab/requirements.ts';
import { agentArguments } from '../../src/lab/service/agent.ts';
import { parseHostSubnet } from '../../src/lab/service/subnet-env.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { start } from '../../src/sys/process.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { requires } from '../support/capabilities.ts';
import { deadline, within } from '../support/eventually.ts';
import { dumpHost, lab, labName, programsOf } from '../support/lab.ts';
import { decodePcap } from '../support/pcap.ts';

const VNI = 88;
const PORT = 4789;

interface Side {
  readonly record: HostRecord;
  readonly host: LabHost;
  /** On the underlay. */
  readonly address: string;
  /** The first address of the leased block, and the block. */
  readonly gateway: string;
  readonly base: string;
  readonly container: { readonly name: string; readonly ip: string; readonly netns: string };
}

for (const store of ['etcd', 'tulle'] as const) {
  describe(`S7: containers of two dockerds reach each other, with ${store}`, requires(...canRun()), () => {
    const name = labName();
    let record: LabRecord;
    let one: Side;
    let two: Side;
    const sides = () => [one, two];

    after(async () => {
      const { status, stderr } = await lab(['down', '--name', name]);
      assert.equal(status, 0, stderr);
    });

    before(async () => {
      const { status, stderr } = await lab([
        'up',
        '--hosts',
        '2',
        '--docker',
        '--store',
        store,
        '--name',
        name,
        '--json',
      ]);
      assert.equal(status, 0, stderr);
      record = requireRecord(name);
      one = await sideOf(record.hosts[0]);
      two = await sideOf(record.hosts[1]);
    });

    /** A test that shows both hosts when it fails. */
    const check = (what: string, body: () => Promise<void>): void =>
      void test(what, async () => {
        try {
          await body();
        } catch (error) {
          for (const { host } of sides()) process.stderr.write(`${await dumpHost(host)}\n`);
          throw error;
        }
      });

    check('subnet.env says what was leased', async () => {
      for (const { host, gateway } of sides()) {
        assert.deepEqual(readFileSync(host.path(SUBNET_FILE), 'utf8').trim().split('\n'), [
          'FLANNEL_NETWORK=188.172.0.0/16',
          `FLANNEL_SUBNET=${gateway}/24`,
          'FLANNEL_MTU=1450',
          'FLANNEL_IPMASQ=true',
        ]);
      }
      assert.notEqual(one.base, two.base);
    });

    check('device flannel.88 has the base address, MTU 1450 and an open port', async () => {
      for (const { host, base, address } of sides()) {
        const [link] = await json<Device>(host, [
          'ip',
          '-json',
          '-details',
          'address',
          'show',
          'dev',
          'flannel.88',
        ]);
        assert.ok(link);
        assert.equal(link.mtu, 1450);
        assert.ok(link.flags.includes('UP'));
        const { info_kind: kind, info_data: data } = link.linkinfo;
        assert.deepEqual(
          [kind, data.id, data.port, data.local, data.learning],
          ['vxlan', VNI, PORT, address, false],
        );
        assert.deepEqual(
          link.addr_info
            .filter(({ family }) => family === 'inet')
            .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
          [`${base}/32`],
        );
        const sockets = readFileSync(host.path('/proc/1/net/udp'), 'utf8');
        assert.match(
          sockets,
          new RegExp(`:${PORT.toString(16).toUpperCase()} `),
          'a UDP socket on the VXLAN port',
        );
      }
    });

    check('each peer is a route, a neighbor and an FDB entry', async () => {
      for (const [near, far] of [
        [one, two],
        [two, one],
      ] as const) {
        const mac = await vtepMac(far.host);
        const routes = await json<RouteEntry>(near.host, ['ip', '-json', 'route', 'show', `${far.base}/24`]);
        assert.equal(routes.length, 1);
        assert.deepEqual(
          [routes[0]?.gateway, routes[0]?.dev, routes[0]?.flags],
          [far.base, 'flannel.88', ['onlink']],
        );
        const neighbors = await json<NeighborEntry>(near.host, [
          'ip',
          '-json',
          'neigh',
          'show',
          'dev',
          'flannel.88',
        ]);
        assert.deepEqual(
          neighbors.map(({ dst, lladdr, state }) => ({ dst, lladdr, state })),
          [{ dst: far.base, lladdr: mac, state: ['PERMANENT'] }],
        );
        const entries = await json<Fdb>(near.host, ['bridge', '-json', 'fdb', 'show', 'dev', 'flannel.88']);
        assert.deepEqual(
          entries.map(({ mac: inner, dst, state, flags }) => ({ inner, dst, state, flags })),
          [{ inner: mac, dst: far.address, state: 'permanent', flags: ['self'] }],
        );
      }
    });

    check('etcd holds both leases in the shape that flannel writes', async () => {
      const kvs = await etcd(one.host, ['get', '--prefix', `${NETWORK_PREFIX}/subnets/`]);
      const expected = new Map(sides().map(side => [`${NETWORK_PREFIX}/subnets/${side.base}-24`, side]));
      assert.deepEqual(kvs.map(({ key }) => key).sort(), [...expected.keys()].sort());
      for (const { key, value, lease } of kvs) {
        const side = expected.get(key);
        assert.ok(side);
        const members = Object.entries(JSON.parse(value) as Record<string, unknown>);
        const shared = members.filter(([name]) => !name.startsWith('Tulle'));
        assert.ok(shared.length < members.length);
        assert.deepEqual(Object.fromEntries(shared), {
          PublicIP: side.address,
          PublicIPv6: null,
          BackendType: 'vxlan',
          BackendData: { VNI, VtepMAC: await vtepMac(side.host) },
        });
        assert.ok(lease, 'the key hangs on a lease and expires');
      }
    });

    check('Docker has taken the subnet, and its containers reach each other with TTL 62', async () => {
      for (const { host, gateway } of sides()) {
        const [bridge] = await json<Device>(host, ['ip', '-json', 'address', 'show', 'dev', 'docker0']);
        assert.deepEqual(
          bridge?.addr_info
            .filter(({ family }) => family === 'inet')
            .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
          [`${gateway}/24`],
        );
      }
      for (const [near, far] of [
        [one, two],
        [two, one],
      ] as const) {
        const { stdout } = await near.host.run('docker', [
          'exec',
          near.container.name,
          'ping',
          '-c',
          '3',
          far.container.ip,
        ]);
        assert.match(stdout, /3 packets received, 0% packet loss/);
        assert.deepEqual(
          new Set(Array.from(stdout.matchAll(/ttl=(\d+)/g), ([, ttl]) => ttl)),
          new Set(['62']),
        );
        const mtu = await near.host.run('docker', [
          'exec',
          near.container.name,
          'cat',
          '/sys/class/net/eth0/mtu',
        ]);
        assert.equal(mtu.stdout.trim(), '1450');
      }
    });

    check('`tulle lab ping` finds every pair reachable', async () => {
      const { status, stdout } = await lab(['ping', '--name', name, '--json']);
      const { pairs, sent, lost } = JSON.parse(stdout) as Record<string, number>;
      // From two containers and their host to two containers, both ways.
      assert.deepEqual({ status, pairs, sent, lost }, { status: 0, pairs: 12, sent: 36, lost: 0 });
    });

    check("a capture on docker2's uplink decodes to both layers with VNI 88", async () => {
      const pings = await capture(two.host, 4, async () => {
        await one.host.run('docker', ['exec', one.container.name, 'ping', '-c', '2', two.container.ip]);
      });
      const requests = pings.filter(layers => layers.some(item => item.layer === 'icmp' && item.type === 8));
      const replies = pings.filter(layers => layers.some(item => item.layer === 'icmp' && item.type === 0));
      assert.equal(requests.length, 2);
      assert.equal(replies.length, 2);
      for (const layers of requests) assertTunnelled(layers, one, two, await vtepMac(two.host));
      for (const layers of replies) assertTunnelled(layers, two, one, await vtepMac(one.host));
    });

    check('an agent killed under load loses no packet, and adopts everything when it is back', async () => {
      const before = await kernelState(one.host);
      const ping = await start('ping', ['-n', '-q', '-i', '0.01', two.container.ip], {
        pipeOutput: true,
        namespaces: { net: one.host.path(one.container.netns) },
      });
      try {
        const summary = textOf(ping.stdout);
        const agents = programsOf(one.host).filter(({ words }) => words.includes('agent'));
        assert.equal(agents.length, 1);
        for (const { id } of agents) await endProcess(id, 0);

        const log = 'agent-again';
        await one.host.start(TULLE, agentArguments(record), log);
        await waitForFile(one.host.logFile(log), deadline('the agent is ready', 30_000), text =>
          text.includes('the agent is ready'),
        );
        const client = new AgentClient({ socketPath: one.host.path('/run/tulle/agent.sock') });
        await client.resync();
        const { dataplane, lease } = await client.status();
        assert.equal(dataplane.inSync, true);
        assert.equal(dataplane.writes, 0, 'nothing differed, so nothing was written');
        assert.equal(lease?.subnet.ipv4, `${one.base}/24`);
        assert.deepEqual(await kernelState(one.host), before);

        ping.kill('SIGINT');
        const [, sent = '', received = ''] =
          /(\d+) packets transmitted, (\d+) received/.exec(await summary) ?? [];
        assert.equal(received, sent);
        assert.ok(Number(sent) > 0, 'the ping ran meanwhile');
      } finally {
        ping.kill('SIGKILL');
      }
    });
  });
}

function assertTunnelled(layers: readonly Layer[], from: Side, to: Side, vtep: string): void {
  const [outerFrame, outer, udp, vxlan, innerFrame, inner] = layers;
  assert.equal(outerFrame?.layer, 'ethernet');
  assert.ok(outer?.layer === 'ipv4' && udp?.layer === 'udp' && vxlan?.layer === 'vxlan');
  assert.ok(innerFrame?.layer === 'ethernet' && inner?.layer === 'ipv4');
  assert.deepEqual([String(outer.source), String(outer.destination)], [from.address, to.address]);
  assert.deepEqual([udp.destinationPort, vxlan.vni], [PORT, VNI]);
  assert.equal(String(innerFrame.destination), vtep);
  assert.deepEqual([String(inner.source), String(inner.destination)], [from.container.ip, to.container.ip]);
  assert.equal(inner.ttl, 63, 'forwarded once, by the sending host');
}

/** The VXLAN frames that a host's uplink sees until there are as many pings and answers as `body` makes. */
async function capture(host: LabHost, pings: number, body: () => Promise<void>): Promise<Layer[][]> {
  const path = '/run/capture.pcap';
  const patience = deadline(`tcpdump sees ${pings} echoes`, 20_000);
  const echoes = () =>
    decodePcap(readFileSync(host.path(path)))
      .map(({ bytes }) => decodeFrame(bytes))
      .filter(layers => layers.some(({ layer }) => layer === 'icmp'));
  const args = ['-i', 'eth0', '-U', '--immediate-mode', '-w', path, 'udp', 'port', `${PORT}`];
  const tcpdump = await host.start('tcpdump', args, 'tcpdump');
  try {
    await waitForFile(host.logFile('tcpdump'), patience, text => text.includes('listening on'));
    await body();
    await waitForFile(host.path(path), patience, () => echoes().length >= pings);
  } finally {
    await endProcess(tcpdump);
  }
  return echoes();
}

/** What packets depend on: a restart must not touch it. */
async function kernelState(host: LabHost): Promise<unknown> {
  return {
    link: await json(host, ['ip', '-json', '-details', 'link', 'show', 'dev', 'flannel.88']),
    routes: await json(host, ['ip', '-json', 'route']),
    nexthops: await json(host, ['ip', '-json', 'nexthop']),
    neighbors: await json(host, ['ip', '-json', 'neigh', 'show', 'dev', 'flannel.88']),
    fdb: await json(host, ['bridge', '-json', 'fdb', 'show', 'dev', 'flannel.88']),
  };
}

async function sideOf(record: HostRecord | undefined): Promise<Side> {
  assert.ok(record);
  const host = new LabHost(record.name, record.anchor);
  const { gateway, subnet } = parseHostSubnet(readFileSync(host.path(SUBNET_FILE), 'utf8'));
  const [container] = record.containers;
  assert.ok(container);
  return {
    record,
    host,
    gateway: `${gateway.ipv4?.ip}`,
    base: `${subnet.ipv4?.ip}`,
    address: record.address.ipv4 ?? '',
    container: { ...container, ip: container.ip.ipv4 ?? '' },
  };
}

async function vtepMac(host: LabHost): Promise<string> {
  const [link] = await json<{ address: string }>(host, ['ip', '-json', 'link', 'show', 'dev', 'flannel.88']);
  return link?.address ?? '';
}

interface Device {
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly linkinfo: {
    readonly info_kind: string;
    readonly info_data: {
      readonly id: number;
      readonly port: number;
      readonly local: string;
      readonly learning: boolean;
    };
  };
  readonly addr_info: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
  }[];
}

interface RouteEntry {
  readonly gateway: string;
  readonly dev: string;
  readonly flags: readonly string[];
}

interface NeighborEntry {
  readonly dst: string;
  readonly lladdr: string;
  readonly state: readonly string[];
}

interface Fdb {
  readonly mac: string;
  readonly dst: string;
  readonly state: string;
  readonly flags: readonly string[];
}

async function json<T>(host: LabHost, [program = '', ...args]: readonly string[]): Promise<T[]> {
  return JSON.parse((await host.run(program, args)).stdout || '[]') as T[];
}

/** Keys, values and whether each hangs on a lease, as etcdctl prints them. */
async function etcd(
  host: LabHost,
  args: readonly string[],
): Promise<{ readonly key: string; readonly value: string; readonly lease: boolean }[]> {
  const { stdout } = await host.run('etcdctl', ['--write-out=json', ...args], {
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  const { kvs = [] } = JSON.parse(stdout) as { kvs?: { key: string; value: string; lease?: number }[] };
  const text = (base64: string) => Buffer.from(base64, 'base64').toString('utf8');
  return kvs.map(({ key, value, lease }) => ({
    key: text(key),
    value: text(value),
    lease: (lease ?? 0) !== 0,
  }));
}

async function textOf(stream: NodeJS.ReadableStream | undefined): Promise<string> {
  assert.ok(stream);
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
  });
  await within('the stream ends', once(stream, 'end'), 60_000);
  return text;
}

function canRun(): [boolean, string] {
  try {
    requireCapabilities({ docker: true, etcd: true });
    return [true, ''];
  } catch (error) {
    return [false, (error as Error).message];
  }
}
