/** How the data plane comes into a host that is not empty: after a former run, after flanneld, beside others. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { within } from '../support/eventually.ts';
import { DEVICE, peer, Running, summary, TestHost } from './dataplane-host.ts';

describe('the data plane on a host that is not empty', needsRoot, () => {
  test('adopts what a former run left: no write at all when nothing differs', async () => {
    using host = new TestHost();
    {
      await using running = new Running(host);
      await running.begin(host);
    }
    const before = host.show();
    await using running = new Running(host);
    const result = await running.begin(host);
    assert.deepEqual({ inSync: result.inSync, writes: result.writes }, { inSync: true, writes: 0 });
    assert.equal(host.show(), before);
    assert.deepEqual(running.repairs, []);
  });

  test('at the start repairs what is wrong, removes what is stale and its own, and leaves the rest', async () => {
    using host = new TestHost();
    let before = '';
    {
      await using running = new Running(host);
      await running.begin(host);
      before = host.show();
    }
    const foreign = [
      'ip route add 10.3.50.0/24 dev eth0 proto 77',
      `ip route add 10.99.0.0/24 via 10.3.2.0 dev ${DEVICE} onlink`,
      'ip route add 10.98.0.0/24 via 192.168.65.1',
      'ip nexthop add id 5 via 192.168.65.1 dev eth0',
      'ip neighbor add 192.168.65.1 lladdr 02:00:00:00:08:08 dev eth0 nud permanent',
    ];
    for (const line of foreign) host.sh(line);
    const beforeEth0 = host.sh('ip neighbor show dev eth0');
    const expected = host.show();
    for (const line of [
      `ip link set ${DEVICE} mtu 1400`,
      'ip route del 10.3.2.0/24',
      `ip neighbor replace 10.3.3.0 lladdr 02:00:00:00:09:09 dev ${DEVICE} nud permanent`,
      `ip neighbor add 10.3.60.0 lladdr 02:00:00:00:09:09 dev ${DEVICE} nud permanent`,
      `bridge fdb add 02:00:00:00:09:09 dev ${DEVICE} dst 192.168.65.9 self permanent`,
      `ip nexthop add id 99 via 10.3.60.0 dev ${DEVICE} onlink proto 77`,
      'ip route add 10.3.60.0/24 nhid 99 proto 77',
    ]) {
      host.sh(line);
    }
    await using running = new Running(host);
    assert.equal((await running.begin(host)).inSync, true);
    assert.equal(host.show(), expected);
    assert.notEqual(expected, before);
    assert.equal(host.sh('ip neighbor show dev eth0'), beforeEth0);
    assert.ok(running.repairs.every(({ cause }) => cause === 'start'));
    assert.deepEqual(summary(running.repairs), [
      'fdb removed',
      'link replaced',
      'neighbor removed',
      'neighbor replaced 10.3.3.0-24',
      'nexthop removed',
      'route removed',
    ]);
  });

  test('takes over the routes that flanneld made, and removes those of peers that are no more', async () => {
    using host = new TestHost();
    host.sh(`ip link add ${DEVICE} type vxlan id 88 dev eth0 local 192.168.65.3 dstport 4789 nolearning`);
    host.sh(`ip link set ${DEVICE} address 02:00:00:00:00:01 mtu 1450 up`);
    const kept = [
      `10.99.0.0/24 via 10.3.2.0 dev ${DEVICE} onlink`,
      `10.98.0.0/24 via 10.98.0.0 dev ${DEVICE} proto static onlink`,
      '10.97.0.0/24 via 10.97.0.0 dev eth0 onlink',
      `10.96.0.0/24 dev ${DEVICE} scope link`,
      `10.95.0.0/24 via 10.95.0.0 dev ${DEVICE} metric 5 onlink`,
    ];
    const flannels = ['2', '70', '71'].map(n => `10.3.${n}.0/24 via 10.3.${n}.0 dev ${DEVICE} onlink`);
    for (const route of [...kept, ...flannels]) host.sh(`ip route add ${route}`);
    await using running = new Running(host);
    assert.equal((await running.begin(host)).inSync, true);
    const routes = host
      .sh('ip route')
      .split('\n')
      .map(line => line.trim());
    for (const route of kept) assert.ok(routes.includes(route), route);
    assert.deepEqual(
      routes.filter(route => route.startsWith('10.3.')).map(route => route.split(' ')[0]),
      ['10.3.2.0/24', '10.3.3.0/24', '10.3.4.0/24'],
    );
    assert.ok(routes.every(route => !route.startsWith('10.3.') || route.includes(' proto 77 ')));
    assert.deepEqual(summary(running.repairs), [
      'route removed',
      'route removed',
      'route replaced 10.3.2.0-24',
    ]);
  });

  test('leaves a foreign route in the place of a wanted one, says so, and takes its place when it goes', async () => {
    using host = new TestHost();
    host.sh('ip route add 10.3.3.0/24 via 192.168.65.1');
    await using running = new Running(host);
    const result = await running.begin(host);
    assert.equal(result.inSync, false);
    assert.match(result.failures[0] ?? '', /route 10\.3\.3\.0\/24 via 192\.168\.65\.1 .*is in the way$/);
    assert.match(host.sh('ip route show 10.3.3.0/24'), /via 192\.168\.65\.1/);
    assert.equal(running.network.peerReport('10.3.3.0-24')?.state, 'failed');
    assert.equal(running.network.peerReport('10.3.2.0-24')?.state, 'ok');
    await running.after(
      () => host.sh('ip route del 10.3.3.0/24'),
      ({ inSync }) => inSync,
    );
    assert.match(host.sh('ip route show 10.3.3.0/24'), /proto 77/);
  });

  test('knows its routes where the kernel does not repeat in them what their next hop objects say', async () => {
    using host = new TestHost();
    writeSysctl('net/ipv4/nexthop_compat_mode', '0', host.netns);
    {
      await using first = new Running(host);
      await first.begin(host);
      assert.match(host.sh('ip route'), /^10\.3\.2\.0\/24 nhid \d+ proto 77 *$/m);
      assert.equal((await first.plane.resync('test')).writes, 0);
    }
    await using second = new Running(host);
    assert.equal((await second.begin(host)).writes, 0);
  });

  test("does not take a next hop's number from others", async () => {
    using host = new TestHost();
    {
      await using running = new Running(host);
      await running.begin(host, [peer(2)]);
    }
    const id = /id (\d+)/.exec(host.sh('ip nexthop'))?.[1] ?? '';
    host.sh(`ip link del ${DEVICE}`);
    host.sh(`ip nexthop add id ${id} via 192.168.65.1 dev eth0 proto static`);
    await using running = new Running(host);
    assert.equal((await running.begin(host, [peer(2)])).inSync, true);
    assert.match(host.sh(`ip nexthop show id ${id}`), /via 192\.168\.65\.1 dev eth0/);
    assert.match(host.sh('ip route show 10.3.2.0/24'), new RegExp(`nhid ${Number(id) + 1} `));
  });

  test('programs plain routes where next hop objects are not to be used, and changes over and back', async () => {
    using host = new TestHost();
    {
      await using running = new Running(host, { nexthopObjects: 'never' });
      assert.equal((await running.begin(host)).inSync, true);
      assert.equal(running.plane.report().nexthopObjects, false);
      assert.equal(host.sh('ip nexthop'), '');
      assert.match(
        host.sh('ip route show 10.3.2.0/24'),
        /^10\.3\.2\.0\/24 via 10\.3\.2\.0 dev flannel\.88 proto 77 onlink/,
      );
      assert.equal((await running.plane.resync('test')).writes, 0);
    }
    {
      await using running = new Running(host);
      assert.equal((await running.begin(host)).inSync, true);
      assert.match(host.sh('ip route show 10.3.2.0/24'), /nhid/);
    }
    await using running = new Running(host, { nexthopObjects: 'never' });
    assert.equal((await running.begin(host)).inSync, true);
    assert.doesNotMatch(host.sh('ip route show 10.3.2.0/24'), /nhid/);
  });

  test("takes over flanneld's device and entries under way, and hands them on, without losing a packet", async () => {
    using left = new TestHost();
    using right = new TestHost();
    right.sh('ip link del eth0');
    {
      await using rtnetlink = connectRoute({ netns: left.netns });
      await rtnetlink.links.change('eth1', { netnsFd: right.netns.fd });
    }
    right.sh('ip link set eth1 up');
    right.sh('ip address add 192.168.65.102/24 dev eth1');
    asFlannelHas(left, 'eth0', { own: 1, ownIp: '192.168.65.3', mac: '02:00:00:00:00:01' }, 2);
    asFlannelHas(right, 'eth1', { own: 2, ownIp: '192.168.65.102', mac: '02:00:00:00:01:02' }, 1);
    right.sh(`bridge fdb replace 02:00:00:00:00:01 dev ${DEVICE} dst 192.168.65.3 self permanent`);
    right.sh(`ip neighbor replace 10.3.1.0 lladdr 02:00:00:00:00:01 dev ${DEVICE} nud permanent`);

    // Long enough for all that follows; ended as soon as that is done.
    const ping = left.netns.run(() =>
      spawn('ping', ['-i', '0.005', '-c', '4000', '-I', '10.3.1.0', '10.3.2.0'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
    let output = '';
    ping.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    try {
      const replied = async (count: number) => {
        const goal = replies(output) + count;
        while (replies(output) < goal) await within(`${count} replies`, once(ping.stdout, 'data'));
      };
      await replied(10);
      const peers = [peer(2)];
      for (const nexthopObjects of ['auto', 'auto', 'never', 'auto'] as const) {
        await using running = new Running(left, { nexthopObjects });
        const result = await running.begin(left, peers);
        assert.deepEqual(result.failures, []);
        await replied(10);
        assert.match(left.sh('ip route show 10.3.2.0/24'), /proto 77/);
        assert.deepEqual(summary(running.repairs).includes('link replaced'), false);
      }
    } finally {
      ping.kill('SIGINT');
      await within('ping ends', once(ping, 'close'));
    }
    assert.deepEqual(unanswered(output), []);
  });
});

/** Without errors that a router or the host itself reports. */
const replies = (output: string) => output.match(/icmp_seq=\d+ ttl=/g)?.length ?? 0;

