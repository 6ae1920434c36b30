/**
 * What a host stands on changes while it works: its underlay, and the network's configuration. It follows without a
 * restart, and what cannot be followed is refused with the reason.
 *
 *     store: <prefix>/config ---> agent ---> flannel.88, subnet.env
 *                                   ^
 *     eth0: address, up, MTU -------+
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { NETWORK_PREFIX, SUBNET_FILE } from '../../src/console/defaults.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { countOf, DEVICE, type FaultHost, needsFaultLab } from './fault-host.ts';
import { CONFIG, useFaultLab } from './fault-lab.ts';

describe('live changes', needsFaultLab, () => {
  const lab = useFaultLab();

  test("of the underlay's address: it is published, and the subnet stays", async t => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const { lease } = await one.client.status();
    for (const address of ['192.168.65.33', one.address]) {
      const lost = await lab.survive(async () => {
        await one.moveTo(address);
        await two.until('it sends to the new address', ({ peers }) => peers[0]?.publicIp.ipv4 === address);
      });
      t.diagnostic(`${lost} packets lost until ${address} was in use, ${lost * 20} ms`);
      assert.equal((await one.client.status()).lease?.key, lease?.key);
      assert.equal((await one.vtep()).address, address);
    }
  });

  test('of the underlay link, which flaps: the host says what it misses, and nothing has to be made anew', async () => {
    const one = lab.host(1);
    const before = await one.vtep();
    await lab.survive(async () => {
      await one.shell('ip link set eth0 down');
      const { code, reason } = await one.untilCondition('underlay', false);
      assert.deepEqual(
        [code, reason],
        ['NO_UNDERLAY', 'no usable underlay interface: --iface=eth0: eth0 is down'],
      );
      assert.equal((await one.client.status()).agent.ready, false);
      await one.shell('ip link set eth0 up');
    });
    for (let round = 0; round < 10; round++) {
      await one.shell('ip link set eth0 down');
      await one.shell('ip link set eth0 up');
    }
    assert.equal(await lab.survive(() => lab.whole()), 0);
    assert.deepEqual(await one.vtep(), before);
  });

  test('of the MTU of the underlay: the tunnel and the file for Docker follow, without a packet lost', async () => {
    const one = lab.host(1);
    const lost = await lab.survive(async () => {
      for (const mtu of [1400, 1500]) {
        await one.shell(`ip link set eth0 mtu ${mtu}`);
        await waitForFile(one.host.path(SUBNET_FILE), deadline('subnet.env has the MTU'), text =>
          text.includes(`FLANNEL_MTU=${mtu - 50}\n`),
        );
        const [link] = await one.json<{ mtu: number }>(`ip -json link show ${DEVICE}`);
        assert.equal(link?.mtu, mtu - 50);
      }
    });
    assert.equal(lost, 0);
  });

  for (const [name, config, reason] of [
    ['no JSON', '{"Network": ', /JSON/],
    ['a network that is none', { ...CONFIG, Network: '188.172.0.0/33' }, /Network/],
    ['a VNI that is too large', { ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 16_777_216 } }, /VNI/],
    ['a backend that does not exist', { ...CONFIG, Backend: { Type: 'carrier-pigeon' } }, /carrier-pigeon/],
    ['subnets larger than the network', { ...CONFIG, SubnetLen: 8 }, /SubnetLen/],
  ] as const) {
    test(`of the configuration to ${name}: refused with the reason, and the one before stays in use`, async () => {
      const lost = await lab.survive(async () => {
        const before = await lab.host(1).client.status();
        const env = readFileSync(lab.host(1).host.path(SUBNET_FILE), 'utf8');
        await lab.store.ctl(
          'put',
          `${NETWORK_PREFIX}/config`,
          typeof config === 'string' ? config : JSON.stringify(config),
        );
        for (const host of lab.hosts) {
          const refused = await host.untilWarned('CONFIG_REFUSED');
          assert.match(refused.reason, reason);
          const status = await host.client.status();
          assert.deepEqual([status.agent.ready, status.agent.state], [true, 'degraded']);
        }
        const after = await lab.host(1).client.status();
        assert.deepEqual([after.network.config, after.backend], [before.network.config, before.backend]);
        assert.equal(after.dataplane.writes, before.dataplane.writes);
        assert.equal(readFileSync(lab.host(1).host.path(SUBNET_FILE), 'utf8'), env);
        await lab.configure();
        for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
      });
      assert.equal(lost, 0);
    });
  }

  test('of the configuration to what this host lacks: refused, and the host is followed all the same', async t => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const lost = await lab.survive(async () => {
      await lab.configure({ ...CONFIG, EnableIPv6: true, IPv6Network: 'fd77::/48' });
      assert.match((await one.untilWarned('CONFIG_REFUSED')).reason, /eth0 has no usable IPv6 address/);
      assert.equal((await one.client.status()).agent.ready, true);
      for (const address of ['192.168.65.33', one.address]) {
        await one.moveTo(address);
        await two.until('it sends to the new address', ({ peers }) => peers[0]?.publicIp.ipv4 === address);
      }
      await lab.configure({ ...CONFIG, Backend: { Type: 'wireguard' } });
      await one.untilWarned('CONFIG_REFUSED', /wireguard is not built/);
      assert.deepEqual(
        (await one.client.status()).network.problems.map(({ path }) => path),
        ['Backend.Type'],
      );
      await lab.configure();
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
  });

  test('of the configuration to none at all: missed, and the one before stays in use', async () => {
    const lost = await lab.survive(async () => {
      await lab.store.ctl('del', `${NETWORK_PREFIX}/config`);
      for (const host of lab.hosts) {
        assert.match((await host.untilWarned('CONFIG_REFUSED')).reason, /has no network configuration/);
      }
      await lab.configure();
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
    });
    assert.equal(lost, 0);
  });

  test('of the VNI: one device after the other, side by side, and no packet is lost', async () => {
    const keys = await lab.leaseKeys();
    const one = lab.host(1);
    const last = await one.lastEvent();
    const lost = await lab.survive(async () => {
      for (const [vni, former] of [
        [99, 88],
        [88, 99],
      ] as const) {
        await lab.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: vni } });
        for (const host of lab.hosts) {
          await host.until('the former device is gone', ({ backend, peers }) => {
            return backend?.devices.map(device => device.vni).join() === `${vni}` && peers[0]?.state === 'ok';
          });
          await eventually('the kernel has it no more', async () => {
            return !(await host.shell('ip -brief link')).includes(`flannel.${former} `);
          });
        }
      }
    });
    assert.equal(lost, 0);
    assert.deepEqual(await lab.leaseKeys(), keys);
    const events = (await Array.fromAsync(one.client.events())).filter(({ id }) => id > last);
    assert.deepEqual(
      events.filter(({ type }) => ['handover', 'network-changed'].includes(type)).map(({ text }) => text),
      [
        'the network is changing: vxlan over flannel.99 is prepared, and vxlan over flannel.88 stays in use',
        'the network is changing: vxlan over flannel.99 is in use and published, and vxlan over flannel.88 stays until every peer has followed',
        'the network has changed: Backend.VNI 99 instead of 88',
        'the network is changing: every peer has followed, and vxlan over flannel.88 has ended',
        'the network is changing: vxlan over flannel.88 is prepared, and vxlan over flannel.99 stays in use',
        'the network is changing: vxlan over flannel.88 is in use and published, and vxlan over flannel.99 stays until every peer has followed',
        'the network has changed: Backend.VNI 88 instead of 99',
        'the network is changing: every peer has followed, and vxlan over flannel.99 has ended',
      ],
    );
    assert.deepEqual(
      events.filter(({ type }) => ['drift-repaired', 'state-repaired', 'peer-unreachable'].includes(type)),
      [],
    );
  });

  test('of the VNI to one whose device cannot be made: refused, and the one before works on', async () => {
    const one = lab.host(1);
    const lost = await lab.survive(async () => {
      await one.shell('ip link add flannel.99 type bridge');
      await lab.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 99 } });
      const { reason, hint } = await one.untilWarned('CONFIG_REFUSED');
      assert.match(reason, /flannel\.99: a device flannel\.99 exists and is not a vxlan device/);
      assert.match(hint ?? '', /remove what is in the way/);
      const { agent, peers, conditions } = await one.client.status();
      assert.deepEqual([agent.ready, peers[0]?.state], [true, 'ok']);
      assert.ok(conditions.every(({ ok }) => ok));
      await one.shell('ip link delete flannel.99');
      await one.until('the new device is in use', ({ backend }) => backend?.devices[0]?.vni === 99);
      await lab.configure();
      for (const host of lab.hosts) {
        await host.until(
          'all is as before',
          ({ backend }) => backend?.devices.map(d => d.vni).join() === '88',
        );
      }
    });
    assert.equal(lost, 0);
  });

  test('of the VNI beside a flannel host, which keeps the former one until it is restarted: both ways stay', async t => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const lost = await lab.survive(async () => {
      await two.killAgent();
      await lab.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 99 } });
      const { lease } = await one.until('it hands over', ({ warnings, backend }) => {
        return backend?.devices[0]?.vni === 99 && warnings.some(({ code }) => code === 'NETWORK_CHANGING');
      });
      // What flannel does when the lease of a peer changes (flannel pkg/backend/vxlan/vxlan_network.go).
      const published = await eventually('the lease says so', async () => {
        const { BackendData } = await lab.leaseValue(lease?.key ?? '');
        const { VNI, VtepMAC } = BackendData as { VNI: number; VtepMAC: string };
        return VNI === 99 && VtepMAC;
      });
      const [base] = (lease?.subnet.ipv4 ?? '').split('/');
      await two.shell(`ip neigh replace ${base} lladdr ${published} dev ${DEVICE} nud permanent`);
      await two.shell(`bridge fdb replace ${published} dst ${one.address} dev ${DEVICE} self permanent`);
      await using ping = await lab.ping();
      await ping.toll();
      await two.startAgent();
      await lab.configure();
      for (const host of lab.hosts) {
        await host.until('88 is alone', ({ backend }) => backend?.devices.map(d => d.vni).join() === '88');
      }
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
  });

  test('of the VNI while one host is cut off from the store: it is not left alone', async t => {
    const [one, two] = [lab.host(1), lab.host(2)];
    const lost = await lab.survive(async () => {
      one.way.stall('to-client');
      await lab.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: 99 } });
      const { lease } = await one.client.status();
      const text = `vxlan over flannel.99 is in use; vxlan over flannel.88 stays for the peers that have not followed: ${lease?.key}`;
      await two.until('it waits for the other', ({ warnings }) =>
        warnings.some(warning => warning.text === text),
      );
      one.way.resume();
      for (const host of lab.hosts) {
        await host.until('99 is alone', ({ backend }) => backend?.devices.map(d => d.vni).join() === '99');
      }
      // Three more before anybody has followed the first of them.
      for (const vni of [100, 101, 88]) {
        await lab.configure({ ...CONFIG, Backend: { ...CONFIG.Backend, VNI: vni } });
      }
      for (const host of lab.hosts) {
        await host.until('88 is alone', ({ backend }) => backend?.devices.map(d => d.vni).join() === '88');
        await eventually('no other device is left', async () => {
          return (await host.shell('ip -brief link')).match(/flannel/g)?.length === 1;
        });
      }
    });
    t.diagnostic(`${lost} packets lost, ${lost * 20} ms`);
  });

  test('of the port: the device is made anew, with the same subnets', async t => {
    const keys = await lab.leaseKeys();
    const last = await lab.host(1).lastEvent();
    const lost = await lab.survive(async () => {
      for (const port of [8472, 4789]) {
        await lab.configure({ ...CONFIG, Backend: { Type: 'vxlan', VNI: 88, Port: port } });
        for (const host of lab.hosts) {
          await host.until(`port ${port} is in use`, status => {
            return status.backend?.devices[0]?.port === port && countOf(status, 'ok') === 1;
          });
        }
      }
    });
    assert.deepEqual(await lab.leaseKeys(), keys);
    t.diagnostic(`${lost} packets lost over two changes, ${lost * 20} ms`);
    const events = (await Array.fromAsync(lab.host(1).client.events())).filter(({ id }) => id > last);
    assert.deepEqual(
      events.filter(({ type }) => type === 'drift-repaired').map(({ text }) => text),
      [],
    );
  });

  // B2
  for (const [name, backend] of [
    ['removed', { Type: 'vxlan', VNI: 88 }],
    ['misspelt', { Type: 'vxlan', VNI: 88, Prot: 4789 }],
  ] as const) {
    test(`B2: of the port, which is ${name}: every host uses the kernel's default, and reports what its kernel has`, async () => {
      await lab.survive(async () => {
        await lab.configure({ ...CONFIG, Backend: backend });
        for (const host of lab.hosts) {
          await host.until("the kernel's port is in use", ({ backend: used, peers }) => {
            const port = used?.devices[0]?.port;
            return port !== undefined && port !== 4789 && peers[0]?.state === 'ok';
          });
          await eventually('the status says what the kernel has', async () => {
            const [{ backend: published, warnings }, found] = [
              await host.client.status(),
              await kernelFacts(host),
            ];
            const isNamed = warnings.some(({ text }) => text.includes('did you mean Port?'));
            return isDeepStrictEqual(published?.devices, [found]) && isNamed === (name === 'misspelt');
          });
        }
        await lab.configure();
        for (const host of lab.hosts) {
          await host.until('the port is back', ({ backend: used }) => used?.devices[0]?.port === 4789);
        }
      });
    });
  }

  for (const [name, config, inUse, mayLose] of [
    ['learning', { Backend: { ...CONFIG.Backend, Learning: true } }, /vxlan id 88(?!.*nolearning)/, false],
    ['the MTU', { Backend: { ...CONFIG.Backend, MTU: 1400 } }, / mtu 1350 /, false],
    ['GBP', { Backend: { ...CONFIG.Backend, GBP: true } }, / gbp /, true],
    [
      'the network to a wider one',
      { Network: '188.168.0.0/13' },
      /^FLANNEL_NETWORK=188\.168\.0\.0\/13$/m,
      false,
    ],
  ] as const) {
    test(`of ${name}: in use on every host, with the same subnets, and back`, async t => {
      const keys = await lab.leaseKeys();
      const looks = async () => {
        return Promise.all(
          lab.hosts.map(async host => {
            const link = await host.shell(`ip -details link show ${DEVICE}`);
            return `${link}\n${readFileSync(host.host.path(SUBNET_FILE), 'utf8')}`;
          }),
        );
      };
      const lost = await lab.survive(async () => {
        await lab.configure({ ...CONFIG, ...config });
        await eventually('it is in use', async () => (await looks()).every(text => inUse.test(text)));
        await lab.configure();
        await eventually('it is so no more', async () => (await looks()).every(text => !inUse.test(text)));
      });
      t.diagnostic(`${lost} packets lost over two changes, ${lost * 20} ms`);
      if (!mayLose) assert.equal(lost, 0);
      assert.deepEqual(await lab.leaseKeys(), keys);
    });
  }

  test('of the network: new subnets, written for Docker and CNI; and back, the former ones', async () => {
    const keys = await lab.leaseKeys();
    await lab.survive(async () => {
      await lab.configure({ ...CONFIG, Network: '188.180.0.0/16', SubnetMax: '188.180.199.0' });
      for (const host of lab.hosts) {
        await host.until('its lease is of the new network', status => {
          return status.lease?.subnet.ipv4?.startsWith('188.180.') === true && countOf(status, 'ok') === 1;
        });
        await waitForFile(host.host.path(SUBNET_FILE), deadline('subnet.env has the new subnet'), text =>
          text.startsWith('FLANNEL_NETWORK=188.180.0.0/16\nFLANNEL_SUBNET=188.180.'),
        );
      }
      // A host gives its former one back after it has the new one.
      await eventually('there are two leases, of the new network', async () => {
        const moved = await lab.leaseKeys();
        return moved.length === 2 && moved.every(key => key.startsWith('188.180.'));
      });
      await lab.configure();
    });
    await eventually('there are the two leases from before', async () => {
      assert.deepEqual(await lab.leaseKeys(), keys);
      return true;
    });
  });
});

/** The tunnel device of a host in the words of its status, as iproute2 finds it. */
async function kernelFacts(host: FaultHost) {
  const [link] = await host.json<{
    ifname: string;
    mtu: number;
    address: string;
    addr_info: { local: string; prefixlen: number }[];
    linkinfo: { info_kind: string; info_data: { id: number; port: number; local: string } };
  }>(`ip -details -json address show dev ${DEVICE}`);
  if (link === undefined) return undefined;
  const { info_kind: kind, info_data: data } = link.linkinfo;
  return {
    name: link.ifname,
    kind,
    vni: data.id,
    port: data.port,
    mtu: link.mtu,
    mac: link.address,
    local: data.local,
    addresses: link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  };
}
