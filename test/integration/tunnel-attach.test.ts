/**
 * A tunnel between the bridges of two hosts: large packets of containers pass, also of those that come later, and
 * nothing of that is left when the tunnel is deleted.
 *
 *     c1 172.18.0.2 -- br0 -- vxlan_docker ==== VNI 200 ==== vxlan_docker -- br0 -- c1 172.18.0.3
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { endProcess } from '../../src/sys/pidfd.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { type TunnelHost, TunnelHosts } from '../support/tunnel-hosts.ts';

/** As Docker makes a container: a pair, one end in the namespace and the other on the bridge, both with 1500. */
async function addContainer(host: TunnelHost, name: string, address: string): Promise<void> {
  await host.run(`ip netns add ${name}`);
  await host.run(`ip link add ve-${name} mtu 1500 type veth peer name eth0 mtu 1500 netns ${name}`);
  await host.run(`ip link set ve-${name} master br0 up`);
  await host.run(`ip -n ${name} address add ${address}/16 dev eth0`);
  await host.run(`ip -n ${name} link set eth0 up`);
}

/** @param fixed its MTU was set, as Docker does: it no longer follows that of its ports (br_mtu_auto_adjust). */
async function addBridge(host: TunnelHost, { fixed = false } = {}): Promise<void> {
  await host.run('ip link add br0 type bridge');
  for (const mtu of fixed ? [1400, 1500] : []) await host.run(`ip link set br0 mtu ${mtu}`);
  await host.run('ip link set br0 up');
}

/** MTU of the bridge, of a port and of the container behind it. */
async function mtus(host: TunnelHost, container: string): Promise<number[]> {
  const links = [
    'ip -j link show br0',
    `ip -j link show ve-${container}`,
    `ip -n ${container} -j link show eth0`,
  ];
  const texts = await Promise.all(links.map(line => host.run(line)));
  return texts.map(text => (JSON.parse(text) as { mtu: number }[])[0]?.mtu ?? 0);
}

/** Sends a megabyte over TCP from one container to another, and compares what arrives. */
async function transfer(from: TunnelHost, to: TunnelHost, ip: string): Promise<void> {
  const bytes = randomBytes(1 << 20);
  writeFileSync(from.lab.path('/run/sent'), bytes);
  const receive = `import socket\ns=socket.create_server(("${ip}",7000))\nprint("listening",flush=True)\nc,_=s.accept()\nopen("/run/received.part","wb").write(b"".join(iter(lambda:c.recv(65536),b"")))\nimport os\nos.rename("/run/received.part","/run/received")`;
  await to.lab.start('ip', ['netns', 'exec', 'c1', 'python3', '-c', receive], 'receiver');
  await waitForFile(to.lab.logFile('receiver'), deadline('it listens'), text => text.includes('listening'));
  const send = `import socket\ns=socket.create_connection(("${ip}",7000),60)\ns.sendall(open("/run/sent","rb").read())\ns.close()`;
  await from.lab.run('ip', ['netns', 'exec', 'c1', 'python3', '-c', send]);
  await eventually('all of it has arrived', async () => (to.has('/run/received') ? true : undefined));
  assert.ok(readFileSync(to.lab.path('/run/received')).equals(bytes));
}

