/**
 * `tulle tunnel` between two hosts with the walkthrough's own addresses, and no store anywhere: every test has real
 * commands, a real agent and the kernel's own words.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { decodeFrame } from '../../src/inspect/decode/decode-frame.ts';
import { layerOf } from '../../src/inspect/decode/layers.ts';
import { TULLE } from '../../src/lab/host/host.ts';
import { run } from '../../src/sys/process.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { readPcapng } from '../support/pcapng.ts';
import { needsTshark } from '../support/tshark.ts';
import { type TunnelHost, TunnelHosts } from '../support/tunnel-hosts.ts';

const ADD_ON_VM1 = 'add vxlan1 --vni 1 --remote 172.31.0.107 --dev eth0 --address 10.0.0.106/24';
const ADD_ON_VM2 = 'add vxlan1 --vni 1 --remote 172.31.0.106 --dev eth0 --address 10.0.0.107/24';

/** What the walkthrough looks at: link, address, route. */
async function assertInPlace(host: TunnelHost, own: string, remote: string): Promise<void> {
  const link = await host.run('ip -d link show vxlan1');
  assert.match(link, /<[^>]*\bUP\b[^>]*> mtu 1450 /);
  assert.match(link, new RegExp(`vxlan id 1 remote ${remote} dev eth0 .*dstport 4789`));
  assert.match(await host.run('ip -4 -o address show vxlan1'), new RegExp(`inet ${own}/24 `));
  const route = new RegExp(`^10\\.0\\.0\\.0/24 dev vxlan1 .*scope link src ${own}`, 'm');
  assert.match(await host.run('ip route'), route);
}

const untilInPlace = (host: TunnelHost, why: string) =>
  eventually(
    `the tunnel is there again: ${why}`,
    async () => {
      await assertInPlace(host, '10.0.0.106', '172.31.0.107');
      return true;
    },
    30_000,
  );

