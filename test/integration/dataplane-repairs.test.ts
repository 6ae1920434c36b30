/** What the data plane repairs when others change it, and what it leaves to them: against the real kernel. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { readSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { DEVICE, Running, summary, TestHost } from './dataplane-host.ts';

describe('the data plane, when others change things', needsRoot, () => {
  test('brings back every object that is deleted or changed by hand, and says what it did', async t => {
    using host = new TestHost();
    {
      await using first = new Running(host);
      await first.begin(host);
    }
    const before = host.show();
    const nexthop = /id (\d+) via 10\.3\.2\.0 /.exec(before)?.[1] ?? '';
    for (const { actions, repaired } of [
      { actions: ['ip route del 10.3.2.0/24'], repaired: ['route restored 10.3.2.0-24'] },
      { actions: ['ip route replace blackhole 10.3.2.0/24'], repaired: ['route replaced 10.3.2.0-24'] },
      {
        actions: ['ip route replace 10.3.2.0/24 via 192.168.65.9 dev eth0'],
        repaired: ['route replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip route replace 10.3.2.0/24 nhid ${nexthop} proto 77 mtu 500`],
        repaired: ['route replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip route replace 10.3.2.0/24 nhid ${nexthop} proto 77 src 192.168.65.3`],
        repaired: ['route replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip nexthop replace id ${nexthop} via 10.3.2.0 dev ${DEVICE} onlink`],
        repaired: ['nexthop replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip route replace 10.3.2.0/24 via 10.3.3.0 dev ${DEVICE} onlink`],
        repaired: ['route replaced 10.3.2.0-24'],
      },
      { actions: [`ip neigh del 10.3.2.0 dev ${DEVICE}`], repaired: ['neighbor restored 10.3.2.0-24'] },
      {
        actions: [`ip neigh replace 10.3.2.0 lladdr 02:00:00:00:09:09 dev ${DEVICE} nud permanent`],
        repaired: ['neighbor replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip neigh add 10.3.99.0 lladdr 02:00:00:00:09:09 dev ${DEVICE} nud permanent`],
        repaired: ['neighbor removed'],
      },
      { actions: [`bridge fdb del 02:00:00:00:01:02 dev ${DEVICE}`], repaired: ['fdb restored 10.3.2.0-24'] },
      {
        actions: [`bridge fdb replace 02:00:00:00:01:02 dev ${DEVICE} dst 192.168.65.9 self permanent`],
        repaired: ['fdb replaced 10.3.2.0-24'],
      },
      {
        actions: [
          `bridge fdb replace 02:00:00:00:01:02 dev ${DEVICE} dst 192.168.65.102 via eth1 self permanent`,
        ],
        repaired: ['fdb replaced 10.3.2.0-24'],
      },
      {
        actions: [
          `bridge fdb replace 02:00:00:00:01:02 dev ${DEVICE} dst 192.168.65.102 vni 9 self permanent`,
        ],
        repaired: ['fdb replaced 10.3.2.0-24'],
      },
      {
        actions: [`bridge fdb add 02:00:00:00:09:09 dev ${DEVICE} dst 192.168.65.9 self permanent`],
        repaired: ['fdb removed'],
      },
      {
        actions: [`ip nexthop del id ${nexthop}`],
        repaired: ['nexthop restored 10.3.2.0-24', 'route restored 10.3.2.0-24'],
      },
      {
        actions: [`ip nexthop replace id ${nexthop} via 10.3.3.0 dev ${DEVICE} onlink proto 77`],
        repaired: ['nexthop replaced 10.3.2.0-24'],
      },
      {
        actions: [`ip route add 10.3.98.0/24 via 10.3.98.0 dev ${DEVICE} onlink proto 77`],
        repaired: ['route removed'],
      },
      { actions: [`ip address flush dev ${DEVICE}`], repaired: ['address restored'] },
      { actions: [`ip address add 10.3.97.0/32 dev ${DEVICE}`], repaired: ['address removed'] },
      { actions: [`ip link set ${DEVICE} down`], repaired: ['link replaced'] },
      { actions: [`ip link set ${DEVICE} mtu 1300`], repaired: ['link replaced'] },
      { actions: [`ip link set ${DEVICE} address 02:00:00:00:09:09`], repaired: ['link replaced'] },
      { actions: [`ip link set ${DEVICE} type vxlan learning`], repaired: ['link replaced'] },
      { actions: [`ip link set ${DEVICE} type vxlan ttl 1`], repaired: ['link replaced'] },
      { actions: [`ip link set ${DEVICE} name elsewhere`], repaired: ['link replaced'] },
      {
        actions: [`ip link set ${DEVICE} down`, `ip link set ${DEVICE} name elsewhere`],
        repaired: ['link replaced', 'link replaced'],
      },
      { actions: [`ip link del ${DEVICE}`], repaired: ['link restored'] },
      {
        actions: [`ip link del ${DEVICE}`, `ip link add ${DEVICE} type vxlan id 88 dev eth0 dstport 8472`],
        repaired: ['link replaced'],
      },
    ]) {
      await t.test(actions.join('; '), async () => {
        // One for each: a program that did all of this in a row would be slowed down.
        await using running = new Running(host);
        await running.begin(host);
        const repairs = await running.after(
          () => actions.map(action => host.sh(action)),
          ({ inSync }) => inSync && running.repairs.length >= repaired.length,
        );
        assert.deepEqual(summary(repairs), repaired);
        assert.ok(repairs.every(({ cause }) => cause === 'drift'));
        assert.equal(host.show(), before);
      });
    }
    await using running = new Running(host);
    await running.begin(host);
    await t.test('moved to another namespace', async () => {
      using other = new TestHost();
      const repairs = await running.after(
        () => host.sh(`ip link set ${DEVICE} netns /proc/${process.pid}/fd/${other.netns.fd}`),
        ({ inSync }) => inSync && running.repairs.length > 0,
      );
      assert.deepEqual(summary(repairs), ['link replaced']);
      assert.equal(host.show(), before);
      assert.doesNotMatch(other.sh('ip link'), /flannel/);
    });
    await t.test('enslaved to a bridge', async () => {
      host.sh('ip link add br0 type bridge');
      const repairs = await running.after(
        () => host.sh(`ip link set ${DEVICE} master br0`),
        ({ inSync }) => inSync && running.repairs.length > 0 && !host.sh('ip link').includes('master br0'),
      );
      assert.equal(summary(repairs).at(-1), 'link replaced');
      host.sh('ip link del br0');
    });
    await t.test('a flap of the link, which only the routes show', async () => {
      host.sh(`ip link set ${DEVICE} down`);
      host.sh(`ip link set ${DEVICE} up`);
      running.repairs.length = 0;
      await running.plane.apply();
      assert.deepEqual(summary(running.repairs), ['link replaced']);
      assert.equal(host.show(), before);
    });
    const { writes } = await running.plane.resync('test');
    assert.equal(writes, 0);
  });

  test('goes on with another number when a next hop object is overwritten, and leaves that to others', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    const number = /id (\d+) via 10\.3\.2\.0 /.exec(host.show())?.[1] ?? '';
    const repairs = await running.after(
      () => host.sh(`ip nexthop replace id ${number} blackhole`),
      ({ inSync }) => inSync && running.repairs.length > 0,
    );
    assert.deepEqual(summary(repairs), ['nexthop replaced 10.3.2.0-24']);
    assert.match(repairs[0]?.found ?? '', new RegExp(`^nexthop id ${number} taken`));
    assert.match(host.sh('ip route show 10.3.2.0/24'), /via 10\.3\.2\.0 dev flannel\.88 proto 77 onlink/);
    assert.match(host.sh('ip nexthop'), new RegExp(`^id ${number} blackhole`, 'm'));
  });

  test('touches nothing that is not its own', async t => {
    using host = new TestHost();
    // Its addresses of links change by themselves, once nobody else is found to have them.
    host.sh('sysctl -q -w net/ipv6/conf/all/disable_ipv6=1');
    await using running = new Running(host);
    await running.begin(host);
    const id = /id (\d+) via 10\.3\.2\.0 /.exec(host.show())?.[1] ?? '';
    const look = () =>
      ['ip -d link', 'ip address', 'ip neigh show proxy', 'ip nexthop', 'ip route show table all']
        .map(command => host.sh(command))
        .join('\n');
    for (const action of [
      `ip link set ${DEVICE} alias uplink`,
      `ip link set ${DEVICE} txqueuelen 77`,
      `ip link property add dev ${DEVICE} altname overlay`,
      'ip address add 10.3.1.0/32 dev eth1',
      `ip neigh add proxy 10.3.2.0 dev ${DEVICE}`,
      `ip nexthop add id 7 group ${id}`,
      'ip nexthop add id 8 via 192.168.65.9 dev eth0',
      'ip route add 10.3.2.0/24 via 192.168.65.9 dev eth0 metric 5',
      'ip route add 10.3.2.0/24 via 192.168.65.9 dev eth0 table 100',
      'ip route append 10.3.2.0/24 via 192.168.65.9 dev eth0',
      'ip route add 10.3.2.0/25 via 192.168.65.9 dev eth0',
      `ip route add 10.99.5.0/24 dev ${DEVICE}`,
    ]) {
      await t.test(action, async () => {
        host.sh(action);
        const shown = look();
        running.repairs.length = 0;
        const { inSync, writes } = await running.plane.resync('test');
        assert.deepEqual({ inSync, writes }, { inSync: true, writes: 0 });
        assert.deepEqual(running.repairs, []);
        assert.equal(look(), shown);
      });
    }
  });

  test('restores sysctls as soon as they are written', async t => {
    using host = new TestHost();
    host.sh('sysctl -q -w net/ipv4/ip_forward=1');
    await using running = new Running(host);
    await running.begin(host);
    const byHand = (path: string, value: string) => host.sh(`sysctl -q -w ${path}=${value}`);
    // A container has a mount of /proc of its own; files watched through another one do not notice it.
    const fromContainer = (path: string, value: string) =>
      host.netns.run(() =>
        execFileSync('unshare', [
          '-m',
          'sh',
          '-ec',
          `mount -t proc proc /proc; echo ${value} >/proc/sys/${path}`,
        ]),
      );
    for (const { name, path, wanted, write } of [
      { name: 'announced by the kernel', path: 'ipv4/conf', wanted: '1', write: fromContainer },
      { name: 'not announced, by hand', path: 'ipv6/conf', wanted: '0', write: byHand },
    ]) {
      await t.test(name, async () => {
        const file = `net/${path}/${DEVICE}/${wanted === '1' ? 'forwarding' : 'accept_ra'}`;
        for (const device of ['once', 'again, on a device made anew']) {
          const repairs = await running.after(
            () => write(file, wanted === '1' ? '0' : '1'),
            () => running.repairs.length > 0,
          );
          assert.deepEqual(summary(repairs), ['sysctl replaced'], device);
          assert.equal(readSysctl(file, host.netns), wanted);
          await running.after(
            () => host.sh(`ip link del ${DEVICE}`),
            ({ inSync }) => inSync && running.repairs.length > 0,
          );
        }
      });
    }
    await t.test('not announced, from a container: by the next comparison', async () => {
      fromContainer(`net/ipv6/conf/${DEVICE}/accept_ra`, '1');
      running.repairs.length = 0;
      await running.plane.resync('test');
      assert.deepEqual(summary(running.repairs), ['sysctl replaced']);
    });
  });

  test('leaves forwarding off where the host has it off, and notices both changes', async () => {
    using host = new TestHost();
    host.sh('sysctl -q -w net/ipv4/ip_forward=1');
    await using running = new Running(host);
    await running.begin(host);
    const path = `net/ipv4/conf/${DEVICE}/forwarding`;
    for (const value of ['0', '1']) {
      const repairs = await running.after(
        () => host.sh(`sysctl -q -w net/ipv4/ip_forward=${value}`),
        ({ inSync }) => inSync,
      );
      assert.deepEqual(repairs, []);
      assert.equal(readSysctl(path, host.netns), value);
    }
  });
});
