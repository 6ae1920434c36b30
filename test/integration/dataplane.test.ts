/** The data plane against the real kernel, seen through `ip` and `bridge`: what it makes, and how it follows what is wanted. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { vxlanPath } from '../../src/backend/vxlan-path.ts';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredPeer } from '../../src/dataplane/desired.ts';
import { readSysctl } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { DEVICE, desiredHost, device, lines, peer, Running, summary, TestHost } from './dataplane-host.ts';

describe('the data plane', needsRoot, () => {
  test('makes the device and the four entries of each peer, as flannel and iproute2 show them', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    const result = await running.begin(host, [peer(2)]);
    assert.deepEqual(result.failures, []);
    assert.equal(result.inSync, true);
    assert.equal(readSysctl(`net/ipv6/conf/${DEVICE}/accept_ra`, host.netns), '0');
    const shown = host.show();
    assert.match(
      shown,
      /flannel\.88: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 .*link\/ether 02:00:00:00:00:01/,
    );
    assert.match(shown, /vxlan id 88 local 192\.168\.65\.3 dev eth0 .*dstport 4789 nolearning .*udpcsum/);
    assert.match(shown, /inet 10\.3\.1\.0\/32 scope global/);
    assert.match(shown, /^10\.3\.2\.0 lladdr 02:00:00:00:01:02 PERMANENT$/m);
    assert.match(shown, /^02:00:00:00:01:02 dst 192\.168\.65\.102 self permanent$/m);
    assert.match(shown, /^10\.3\.2\.0\/24 nhid \d+ via 10\.3\.2\.0 dev flannel\.88 proto 77 onlink$/m);
    assert.deepEqual(running.repairs, []);
    const report = running.network.peerReport('10.3.2.0-24');
    assert.equal(report?.state, 'ok');
    assert.deepEqual(report.actual, report.desired);
  });

  test('says who has the VNI when another device does', async () => {
    using host = new TestHost();
    host.sh('ip link add other type vxlan id 88 dev eth0 dstport 4789');
    await using running = new Running(host);
    const { failures } = await running.begin(host);
    assert.match(failures.join(), /the device other has VNI 88 on UDP port 4789 already/);
    await running.after(
      () => host.sh('ip link del other'),
      ({ inSync }) => inSync,
    );
    assert.match(host.show(), /^flannel\.88: /);
  });

  test('changes a peer by writing its own entries only, and removes one', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    running.network.setPeer(peer(2, { mac: '02:00:00:00:09:02' }));
    assert.equal((await running.plane.apply()).writes, 3);
    running.network.setPeer(peer(3, { underlayIp: '192.168.65.9' }));
    assert.equal((await running.plane.apply()).writes, 1);
    running.network.removePeer('10.3.4.0-24');
    assert.equal((await running.plane.apply()).writes, 4);
    running.network.setPeers([
      peer(2, { mac: '02:00:00:00:09:02' }),
      peer(3, { underlayIp: '192.168.65.9' }),
    ]);
    assert.equal((await running.plane.apply()).writes, 0);
    assert.deepEqual(lines(host.sh(`bridge fdb show dev ${DEVICE}`)), [
      '02:00:00:00:01:03 dst 192.168.65.9 self permanent',
      '02:00:00:00:09:02 dst 192.168.65.102 self permanent',
    ]);
    assert.deepEqual(lines(host.sh(`ip neighbor show dev ${DEVICE}`)), [
      '10.3.2.0 lladdr 02:00:00:00:09:02 PERMANENT',
      '10.3.3.0 lladdr 02:00:00:00:01:03 PERMANENT',
    ]);
    assert.equal(lines(host.sh('ip nexthop')).length, 2);
    assert.equal(lines(host.sh('ip route show proto 77')).length, 2);
    assert.deepEqual(running.repairs, []);
  });

  test('gives an entry that two peers claim to the newer one, and back', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    const older = peer(2, { mac: '02:00:00:00:07:07', revision: 5n });
    const newer = peer(3, { mac: '02:00:00:00:07:07', revision: 6n });
    await running.begin(host, [newer, older]);
    const fdb = () => host.sh(`bridge fdb show dev ${DEVICE}`);
    assert.match(fdb(), /^02:00:00:00:07:07 dst 192\.168\.65\.103 /);
    assert.equal(running.network.peerReport('10.3.3.0-24')?.state, 'ok');
    assert.match(running.network.peerReport('10.3.2.0-24')?.reason ?? '', /is claimed by 10\.3\.3\.0-24 too/);
    running.network.removePeer('10.3.3.0-24');
    assert.equal((await running.plane.apply()).inSync, true);
    assert.match(fdb(), /^02:00:00:00:07:07 dst 192\.168\.65\.102 /);
    assert.equal(running.network.peerReport('10.3.2.0-24')?.state, 'ok');
  });

  test('moves a living device to another address and link without making it anew', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    const index = host.indexOf(DEVICE);
    host.sh('ip address add 192.168.65.33/24 dev eth1');
    const moved = device(host, { local: Ip.parse('192.168.65.33'), underlayIndex: host.indexOf('eth1') });
    running.network.setHost(desiredHost(moved));
    assert.deepEqual(await running.plane.apply(), { inSync: true, writes: 1, failures: [] });
    assert.equal(host.indexOf(DEVICE), index);
    assert.match(host.show(), /local 192\.168\.65\.33 dev eth1 /);
    assert.deepEqual(running.repairs, []);
  });

  test('removes a device that is no longer wanted, and makes the one that is', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    const other = device(host, { name: 'flannel.89', vni: 89 });
    const [path] = peer(2).paths;
    assert.ok(path);
    running.network.set({
      host: desiredHost(other),
      peers: [{ key: 'p', revision: 1n, paths: [{ ...path, link: 'flannel.89' }] }],
    });
    assert.equal((await running.plane.apply()).inSync, true);
    assert.doesNotMatch(host.sh('ip link'), /flannel\.88/);
    assert.deepEqual(lines(host.sh('ip route show proto 77')).length, 1);
    assert.match(host.sh('ip route show proto 77'), /dev flannel\.89 onlink/);
  });

  test('waits for the name of its device, and names who has it', async () => {
    using host = new TestHost();
    host.sh(`ip link add ${DEVICE} type bridge`);
    await using running = new Running(host);
    const result = await running.begin(host);
    assert.match(result.failures.join(), /a device flannel\.88 exists and is not a vxlan device/);
    assert.match(running.network.peerReport('10.3.2.0-24')?.reason ?? '', /is not a vxlan device/);
    await running.after(
      () => host.sh(`ip link del ${DEVICE}`),
      ({ inSync }) => inSync,
    );
    assert.match(host.show(), /vxlan id 88/);
  });

  test('comes back with its underlay link', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    await running.begin(host);
    await running.after(
      () => host.sh('ip link del eth0'),
      ({ failures }) => failures.length > 0,
    );
    assert.equal(running.plane.report().inSync, false);
    host.sh('ip link add eth0 type veth peer name eth1');
    running.network.setHost(desiredHost(device(host)));
    assert.equal((await running.plane.apply()).inSync, true);
    assert.match(host.show(), /^10\.3\.2\.0\/24 nhid /m);
  });

  test('carries IPv6 over IPv6 on a second device', async () => {
    using host = new TestHost();
    host.sh('ip address add 2001:db8::3/64 dev eth0 nodad');
    host.sh(`ip link add flannel-v6.88 type vxlan id 88 dev eth0 local 2001:db8::3 dstport 4790 nolearning`);
    host.sh('ip link set flannel-v6.88 address 02:00:00:00:00:06 mtu 1430 up');
    host.sh('ip -6 route add fc00:0:0:2::/64 via fc00:0:0:2:: dev flannel-v6.88 onlink');
    await using running = new Running(host);
    const link = device(host, {
      name: 'flannel-v6.88',
      local: Ip.parse('2001:db8::3'),
      port: 4790,
      mtu: 1430,
      mac: Mac.parse('02:00:00:00:00:06'),
    });
    const path = (n: number) =>
      vxlanPath({
        link: 'flannel-v6.88',
        subnet: Prefix.parse(`fc00:0:0:${n}::/64`),
        mac: Mac.parse(`02:00:00:00:06:0${n}`),
        underlayIp: Ip.parse(`2001:db8::${n}`),
      });
    const dual = (n: number): DesiredPeer => ({ ...peer(n), paths: [...peer(n).paths, path(n)] });
    const base = desiredHost(device(host));
    const address = { ip: Ip.parse('fc00:0:0:1::'), length: 128 };
    running.network.set({
      host: {
        networks: [...base.networks, Prefix.parse('fc00::/48')],
        links: [...base.links, link],
        addresses: [...base.addresses, { link: link.name, address }],
        sysctls: ['disable_ipv6', 'accept_ra'].map(name => ({
          link: link.name,
          path: `net/ipv6/conf/flannel-v6.88/${name}`,
          value: '0',
        })),
      },
      peers: [dual(2), dual(3)],
    });
    const result = await running.plane.apply();
    assert.deepEqual(result.failures, []);
    assert.deepEqual(lines(host.sh('ip -6 route show proto 77')).length, 2);
    assert.match(
      host.sh('ip -6 route show fc00:0:0:2::/64'),
      /^fc00:0:0:2::\/64 nhid \d+ via fc00:0:0:2:: dev flannel-v6\.88 proto 77 metric 1024 onlink pref medium\n$/,
    );
    assert.match(
      host.sh('ip -6 neighbor show nud permanent'),
      /^fc00:0:0:3:: .*02:00:00:00:06:03 PERMANENT/m,
    );
    assert.match(
      host.sh('bridge fdb show dev flannel-v6.88'),
      /02:00:00:00:06:03 dst 2001:db8::3 self permanent/,
    );
    assert.equal((await running.plane.resync('test')).writes, 0);
    const repairs = await running.after(
      () => host.sh('ip -6 route del fc00:0:0:3::/64'),
      ({ inSync }) => inSync,
    );
    assert.deepEqual(summary(repairs), ['route restored 10.3.3.0-24']);
    for (const { action, repaired } of [
      { action: 'ip -6 route replace blackhole fc00:0:0:3::/64', repaired: ['route replaced 10.3.3.0-24'] },
      // Less than IPv6 needs: the kernel takes the addresses and sysctls of the device away.
      {
        action: 'ip link set flannel-v6.88 mtu 1200',
        repaired: ['address restored', 'link replaced', 'sysctl replaced'],
      },
    ]) {
      const found = await running.after(
        () => host.sh(action),
        ({ inSync }) => inSync && running.repairs.length >= repaired.length,
      );
      assert.deepEqual(summary(found), repaired, action);
    }
    const whole = host.sh('ip -6 route show proto 77');
    const restored = await running.after(
      () => host.sh('sysctl -q -w net/ipv6/conf/flannel-v6.88/disable_ipv6=1'),
      ({ inSync }) => inSync && host.sh('ip -6 route show proto 77') === whole,
    );
    assert.deepEqual(new Set(summary(restored)), new Set(['address restored', 'sysctl replaced']));
    running.network.setPeer(peer(3));
    assert.equal((await running.plane.apply()).writes, 4);
  });
});