describe('two hosts, one tunnel', needsRoot, () => {
  test('is made, carries packets, outlives what happens to it, and is deleted without trace', async t => {
    await using hosts = await TunnelHosts.create();
    const [vm1, vm2] = [hosts.host('vm1'), hosts.host('vm2')];
    const [before1, before2] = [await vm1.state(), await vm2.state()];
    await vm1.startAgent();

    await vm1.tunnel(ADD_ON_VM1);
    await vm2.tunnel(`${ADD_ON_VM2} --once`);
    await assertInPlace(vm1, '10.0.0.106', '172.31.0.107');
    await assertInPlace(vm2, '10.0.0.107', '172.31.0.106');
    assert.ok(await vm1.carries(1450, '10.0.0.107'), 'a packet of the MTU arrives');
    assert.ok(!(await vm1.carries(1451, '10.0.0.107')), 'a larger one is refused');

    await t.test('is listed as the kernel has it', async () => {
      const [tunnel] = JSON.parse(await vm1.tunnel('list --json'));
      const { name, state, kept, device, counters, fdb } = tunnel;
      assert.deepEqual([name, state, kept, device.mtu], ['vxlan1', 'up', 'agent', 1450]);
      assert.deepEqual(fdb.learned, [{ mac: await macOf(vm2), host: '172.31.0.107' }]);
      const [{ stats64 }] = JSON.parse(await vm1.run('ip -j -s link show vxlan1'));
      assert.ok(counters.sentBytes > 1450 && counters.sentBytes <= stats64.tx.bytes);
      assert.equal(counters.sendErrors, stats64.tx.errors);
      const [once] = JSON.parse(await vm2.tunnel('list --json'));
      assert.deepEqual([once.state, once.kept], ['up', 'once']);
    });

    await t.test('is there again after it was deleted by hand, as it was', async () => {
      const mac = await macOf(vm1);
      await vm1.run('ip link delete vxlan1');
      await untilInPlace(vm1, 'it was deleted');
      assert.equal(await macOf(vm1), mac, 'the other host keeps what it has learned');
      assert.ok(await vm1.carries(1450, '10.0.0.107'));
    });

    await t.test('is there again when the agent was killed, and the link deleted meanwhile', async () => {
      const mac = await macOf(vm1);
      await vm1.killAgent();
      assert.ok(await vm1.carries(1450, '10.0.0.107'), 'packets need no agent');
      await vm1.run('ip link delete vxlan1');
      await vm1.startAgent();
      await untilInPlace(vm1, 'the agent was started');
      assert.equal(await macOf(vm1), mac);
      assert.ok(await vm1.carries(1450, '10.0.0.107'));
    });

    await t.test('follows the underlay', async () => {
      await vm1.run('ip link set eth0 mtu 1400');
      await eventually('the MTU has followed', async () =>
        (await vm1.run('ip link show vxlan1')).includes('mtu 1350'),
      );
      await vm1.run('ip link set eth0 mtu 1500');
      await untilInPlace(vm1, 'the underlay has its MTU back');
    });

    await vm1.tunnel('delete vxlan1');
    await vm2.tunnel('delete vxlan1');
    assert.equal(await vm1.state(), before1);
    assert.equal(await vm2.state(), before2);
    assert.ok(!vm1.has('/var/lib/tulle/tunnels.json') && !vm2.has('/run/tulle/tunnels.json'));
    assert.match(await vm1.refusal('delete vxlan1'), /there is no tunnel vxlan1/);
    const refusal = await vm1.refusal('add vxlan1 --vni 1 --remote 198.51.100.1 --dev eth0 --attach br9');
    assert.match(refusal, /tunnel vxlan1: 2 problems\n {2}remote = .*\n {2}attach = /);
    await vm1.killAgent();
  });

  test('a capture shows both layers, to our decoder and to tshark', needsTshark, async () => {
    await using hosts = await TunnelHosts.create();
    const [vm1, vm2] = [hosts.host('vm1'), hosts.host('vm2')];
    await vm1.tunnel(`${ADD_ON_VM1} --once`);
    await vm2.tunnel(`${ADD_ON_VM2} --once`);
    const file = '/run/ping.pcapng';
    const filter = 'vni 1 and inner ipv4 and inner icmp';
    await vm1.lab.start(
      TULLE,
      ['capture', 'eth0', '--to', file, '--count', '2', '--filter', filter],
      'capture',
    );
    const log = vm1.lab.logFile('capture');
    await waitForFile(log, deadline('the capture begins'), text => text.includes('Ctrl-C'));
    await vm1.run('ping -c 1 -W 5 10.0.0.107');
    const { packets } = await eventually('both frames are in the file', async () => {
      const capture = readPcapng(readFileSync(vm1.lab.path(file)));
      return capture.packets.length === 2 ? capture : undefined;
    });

    const [request] = packets.map(({ bytes }) => decodeFrame(bytes));
    assert.ok(request !== undefined);
    assert.deepEqual(
      request.map(({ layer }) => layer).filter(layer => layer !== 'payload'),
      ['ethernet', 'ipv4', 'udp', 'vxlan', 'ethernet', 'ipv4', 'icmp'],
    );
    const addresses = request.flatMap(item =>
      item.layer === 'ipv4' ? [`${item.source} > ${item.destination}`] : [],
    );
    assert.deepEqual(addresses, ['172.31.0.106 > 172.31.0.107', '10.0.0.106 > 10.0.0.107']);
    assert.equal(layerOf(request, 'udp')?.destinationPort, 4789);
    assert.equal(layerOf(request, 'vxlan')?.vni, 1);

    const fields = ['ip.src', 'ip.dst', 'udp.dstport', 'vxlan.vni', 'icmp.type'];
    const options = fields.flatMap(name => ['-e', name]);
    const { stdout } = await run('tshark', ['-r', vm1.lab.path(file), '-n', '-T', 'fields', ...options]);
    assert.deepEqual(stdout.trim().split('\n'), [
      '172.31.0.106,10.0.0.106\t172.31.0.107,10.0.0.107\t4789\t1\t8',
      '172.31.0.107,10.0.0.107\t172.31.0.106,10.0.0.106\t4789\t1\t0',
    ]);
  });
});

test('cleanup takes tunnels away, those of an agent that was stopped too', needsRoot, async () => {
  await using hosts = await TunnelHosts.create();
  const vm1 = hosts.host('vm1');
  const before = await vm1.state();
  await vm1.startAgent();
  await vm1.tunnel(ADD_ON_VM1);
  await vm1.tunnel('add other --vni 2 --remote 172.31.0.107 --once');
  await vm1.killAgent();
  const { stdout } = await vm1.tulle('cleanup');
  assert.match(stdout, /^tunnel vxlan1\ntunnel other\n/);
  assert.equal(await vm1.state(), before);
  assert.ok(!vm1.has('/var/lib/tulle/tunnels.json') && !vm1.has('/run/tulle/tunnels.json'));
});