describe('a tunnel attached to a bridge', needsRoot, () => {
  test('carries what containers send, whatever its size, and leaves no trace', async t => {
    await using hosts = await TunnelHosts.create();
    const [vm1, vm2] = [hosts.host('vm1'), hosts.host('vm2')];
    for (const [host, address] of [
      [vm1, '172.18.0.2'],
      [vm2, '172.18.0.3'],
    ] as const) {
      await addBridge(host, { fixed: host === vm1 });
      await addContainer(host, 'c1', address);
    }
    const before = [await vm1.state(), await vm2.state()];
    await vm1.startAgent();
    const said = await vm1.tunnel('add vxlan_docker --vni 200 --remote 172.31.0.107 --attach br0');
    assert.match(
      said,
      /MTU lowered +eth0 in namespace \d+ \(was 1500\), ve-c1 \(was 1500\), br0 \(was 1500\)/,
    );
    await vm2.tunnel('add vxlan_docker --vni 200 --remote 172.31.0.106 --attach br0 --once');

    await t.test('large packets', async () => {
      assert.deepEqual(await mtus(vm1, 'c1'), [1450, 1450, 1450]);
      assert.deepEqual(await mtus(vm2, 'c1'), [1450, 1450, 1450]);
      assert.ok(await vm1.carries(1400, '172.18.0.3', 'c1'));
      assert.ok(await vm1.carries(1450, '172.18.0.3', 'c1'));
      const { stdout, stderr } = await vm1.attempt(
        'ip netns exec c1 ping -n -c 1 -W 2 -M do -s 1472 172.18.0.3',
      );
      assert.match(
        `${stdout}${stderr}`,
        /message too long, mtu=1450/,
        'the sender is told, instead of a black hole',
      );
      await transfer(vm1, vm2, '172.18.0.3');
    });

    await t.test('a container that comes later', async () => {
      await addContainer(vm1, 'c2', '172.18.0.4');
      await eventually('the agent has lowered its MTU', async () => {
        assert.deepEqual(await mtus(vm1, 'c2'), [1450, 1450, 1450]);
        return true;
      });
      assert.ok(await vm1.carries(1450, '172.18.0.3', 'c2'));
    });

    await t.test('an agent that was killed remembers what it has lowered', async () => {
      await vm1.killAgent();
      const monitor = await vm1.lab.start('ip', ['-o', 'monitor', 'link'], 'monitor');
      await vm1.startAgent();
      await vm1.tunnel('list');
      await endProcess(monitor);
      const announced = readFileSync(vm1.lab.logFile('monitor'), 'utf8');
      assert.doesNotMatch(announced, /mtu 1500 .*master br0/, 'nothing was raised meanwhile');
      const [tunnel] = JSON.parse(await vm1.tunnel('list --json')) as { fitted: { was: number }[] }[];
      assert.deepEqual(
        tunnel?.fitted.map(({ was }) => was),
        [1500, 1500, 1500, 1500, 1500],
      );
    });

    await vm1.run('ip netns delete c2');
    await vm1.tunnel('delete vxlan_docker');
    await vm2.tunnel('delete vxlan_docker');
    assert.deepEqual(await mtus(vm1, 'c1'), [1500, 1500, 1500]);
    assert.deepEqual(await mtus(vm2, 'c1'), [1500, 1500, 1500]);
    assert.deepEqual([await vm1.state(), await vm2.state()].map(withoutLearned), before.map(withoutLearned));
    await vm1.killAgent();
  });

  test('of two on one bridge the smaller counts, and the larger when the smaller is gone', async () => {
    await using hosts = await TunnelHosts.create();
    const vm1 = hosts.host('vm1');
    await addBridge(vm1);
    await addContainer(vm1, 'c1', '172.18.0.2');
    await vm1.tunnel('add four --vni 4 --remote 172.31.0.107 --attach br0 --once');
    await vm1.tunnel('add six --vni 6 --remote fd31::107 --attach br0 --once');
    assert.deepEqual(await mtus(vm1, 'c1'), [1430, 1430, 1430]);
    await vm1.tunnel('delete six');
    assert.deepEqual(await mtus(vm1, 'c1'), [1450, 1450, 1450]);
    await vm1.tunnel('delete four');
    assert.deepEqual(await mtus(vm1, 'c1'), [1500, 1500, 1500]);
  });

  test('waits for a bridge that is gone, and comes back with it', async () => {
    await using hosts = await TunnelHosts.create();
    const vm1 = hosts.host('vm1');
    await addBridge(vm1);
    await vm1.startAgent();
    await vm1.tunnel('add t1 --vni 7 --remote 172.31.0.107 --attach br0');
    await vm1.run('ip link delete br0');
    await eventually('it is reported', async () => {
      const { status, stdout } = await vm1.tulle('tunnel list --json');
      const [tunnel] = JSON.parse(stdout) as { state: string; reason: string }[];
      return status === 3 && tunnel?.state === 'waiting' && tunnel.reason.includes('br0') ? true : undefined;
    });
    await eventually('a warning', async () => {
      return (await vm1.tulle('status --json')).stdout.includes('"TUNNEL_DOWN"');
    });
    await addBridge(vm1);
    await eventually('it is a port again', async () =>
      (await vm1.run('ip link show t1')).includes('master br0') ? true : undefined,
    );
    await eventually('it is up', async () => /t1 +up/.test((await vm1.tulle('tunnel list')).stdout));
    await vm1.killAgent();
  });
});

/** A bridge learns who is behind which port, and forgets by itself. */
const withoutLearned = (state: string) =>
  state
    .split('\n')
    .filter(line => !/ (master br0|master br0 extern_learn)$|dev ve-c1 master br0 *$/.test(line))
    .join('\n');
