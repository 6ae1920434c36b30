/**
 * The underlay of a host changes in every way an underlay can, while its container talks to another one: the agent
 * follows without a restart, and what cannot be followed is reported with its reason.
 *
 *     docker1   eth0  192.168.65.3, a cable to the fabric       docker2  eth0 192.168.65.4
 *               br0   in the place of eth0, for a while
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Status } from '../../src/api/status.ts';
import { SUBNET_FILE } from '../../src/console/defaults.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline } from '../support/eventually.ts';
import { DEVICE, type FaultHost, needsFaultLab } from './fault-host.ts';
import { CONFIG, FaultLab, STORE_PORT, useFaultLab } from './fault-lab.ts';

/** What the agent and its peer have in common about docker1. */
async function untilAt(lab: FaultLab, address: string): Promise<void> {
  const [one, two] = [lab.host(1), lab.host(2)];
  await one.until(
    `it is at ${address}`,
    ({ underlay, agent }) => agent.ready && underlay?.publicIp.ipv4 === address,
  );
  await two.until(`docker1 is at ${address}`, ({ peers }) => {
    return peers[0]?.publicIp.ipv4 === address && peers[0].state === 'ok';
  });
}

const underlayOf = async (host: FaultHost) => (await host.client.status()).underlay;

describe('the underlay changes', needsFaultLab, () => {
  const lab = useFaultLab();

  test('a second address comes and goes: the one in use stays', async () => {
    const one = lab.host(1);
    const lost = await lab.survive(async () => {
      const { dataplane } = await one.client.status();
      await one.shell('ip address add 192.168.65.103/24 dev eth0');
      await one.shell('ip address add 10.1.1.1/32 dev eth0');
      await one.shell('ip address add 192.168.65.104/32 dev lo');
      // Whatever an address leads to has happened once a later change has been followed.
      await one.shell('ip link set eth0 mtu 1400');
      await one.until('1350 is in use', ({ backend }) => backend?.overlayMtu === 1350);
      await one.shell('ip link set eth0 mtu 1500');
      await one.until('1450 is in use', ({ backend }) => backend?.overlayMtu === 1450);
      assert.equal((await underlayOf(one))?.ip.ipv4, one.address);
      await one.shell('ip address del 192.168.65.104/32 dev lo');
      await one.shell('ip address del 10.1.1.1/32 dev eth0');
      await one.shell('ip address del 192.168.65.103/24 dev eth0');
      assert.equal((await one.client.status()).dataplane.failed, dataplane.failed);
    });
    assert.equal(lost, 0);
  });

  test('the address is away for a while, as when a lease of DHCP is renewed: it is missed, and used again', async t => {
    const one = lab.host(1);
    const before = await one.vtep();
    const key = (await one.client.status()).lease?.key;
    const lost = await lab.survive(async () => {
      await one.shell(`ip address del ${one.address}/24 dev eth0`);
      const { reason } = await one.untilCondition('underlay', false);
      assert.match(reason ?? '', /--iface=eth0: eth0 has no usable IPv4 address/);
      await one.shell(`ip address add ${one.address}/24 dev eth0`);
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
    assert.deepEqual(await one.vtep(), before);
    assert.equal((await one.client.status()).lease?.key, key);
  });

  test('the interface is deleted, and another one of the same name comes: the tunnel is made anew over it', async t => {
    const one = lab.host(1);
    const index = (await underlayOf(one))?.link.index;
    const lost = await lab.survive(async () => {
      await one.shell('ip link delete eth0');
      // On its way out it is down first.
      await one.until('it is missed', ({ conditions }) =>
        conditions.some(({ reason }) => reason?.includes('--iface=eth0: no such interface') === true),
      );
      await lab.replug(1);
      await untilAt(lab, one.address);
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
    assert.notEqual((await underlayOf(one))?.link.index, index);
    const [device] = await one.json<{ linkinfo: { info_data: { link: string } } }>(
      `ip -json -details link show ${DEVICE}`,
    );
    assert.equal(device?.linkinfo.info_data.link, 'eth0');
  });

  test('the address changes over which the store is reached: the connection follows, and peers learn of it', async t => {
    const one = lab.host(1);
    await one.killAgent();
    // The way of docker2 listens at its addresses, too.
    await one.startAgent(`--etcd-endpoints=http://${lab.host(2).address}:${STORE_PORT}`);
    const lost = await lab.survive(async () => {
      await one.moveTo('192.168.65.33');
      await untilAt(lab, '192.168.65.33');
      await one.moveTo(one.address);
      await untilAt(lab, one.address);
    });
    await one.killAgent();
    await one.startAgent();
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
  });

  test('the interface is renamed: its new name is reported, and packets flow on', async () => {
    const one = lab.host(1);
    const lost = await lab.survive(async () => {
      await one.shell('ip link set eth0 name lan0');
      const { hint } = await one.untilCondition('underlay', false);
      assert.match(hint ?? '', /eth0 was renamed to lan0/);
      await one.shell('ip link set lan0 name eth0');
    });
    assert.equal(lost, 0);
  });

  test('the cable is pulled and put back: nothing has to be made anew', async t => {
    const one = lab.host(1);
    const before = await one.vtep();
    const lost = await lab.survive(async () => {
      await lab.setCarrier(1, false);
      assert.match((await one.untilWarned('NO_CARRIER')).reason, /eth0/);
      await lab.setCarrier(1, true);
      await one.until('no warning is left', ({ warnings }) => warnings.length === 0);
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
    assert.deepEqual(await one.vtep(), before);
  });
});

describe('the underlay is chosen anew', needsFaultLab, () => {
  const lab = useFaultLab();

  /** Puts a bridge between the host and its cable, or takes it away, with the address on what the host then uses. */
  const bridge = async (host: FaultHost, address: string, on: boolean) => {
    const lines = on
      ? ['ip link add br0 type bridge', 'ip link set br0 up', 'ip link set eth0 master br0']
      : ['ip link delete br0'];
    await host.shell('ip address flush dev eth0 scope global');
    for (const line of lines) await host.shell(line);
    await host.shell(`ip address add ${address}/24 dev ${on ? 'br0' : 'eth0'}`);
  };

  for (const [name, flags, prepare] of [
    ['--iface, several', ['--iface=br0', '--iface=eth0'], []],
    ['--iface-regex', ['--iface-regex=^192\\.168\\.65\\.'], []],
    ['--iface-can-reach', ['--iface-can-reach=192.168.65.4'], []],
    ['--public-ip', ['--public-ip=192.168.65.3'], []],
    ['the default route', [], ['ip route add default via 192.168.65.4']],
  ] as const) {
    test(`by ${name}: the tunnel moves to another interface, and back`, async t => {
      const one = lab.host(1);
      for (const line of prepare) await one.shell(line);
      await one.killAgent();
      await one.startAgentAs(flags);
      const lost = await lab.survive(async () => {
        for (const [isOn, link] of [
          [true, 'br0'],
          [false, 'eth0'],
        ] as const) {
          await bridge(one, one.address, isOn);
          for (const line of prepare) await one.shell(line);
          await one.until(
            `${link} is in use`,
            ({ underlay, agent }) => agent.ready && underlay?.link.name === link,
          );
        }
      });
      t.diagnostic(`${lost} packets lost over two changes, ${lost * 20} ms`);
      for (const line of prepare) await one.shell(line.replace('add', 'del'));
    });
  }

  test('by an interface that is not there when the agent starts: it waits, and says for what', async () => {
    const one = lab.host(1);
    await one.killAgent();
    await one.shell('ip link set eth0 name lan0');
    await one.startAgentAs(['--iface=eth0']);
    const status = await one.until('it waits', ({ agent }) => agent.state === 'waiting');
    assert.match(status.agent.reason ?? '', /--iface=eth0: no such interface/);
    await one.shell('ip link set lan0 name eth0');
    await lab.whole();
  });
});

describe('the underlay has IPv6', needsFaultLab, () => {
  const lab = useFaultLab();
  const DUAL = { ...CONFIG, EnableIPv6: true, IPv6Network: 'fd77::/48' };

  test('the second family comes with its addresses and goes; IPv4 loses no packet', async () => {
    const keys = (await lab.leaseKeys()).toSorted();
    const one = lab.host(1);
    const last = await one.lastEvent();
    const lost = await lab.survive(async () => {
      await lab.configure(DUAL);
      for (const host of lab.hosts) {
        assert.match((await host.untilWarned('CONFIG_REFUSED')).reason, /eth0 has no usable IPv6 address/);
        await host.shell('sysctl -q -w net.ipv6.conf.all.forwarding=1');
        await host.shell(`ip address add fd65::${host.address.split('.')[3]}/64 dev eth0 nodad`);
      }
      for (const host of lab.hosts) {
        await host.until('both families are in use', ({ backend, peers }) => {
          return (
            backend?.devices.length === 2 && peers[0]?.subnet.ipv6 !== undefined && peers[0].state === 'ok'
          );
        });
      }
      // Both devices of a host give way to two others, side by side.
      for (const vni of [99, 88]) {
        await lab.configure({ ...DUAL, Backend: { ...DUAL.Backend, VNI: vni } });
        for (const host of lab.hosts) {
          await host.until(`VNI ${vni} is alone`, ({ backend, peers, dataplane }) => {
            const vnis = backend?.devices.map(device => device.vni).join();
            return vnis === `${vni},${vni}` && peers[0]?.state === 'ok' && dataplane.inSync;
          });
          const routes = await host.json<{ dst: string; dev: string }>('ip -json -6 route show proto 77');
          assert.deepEqual(
            routes.map(({ dev }) => dev),
            [`flannel-v6.${vni}`],
          );
        }
      }
      // The kernel lists the newest one first.
      await one.shell('ip address add fd65::99/64 dev eth0 nodad');
      await one.shell('ip address del fd65::3/64 dev eth0');
      await lab.host(2).until('docker1 has moved', ({ peers }) => peers[0]?.publicIp.ipv6 === 'fd65::99');
      await lab.configure();
      for (const host of lab.hosts) {
        await host.until('IPv4 is alone', ({ backend, peers }) => {
          return (
            backend?.devices.length === 1 && peers[0]?.subnet.ipv6 === undefined && peers[0]?.state === 'ok'
          );
        });
      }
    });
    assert.equal(lost, 0);
    assert.deepEqual((await lab.leaseKeys()).toSorted(), keys);
    for (const host of lab.hosts) {
      assert.doesNotMatch(await host.shell('ip -brief link'), /flannel-v6/);
    }
    const events = (await Array.fromAsync(one.client.events())).filter(({ id }) => id > last);
    const noise = ['lease-rejected', 'peer-unreachable', 'drift-repaired', 'lease-lost'];
    assert.deepEqual(
      events.filter(({ type }) => noise.includes(type)).map(({ text }) => text),
      [],
    );
  });

  // B3
  test('B3: an MTU that is too small for IPv6: IPv4 follows it, and what is left out is reported', async () => {
    const one = lab.host(1);
    const isWhole = (status: Status) => {
      const { backend, peers, warnings } = status;
      const isLeftOut = warnings.some(({ code }) => code === 'FAMILY_LEFT_OUT');
      return backend?.devices.length === 2 && peers[0]?.state === 'ok' && !isLeftOut;
    };
    for (const host of lab.hosts) {
      await host.shell('sysctl -q -w net.ipv6.conf.all.forwarding=1');
      await host.shell(`ip address replace fd65::${host.address.split('.')[3]}/64 dev eth0 nodad`);
    }
    await lab.survive(async () => {
      await lab.configure(DUAL);
      for (const host of lab.hosts) await host.until('both families are in use', isWhole);
      // Below 1280 the kernel takes IPv6 from eth0 itself.
      for (const mtu of [1320, 1200]) {
        await one.shell(`ip link set eth0 mtu ${mtu}`);
        const { reason } = await one.untilWarned('FAMILY_LEFT_OUT', new RegExp(`MTU of eth0 = ${mtu}`));
        assert.match(reason, /IPv6 needs 1280/);
        await one.until('the tunnel of IPv4 has followed', ({ agent, backend }) => {
          const mtus = backend?.devices.map(device => device.mtu).join();
          return agent.ready && backend?.overlayMtu === mtu - 50 && mtus === `${mtu - 50}`;
        });
        await waitForFile(one.host.path(SUBNET_FILE), deadline(`subnet.env has the MTU ${mtu - 50}`), text =>
          text.includes(`FLANNEL_MTU=${mtu - 50}\n`),
        );
      }
      await one.shell('ip link set eth0 mtu 1500');
      await one.shell('ip address replace fd65::3/64 dev eth0 nodad');
      for (const host of lab.hosts) await host.until('both families are in use again', isWhole);
      await lab.configure();
      for (const host of lab.hosts) {
        await host.until('IPv4 is alone', ({ backend }) => backend?.devices.length === 1);
      }
    });
  });
});