/** Of the echoes before the last that was answered: what was on its way when ping was ended is not lost. */
function unanswered(output: string): number[] {
  const answered = new Set(Array.from(output.matchAll(/icmp_seq=(\d+) ttl=/g), ([, text]) => Number(text)));
  return Array.from({ length: Math.max(...answered) }, (_, index) => index + 1).filter(n => !answered.has(n));
}

/** The device of a host and its entries for one peer, made as flanneld makes them. */
function asFlannelHas(
  host: TestHost,
  underlay: string,
  { own, ownIp, mac }: { own: number; ownIp: string; mac: string },
  other: number,
): void {
  const base = `10.3.${other}.0`;
  for (const line of [
    `ip link add ${DEVICE} type vxlan id 88 dev ${underlay} local ${ownIp} dstport 4789 nolearning`,
    `ip link set ${DEVICE} address ${mac} mtu 1450`,
    `ip address add 10.3.${own}.0/32 dev ${DEVICE}`,
    `ip link set ${DEVICE} up`,
    `ip neighbor add ${base} lladdr 02:00:00:00:01:0${other} dev ${DEVICE} nud permanent`,
    `bridge fdb add 02:00:00:00:01:0${other} dev ${DEVICE} dst 192.168.65.${100 + other} self permanent`,
    `ip route add ${base}/24 via ${base} dev ${DEVICE} onlink`,
  ]) {
    host.sh(line);
  }
}