test('other forms: IPv6 underlay, a group, without learning, several addresses', needsRoot, async t => {
  await using hosts = await TunnelHosts.create();
  const [vm1, vm2] = [hosts.host('vm1'), hosts.host('vm2')];
  const before = await vm1.state();
  const both = async (line: (own: number, other: number) => string) => {
    await vm1.tunnel(`${line(106, 107)} --once`);
    await vm2.tunnel(`${line(107, 106)} --once`);
  };

  await t.test('over IPv6 20 bytes less fit', async () => {
    await both(
      (own, other) =>
        `add six --vni 6 --remote fd31::${other} --address 10.6.0.${own}/24 --address fd06::${own}/64`,
    );
    assert.match(await vm1.run('ip link show six'), /mtu 1430 /);
    assert.ok(await vm1.carries(1430, '10.6.0.107'));
    assert.match(await vm1.run('ping -c 1 -W 5 fd06::107'), /1 received/);
  });

  await t.test('all hosts of a group hear each other, and learn who is where', async () => {
    await both(own => `add mc --vni 16777215 --group 239.1.1.1 --dev eth0 --address 10.7.0.${own}/24`);
    assert.match(await vm1.run('ip -d link show mc'), /vxlan id 16777215 group 239\.1\.1\.1 dev eth0/);
    assert.match(await vm1.run('ping -c 2 -W 5 10.7.0.107'), /2 received/);
    const tunnels = JSON.parse(await vm1.tunnel('list --json')) as {
      name: string;
      fdb: { learned: unknown[] };
    }[];
    assert.equal(tunnels.find(({ name }) => name === 'mc')?.fdb.learned.length, 1);
  });

  await t.test('without learning all goes to the other host', async () => {
    await both(
      (own, other) =>
        `add dumb --vni 4095 --remote 172.31.0.${other} --port 8472 --no-learning --ttl 3 --address 10.8.0.${own}/24`,
    );
    assert.match(await vm1.run('ip -d link show dumb'), /nolearning.* ttl 3 |ttl 3 .*nolearning/);
    assert.match(await vm1.run('ping -c 1 -W 5 10.8.0.107'), /1 received/);
    assert.doesNotMatch(await vm1.run('bridge fdb show dev dumb'), /^(?!00:00:00:00:00:00).+/m);
  });

  for (const name of ['six', 'mc', 'dumb']) {
    await vm1.tunnel(`delete ${name}`);
    await vm2.tunnel(`delete ${name}`);
  }
  assert.equal(await vm1.state(), before);
});

test(
  'what clashes with something of this host is refused, all of it at once, and changes nothing',
  needsRoot,
  async () => {
    await using hosts = await TunnelHosts.create();
    const vm1 = hosts.host('vm1');
    await vm1.run('ip link add foreign type veth peer name far');
    await vm1.run('ip link add flannel.88 type vxlan id 88 dstport 8472 dev eth0 nolearning');
    await vm1.run('ip link add other type vxlan id 5 dstport 4789 dev eth0 remote 172.31.0.107');
    await vm1.run('ip link set foreign up');
    await vm1.run('ip link set far up');
    await vm1.run('ip address add 10.5.0.1/24 dev foreign');
    await vm1.lab.start(
      'python3',
      [
        '-c',
        'import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(("127.0.0.1",4790))\nprint("bound",flush=True)\ntime.sleep(600)',
      ],
      'bound',
    );
    await waitForFile(vm1.lab.logFile('bound'), deadline('the port is bound'), text =>
      text.includes('bound'),
    );
    const before = await vm1.state();
    const refused = async (line: string, ...reasons: RegExp[]) => {
      const text = await vm1.refusal(`add ${line} --once`);
      for (const reason of reasons) assert.match(text, reason, line);
    };
    await refused(
      'foreign --vni 9 --remote 172.31.0.107',
      /name = "foreign": this host has a link of this name/,
    );
    await refused('t1 --vni 88 --remote 172.31.0.107', /vni = 88: is that of the network of flannel\.88/);
    await refused('t1 --vni 5 --remote 172.31.0.107', /vni = 5: the link other has it on UDP port 4789/);
    await refused(
      't1 --vni 9 --port 4790 --remote 172.31.0.107',
      /port = 4790: a program of this host has this UDP port, at 127\.0\.0\.1/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --address 10.5.0.1/24',
      /foreign has this address already/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --address 10.5.0.9/16',
      /10\.5\.0\.0\/24 is reached over foreign already/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --address 172.31.0.9/24',
      /172\.31\.0\.107 is in 172\.31\.0\.0\/24/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.106',
      /remote = "172\.31\.0\.106": is an address of this host/,
    );
    await refused('t1 --vni 9 --remote 172.31.0.255', /is no address of one host/);
    await refused('t1 --vni 9 --remote 198.51.100.1', /this host has no route to it/);
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --dev foreign',
      /no route leads to it over foreign: it is reached over eth0/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --dev nothing',
      /dev = "nothing": this host has no such link/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --mtu 1451',
      /mtu = 1451: eth0 carries 1500, which leaves 1450/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --attach nothing',
      /attach = "nothing": .*Docker cannot be asked/,
    );
    await refused(
      't1 --vni 9 --remote 172.31.0.107 --attach foreign',
      /attach = "foreign": this link is no bridge/,
    );
    await refused(
      'foreign --vni 5 --remote 172.31.0.107 --port 4789 --address 10.5.0.1/24 --mtu 9000',
      /4 problems/,
      /name =/,
      /vni =/,
      /addresses =/,
      /mtu =/,
    );
    assert.equal(await vm1.state(), before);
    assert.ok(!vm1.has('/run/tulle/tunnels.json'));
  },
);

async function macOf(host: TunnelHost): Promise<string> {
  const [link] = JSON.parse(await host.run('ip -j link show vxlan1')) as { address: string }[];
  return link?.address ?? '';
}
