/** What a peer's paths may be: several over one link, over a link that is gone, and over one that nobody desires. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/route/change.ts';
import { DEVICE, FakeHost, fakePath, fakePeer } from '../testing/dataplane/fake-host.ts';
import type { DesiredPeer } from './desired.ts';

/** Peer n with a second subnet, 10.4.n.0/24, behind the same VTEP. */
function twoSubnets(n: number): DesiredPeer {
  const peer = fakePeer(n);
  return { ...peer, paths: [...peer.paths, fakePath(n, Prefix.parse(`10.4.${n}.0/24`))] };
}

/** A link of the host, and peer n as host-gw reaches it. */
const ETH0 = { kind: 'existing', name: 'eth0' } as const;
function direct(n: number): DesiredPeer {
  const peer = fakePeer(n);
  const paths = peer.paths.map(({ subnet, underlayIp }) => ({
    link: 'eth0',
    subnet,
    underlayIp,
    entries: [{ kind: 'route', destination: subnet, gateway: underlayIp } as const],
  }));
  return { ...peer, paths };
}

const routes = (host: FakeHost) => host.show().match(/^10\.\S+\/24(?= nhid)/gm);

describe('paths', () => {
  test('two of one peer over one link are both programmed, changed and removed, each on its own', async () => {
    await using host = new FakeHost();
    assert.equal((await host.begin([twoSubnets(1), fakePeer(2)])).inSync, true);
    assert.deepEqual(routes(host), ['10.3.1.0/24', '10.3.2.0/24', '10.4.1.0/24']);
    const entries = host.network.peerReport('10.3.1.0-24')?.actual ?? [];
    assert.equal(entries.filter(text => text.startsWith('route ')).length, 2);

    host.network.setPeer(fakePeer(1));
    assert.equal((await host.plane.apply()).inSync, true);
    assert.deepEqual(routes(host), ['10.3.1.0/24', '10.3.2.0/24']);
    assert.match(host.show(), /^02:00:00:00:01:01 dev flannel\.88 dst/m, 'the FDB entry of both stays');
    await using fresh = new FakeHost();
    await fresh.begin([fakePeer(1), fakePeer(2)]);
    assert.equal(host.show(), fresh.show());
  });

  test('one over a link that nobody desires is a failure, until the link is desired', async () => {
    await using host = new FakeHost();
    const peer = fakePeer(1);
    const paths = peer.paths.map(path => ({ ...path, link: 'flannel.99' }));
    const reason = '10.3.1.0/24 cannot be routed over flannel.99, which is no desired link';
    const { inSync, failures } = await host.begin([{ ...peer, paths }]);
    assert.deepEqual({ inSync, failures }, { inSync: false, failures: [`peer ${peer.key}: ${reason}`] });
    assert.equal(host.plane.report().failed, 1);
    const report = host.network.peerReport(peer.key);
    assert.deepEqual([report?.state, report?.reason], ['failed', reason]);

    const link = host.desired.links.map(one => ({ ...one, name: 'flannel.99', vni: 99 }));
    host.network.setHost({ ...host.desired, links: [...host.desired.links, ...link] });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^10\.3\.1\.0\/24 nhid \d+ via 10\.3\.1\.0 dev flannel\.99 /m);
    assert.equal(host.network.peerReport(peer.key)?.state, 'ok');
  });

  for (const nexthopObjects of ['auto', 'never'] as const) {
    test(`one over a link of the host, next hop objects: ${nexthopObjects}`, async () => {
      await using host = new FakeHost({ nexthopObjects });
      const index = (await host.others.links.get('eth0'))?.index ?? 0;
      const foreign = {
        destination: Prefix.parse('10.8.0.0/16'),
        gateway: Ip.parse('192.168.65.9'),
        oif: index,
      };
      const stale = { ...foreign, destination: Prefix.parse('10.3.9.0/24'), protocol: 77 };
      await host.others.addresses.replace({ index, ip: Ip.parse('192.168.65.3'), length: 24 });
      await host.others.neighbors.replace({
        index,
        ip: foreign.gateway,
        mac: Mac.parse('02:00:00:00:09:09'),
      });
      await host.others.apply([change.addRoute(foreign)]);
      const before = host.show();
      await host.others.apply([change.addRoute(stale)]);

      host.network.set({
        host: { ...host.desired, links: [ETH0], addresses: [], sysctls: [] },
        peers: [1, 2].map(direct),
      });
      assert.deepEqual((await host.plane.apply()).failures, []);
      const made = host.show();
      assert.match(made, /^10\.3\.1\.0\/24 .*via 192\.168\.65\.101 dev eth0 proto 77$/m);
      assert.doesNotMatch(made, /10\.3\.9\.0/, 'what is ours and not desired goes');
      assert.equal((await host.plane.resync('test')).writes, 0);

      host.repairs.length = 0;
      await host.others.apply([change.deleteRoute({ destination: Prefix.parse('10.3.1.0/24') })]);
      await host.pass(1000);
      assert.equal(host.show(), made);
      assert.deepEqual(
        host.repairs.map(({ object, action, peer }) => [object, action, peer]),
        [['route', 'restored', '10.3.1.0-24']],
      );
      // The kernel drops the routes, and says nothing of them.
      await host.others.links.change('eth0', { up: false });
      await host.others.links.change('eth0', { up: true });
      await host.others.apply([change.addRoute(foreign)]);
      await host.pass(1000);
      assert.match(host.show(), /^10\.3\.2\.0\/24 .*via 192\.168\.65\.102 dev eth0 proto 77$/m);

      host.network.set({ host: { ...host.desired, links: [], addresses: [], sysctls: [] }, peers: [] });
      assert.equal((await host.plane.apply()).inSync, true);
      assert.doesNotMatch(host.show(), /proto 77/);
      const routesOf = (text: string) => text.match(/^10\..*$/gm);
      assert.deepEqual(routesOf(host.show()), routesOf(before), 'what is not ours stays');
      assert.deepEqual(host.plane.report().links, []);
    });
  }

  test('what only a device of our own can hold is a failure on a link of the host', async () => {
    await using host = new FakeHost();
    const paths = fakePeer(1).paths.map(path => ({ ...path, link: 'eth0' }));
    host.network.set({
      host: { ...host.desired, links: [ETH0], addresses: [], sysctls: [] },
      peers: [{ ...fakePeer(1), paths }],
    });
    const { inSync, failures } = await host.plane.apply();
    assert.equal(inSync, false);
    assert.match(
      failures.join(),
      /FDB entries are programmed on vxlan links of our own only, and not on eth0/,
    );
    assert.equal(host.network.peerReport('10.3.1.0-24')?.state, 'failed');
    assert.doesNotMatch(host.show(), /02:00:00:00:01:01/);
  });

  test('a device that another program makes a port of a bridge stays one, unless the configuration says otherwise', async () => {
    await using host = new FakeHost();
    await host.begin([fakePeer(1)]);
    const bridge = host.kernel.plugIn({ name: 'br0', info: { kind: 'bridge' } });
    await host.others.links.change(DEVICE, { master: bridge.index });
    await host.pass(1000);
    assert.equal((await host.others.links.get(DEVICE))?.master, bridge.index);
    assert.deepEqual(host.repairs, []);
  });

  test('a route has the MTU of its path, and gets it back', async () => {
    await using host = new FakeHost();
    const { subnet, underlayIp } = fakePath(1, Prefix.parse('10.3.1.0/24'));
    const route = { kind: 'route', destination: subnet } as const;
    const state = (mtu: number | undefined) => {
      const entries = [mtu === undefined ? route : { ...route, mtu }];
      host.network.setPeer({ ...fakePeer(1), paths: [{ link: DEVICE, subnet, underlayIp, entries }] });
      return host.plane.apply();
    };
    await host.begin([]);
    await state(1300);
    const made = host.show();
    assert.match(made, /^10\.3\.1\.0\/24 dev flannel\.88 .*mtu 1300$/m);
    const theirs = { destination: subnet, oif: await host.index(), scope: 253, protocol: 77 };
    for (const mtu of [{}, { mtu: 1400 }]) {
      host.repairs.length = 0;
      host.interject(change.replaceRoute({ ...theirs, ...mtu }));
      await host.pass(1000);
      assert.equal(host.show(), made);
      assert.deepEqual(
        host.repairs.map(({ object, action }) => `${object} ${action}`),
        ['route replaced'],
      );
    }
    assert.equal((await state(undefined)).writes, 1);
    assert.doesNotMatch(host.show(), /mtu 1300/);
  });

  test('a route has the source of its path, and gets it back', async () => {
    await using host = new FakeHost();
    const { subnet, underlayIp } = fakePath(1, Prefix.parse('10.3.1.0/24'));
    const gateway = Ip.parse('10.3.1.0');
    const route = { kind: 'route', destination: subnet, gateway, onlink: true } as const;
    const state = (source: Ip | undefined) => {
      const entries = [source === undefined ? route : { ...route, source }];
      host.network.setPeer({ ...fakePeer(1), paths: [{ link: DEVICE, subnet, underlayIp, entries }] });
      return host.plane.apply();
    };
    const [own, other] = [Ip.parse('10.3.0.0'), Ip.parse('10.3.0.9')];
    await host.begin([]);
    await state(own);
    const made = host.show();
    assert.match(made, /^10\.3\.1\.0\/24 nhid \d+ .*src 10\.3\.0\.0\b/m);
    const oif = await host.index();
    for (const preferredSource of [{}, { preferredSource: other }]) {
      host.repairs.length = 0;
      const theirs = { destination: subnet, oif, gateway, flags: 4, protocol: 77, ...preferredSource };
      host.interject(change.replaceRoute(theirs));
      await host.pass(1000);
      assert.equal(host.show(), made);
      assert.deepEqual(
        host.repairs.map(({ object, action }) => `${object} ${action}`),
        ['route replaced'],
      );
    }
    await state(other);
    assert.match(host.show(), /src 10\.3\.0\.9\b/);
    await state(undefined);
    assert.doesNotMatch(host.show(), /^10\.3\.1\.0\/24.* src /m);
  });

  for (const removes of ['data plane', 'other program'] as const) {
    test(`routes over a link without addresses stay, though the ${removes} removes one that others gave it`, async () => {
      await using host = new FakeHost();
      const { subnet, underlayIp } = fakePath(1, Prefix.parse('10.3.1.0/24'));
      const entries = [{ kind: 'route', destination: subnet } as const];
      const path = { link: DEVICE, subnet, underlayIp, entries };
      const peers = [{ ...fakePeer(1), paths: [path] }];
      host.network.set({ host: { ...host.desired, addresses: [] }, peers });
      await host.plane.apply();
      const made = host.show();
      const stray = { index: await host.index(), ip: Ip.parse('10.9.9.9'), length: 32 };
      host.interject(change.replaceAddress(stray));
      if (removes === 'other program') host.interject(change.deleteAddress(stray));
      await host.pass(1000);
      assert.equal(host.show(), made);
    });
  }
});
