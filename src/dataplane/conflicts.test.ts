/** Others, or other peers, have what a peer needs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/route/change.ts';
import { IN_SYNC, nexthopId, PEERS } from '../testing/dataplane/fake-damage.ts';
import { FakeHost, fakePath, fakePeer } from '../testing/dataplane/fake-host.ts';

describe('conflicts', () => {
  test('takes the place of a route that flannel made, and not that of another, when a peer comes', async () => {
    await using host = new FakeHost();
    await host.begin([]);
    const [flannels, foreign] = [2, 3].map(n => Prefix.parse(`10.3.${n}.0/24`));
    assert.ok(flannels && foreign);
    const underlay = (await host.others.links.get('eth0'))?.index ?? 0;
    await host.others.apply([
      change.addRoute({ destination: flannels, gateway: flannels.ip, oif: await host.index(), flags: 4 }),
      change.addRoute({ destination: foreign, oif: underlay }),
    ]);
    host.network.setPeers([fakePeer(2), fakePeer(3)]);
    const { failures } = await host.plane.apply();
    assert.equal(failures.length, 1);
    assert.match(failures[0] ?? '', /: route 10\.3\.3\.0\/24 dev eth0 scope link is in the way$/);
    assert.equal(host.network.peerReport('10.3.2.0-24')?.state, 'ok');
    assert.match(host.show(), /^10\.3\.2\.0\/24 nhid /m);
    assert.match(host.show(), /^10\.3\.3\.0\/24 dev eth0 scope link$/m);
    host.network.removePeer('10.3.3.0-24');
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^10\.3\.3\.0\/24 dev eth0 scope link$/m);
  });

  test('a way that others free is taken at once, however long it was blocked', async () => {
    await using host = new FakeHost();
    const destination = Prefix.parse('10.3.2.0/24');
    const underlay = (await host.others.links.get('eth0'))?.index ?? 0;
    await host.others.apply([change.addRoute({ destination, oif: underlay })]);
    assert.match((await host.begin(PEERS)).failures.join(), /is in the way$/);
    // In short steps: a round in which the clock goes on looks slow, and slow rounds are followed by fewer.
    for (let step = 0; step < 15; step++) await host.pass(20_000);
    assert.match(host.network.peerReport('10.3.2.0-24')?.reason ?? '', /is in the way$/);
    await host.others.apply([change.deleteRoute({ destination })]);
    await host.pass(100);
    assert.equal(host.show(), IN_SYNC);
  });

  test('a way that is freed unannounced is taken in time', async () => {
    await using host = new FakeHost();
    const oif = (await host.others.links.get('eth0'))?.index ?? 0;
    await host.others.apply([
      change.addNexthop({ id: 5, family: 'ipv4', oif }),
      change.addRoute({ destination: Prefix.parse('10.3.2.0/24'), nexthopId: 5 }),
    ]);
    assert.match((await host.begin(PEERS)).failures.join(), /is in the way$/);
    // The kernel says nothing of the route that goes with it.
    await host.others.nexthops.delete(5);
    await host.pass(60_000);
    assert.equal(host.show(), IN_SYNC);
  });

  test('a number that others take for their next hop is given up', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const underlay = (await host.others.links.get('eth0'))?.index ?? 0;
    const theirs = { id: nexthopId(2), family: 'ipv4' as const, oif: underlay, protocol: 4 };
    const taken = async () => {
      await host.others.apply([change.deleteNexthop(theirs.id), change.addNexthop(theirs)]);
      await host.pass(5000);
      assert.match(host.show(), new RegExp(`^id ${theirs.id} dev eth0 scope host proto static$`, 'm'));
      assert.match(host.show(), new RegExp(`^10\\.3\\.2\\.0/24 nhid (?!${theirs.id} )`, 'm'));
      assert.equal(host.plane.report().inSync, true);
    };
    await taken();
    // While it is needed, and no announcement of it arrives.
    host.network.removePeer('10.3.2.0-24');
    await host.plane.apply();
    host.network.setPeer(fakePeer(2));
    await host.plane.apply();
    await taken();
  });

  test('no route is sent to a next hop that others put under our number unnoticed', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const oif = (await host.others.links.get('eth0'))?.index ?? 0;
    const theirs = { id: nexthopId(2), family: 'ipv4' as const, oif, protocol: 4 };
    host.interject(change.deleteNexthop(theirs.id));
    host.interject(change.addNexthop(theirs));
    host.kernel.overrun();
    const ways = new Set<number | undefined>();
    host.kernel.refuse('EBUSY', request => {
      if (request.type === 'route' && !request.gone) ways.add(request.route.nexthopId);
      return false;
    });
    await host.pass(5000);
    assert.equal(host.plane.report().inSync, true);
    assert.equal(ways.has(theirs.id), false);
    assert.equal(ways.size, 1);
  });

  test('of peers that want the same entry the newer one has it, and the other one afterwards', async () => {
    await using host = new FakeHost();
    const [path] = fakePeer(2).paths;
    assert.ok(path);
    const newer = fakePeer(2, { mac: '02:00:00:00:01:01', underlayIp: '192.168.65.109', revision: 7n });
    // The MAC of peer 1 and the subnet of peer 2.
    await host.begin([...PEERS, { ...newer, key: 'newer' }]);
    assert.match(host.network.peerReport('10.3.1.0-24')?.reason ?? '', /claimed by newer too/);
    assert.match(host.network.peerReport('10.3.2.0-24')?.reason ?? '', /claimed by newer too/);
    assert.equal(host.network.peerReport('newer')?.state, 'ok');
    host.network.setPeer(fakePeer(1, { revision: 8n }));
    await host.plane.apply();
    assert.equal(host.network.peerReport('10.3.1.0-24')?.state, 'ok');
    host.network.removePeer('newer');
    await host.plane.apply();
    assert.equal(host.show(), IN_SYNC);
  });

  test('a subnet inside that of another peer is a route of its own', async () => {
    await using host = new FakeHost();
    const inner = fakePath(9, Prefix.parse('10.3.1.128/25'));
    await host.begin([...PEERS, { key: 'inner', revision: 1n, paths: [inner] }]);
    assert.equal(host.network.peerReport('inner')?.state, 'ok');
    host.network.removePeer('10.3.1.0-24');
    await host.plane.apply();
    assert.equal(host.network.peerReport('inner')?.state, 'ok');
    assert.match(host.show(), /^10\.3\.1\.128\/25 nhid/m);
    assert.doesNotMatch(host.show(), /^10\.3\.1\.0\/24/m);
  });
});
