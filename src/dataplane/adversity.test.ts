/** Refusals, rivals, foreign entries, lost announcements: what the data plane does when the world is not as it hopes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/change.ts';
import { FakeKernel } from '../netlink/fake/fake-kernel.ts';
import type { KernelEvent } from '../netlink/rtnetlink.ts';
import type { DesiredPeer, PeerPath } from './desired.ts';
import { damage, damagedKernel, nexthopId, PEERS, WORLD } from './fake-damage.ts';
import { DEVICE, FakeHost, fakePeer } from './fake-host.ts';

function path({ paths: [path] }: DesiredPeer): PeerPath {
  assert.ok(path);
  return path;
}

describe('in adversity', () => {
  for (const type of ['neighbor', 'fdb', 'nexthop', 'route'] as const) {
    // A route that is not removed goes with its next hop.
    for (const gone of type === 'route' ? [false] : [false, true]) {
      for (const code of ['EBUSY', 'ENOMEM', 'ENOBUFS'] as const) {
        test(`does all but one thing when a ${type} ${gone ? 'removal' : 'write'} gets ${code}, then that`, async () => {
          const kernel = await damagedKernel();
          kernel.refuse(code, request => request.type === type && request.gone === gone, 2, 'not now');
          await using host = new FakeHost({}, kernel);
          const result = await host.begin(PEERS);
          assert.equal(result.inSync, false);
          // A route cannot be made without its next hop.
          assert.ok(result.failures.length <= (gone ? 1 : 4), result.failures.join('\n'));
          assert.match(result.failures.join('\n'), /not now/);
          assert.equal(host.plane.peerReport('10.3.1.0-24')?.state, 'ok');
          assert.equal(host.plane.peerReport('10.3.4.0-24')?.state, 'ok');
          await host.pass(2000);
          assert.equal(host.show(), WORLD);
          assert.equal(host.plane.report().inSync, true);
          assert.equal(host.plane.report().lastError, undefined);
        });
      }
    }
  }

  test('says for each peer what is wrong, and tries again after longer and longer waits', async () => {
    await using host = new FakeHost();
    const isPeer2 = (request: KernelEvent) =>
      request.type === 'neighbor' && request.neighbor.ip.toString() === '10.3.2.0';
    host.kernel.refuse('EBUSY', isPeer2, 5, 'table is locked');
    await host.begin(PEERS);
    const report = host.plane.peerReport('10.3.2.0-24');
    assert.equal(report?.state, 'failed');
    assert.match(report.reason ?? '', /table is locked/);
    assert.equal(report.desired.length, 4);
    assert.equal(report.actual.length, 3);
    assert.equal(host.plane.report().failed, 1);
    await host.pass(1000);
    assert.equal(host.plane.report().failed, 1);
    await host.pass(10_000);
    assert.equal(host.plane.peerReport('10.3.2.0-24')?.state, 'ok');
    assert.equal(host.show(), WORLD);
  });

  test('does not mind that what it removes is gone', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const index = await host.index();
    // Nobody has heard of it yet when the peer is removed.
    const path = fakePeer(4).paths[0];
    assert.ok(path);
    await host.others.apply([
      change.deleteRoute({ destination: path.subnet }),
      change.deleteNexthop(nexthopId(4)),
      change.deleteFdb({ index, mac: path.mac }),
      change.deleteNeighbor({ index, ip: path.gateway }),
    ]);
    host.kernel.overrun();
    host.plane.removePeer('10.3.4.0-24');
    const { inSync, failures } = await host.plane.apply();
    assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
  });

  test('compares everything after announcements were lost', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    await damage(host);
    host.kernel.overrun();
    await host.pass(100);
    assert.equal(host.show(), WORLD);
    assert.equal(host.plane.report().lastResync?.reason, 'announcements were lost');
  });

  test('looks again where others wrote at the same time, and takes its own last word for what it is', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const [path] = fakePeer(2, { mac: '02:00:00:00:05:05' }).paths;
    assert.ok(path);
    let interjected = false;
    host.kernel.refuse('EBUSY', request => {
      // The neighbor is deleted just before our own write makes it anew; the news of that comes after our answer.
      if (request.type === 'neighbor' && !interjected) {
        interjected = true;
        host.interject(change.deleteNeighbor({ index: request.neighbor.index, ip: path.gateway }));
      }
      return false;
    });
    host.plane.setPeer({ ...fakePeer(2), paths: [path] });
    assert.equal((await host.plane.apply()).inSync, true);
    await host.pass(1000);
    assert.equal(interjected, true);
    assert.deepEqual(host.repairs, []);
    assert.match(host.show(), /^10\.3\.2\.0 dev flannel\.88 lladdr 02:00:00:00:05:05 PERMANENT$/m);
  });

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
    host.plane.setPeers([fakePeer(2), fakePeer(3)]);
    const { failures } = await host.plane.apply();
    assert.equal(failures.length, 1);
    assert.match(failures[0] ?? '', /route 10\.3\.3\.0\/24 on link 2 proto boot is in the way$/);
    assert.equal(host.plane.peerReport('10.3.2.0-24')?.state, 'ok');
    assert.match(host.show(), /^10\.3\.2\.0\/24 nhid /m);
    assert.match(host.show(), /^10\.3\.3\.0\/24 dev eth0 scope link$/m);
    host.plane.removePeer('10.3.3.0-24');
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^10\.3\.3\.0\/24 dev eth0 scope link$/m);
  });

  test('reads again later when the tables do not hold still', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS.slice(1));
    // The addresses of the device cannot be read, then the next hops.
    host.kernel.interruptDumps(25);
    host.plane.setPeers(PEERS);
    await assert.rejects(host.plane.resync('test'), { code: 'DUMP_INTERRUPTED' });
    assert.equal(host.plane.report().inSync, false);
    await host.pass(2000);
    assert.equal(host.show(), WORLD);
    assert.equal(host.plane.report().inSync, true);
  });

  test('a device that is made anew loses its routes first', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const ends: string[] = [];
    host.kernel.refuse('EBUSY', request => {
      if ('gone' in request && request.gone) ends.push(request.type);
      return false;
    });
    const { links, addresses, sysctls } = host.desired;
    host.plane.setHost({ links: links.map(link => ({ ...link, port: 8472 })), addresses, sysctls });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.deepEqual(ends, ['route', 'route', 'route', 'route', 'link']);
    assert.equal(host.show(), WORLD.replace('dstport 4789', 'dstport 8472'));
    ends.length = 0;
    host.plane.setHost({ links: [], addresses: [], sysctls: [] });
    await host.plane.apply();
    assert.deepEqual(ends, ['route', 'route', 'route', 'route', 'link']);
    assert.equal(host.show(), '');
  });

  test('announcements that are lost while tables are read are made up for', async () => {
    const kernel = new FakeKernel();
    await using rtnetlink = kernel.connect();
    await using host = new FakeHost({ rtnetlink }, kernel);
    await host.begin(PEERS);
    const index = await host.index();
    const { read } = rtnetlink.neighbors;
    rtnetlink.neighbors.read = async (filter, reader) => {
      // The FDB has been read already.
      host.interject(change.deleteFdb({ index, mac: Mac.parse('02:00:00:00:01:01') }));
      kernel.overrun();
      rtnetlink.neighbors.read = read;
      await setImmediate();
      return read(filter, reader);
    };
    await host.plane.resync('test');
    await host.pass(1000);
    assert.equal(host.show(), WORLD);
  });

  test('what others undo before the answer to our request is read is done again', async () => {
    const kernel = new FakeKernel();
    await using rtnetlink = kernel.connect();
    const { apply } = rtnetlink;
    rtnetlink.apply = async changes => {
      const results = await apply(changes);
      // The announcement is heard first.
      for (let turn = 0; turn < 3; turn++) await setImmediate();
      return results;
    };
    await using host = new FakeHost({ rtnetlink }, kernel);
    await host.begin([]);
    const [first, second] = [1, 2].map(n => path(fakePeer(n)).subnet);
    assert.ok(first && second);
    kernel.refuse('EBUSY', request => {
      if (request.type === 'route' && request.route.destination?.equals(second) === true) {
        host.interject(change.deleteRoute({ destination: first }));
      }
      return false;
    });
    host.plane.setPeers(PEERS);
    await host.plane.apply();
    await host.pass(1000);
    assert.equal(host.show(), WORLD);
  });

  test('the device vanishes while it is programmed', async () => {
    await using host = new FakeHost();
    let requests = 0;
    host.kernel.refuse('EBUSY', request => {
      if (request.type === 'nexthop' && ++requests === 2) host.interject(change.deleteLink(DEVICE));
      return false;
    });
    await host.begin(PEERS);
    await host.pass(1000);
    assert.equal(host.show(), WORLD);
    assert.equal(host.plane.report().inSync, true);
  });

  test('a way that others free is taken at once, however long it was blocked', async () => {
    await using host = new FakeHost();
    const destination = Prefix.parse('10.3.2.0/24');
    const underlay = (await host.others.links.get('eth0'))?.index ?? 0;
    await host.others.apply([change.addRoute({ destination, oif: underlay })]);
    assert.match((await host.begin(PEERS)).failures.join(), /is in the way$/);
    await host.pass(300_000);
    assert.match(host.plane.peerReport('10.3.2.0-24')?.reason ?? '', /is in the way$/);
    await host.others.apply([change.deleteRoute({ destination })]);
    await host.pass(100);
    assert.equal(host.show(), WORLD);
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
    assert.equal(host.show(), WORLD);
  });

  test('what is refused for good is asked for again, and nothing is read for it', async () => {
    const kernel = new FakeKernel();
    await using rtnetlink = kernel.connect();
    let dumps = 0;
    const { read } = rtnetlink.fdb;
    rtnetlink.fdb.read = (filter, reader) => {
      dumps++;
      return read(filter, reader);
    };
    await using host = new FakeHost({ rtnetlink, resyncInterval: 1e9 }, kernel);
    const isPeer2 = (request: KernelEvent) =>
      request.type === 'neighbor' && request.neighbor.ip.toString() === '10.3.2.0';
    kernel.refuse('EINVAL', isPeer2, 1000);
    await host.begin(PEERS);
    await host.pass(10_000);
    const before = { dumps, writes: host.plane.report().writes };
    await host.pass(300_000);
    assert.equal(dumps, before.dumps);
    assert.ok(host.plane.report().writes > before.writes);
    assert.equal(host.plane.report().failed, 1);
  });

  test('a number that others take for their next hop is given up', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const underlay = (await host.others.links.get('eth0'))?.index ?? 0;
    const theirs = { id: nexthopId(2), family: 'ipv4' as const, oif: underlay, protocol: 4 };
    const taken = async () => {
      await host.others.apply([change.deleteNexthop(theirs.id), change.addNexthop(theirs)]);
      await host.pass(5000);
      assert.match(host.show(), new RegExp(`^id ${theirs.id} dev eth0 scope link proto static$`, 'm'));
      assert.match(host.show(), new RegExp(`^10\\.3\\.2\\.0/24 nhid (?!${theirs.id} )`, 'm'));
      assert.equal(host.plane.report().inSync, true);
    };
    await taken();
    // While it is needed, and no announcement of it arrives.
    host.plane.removePeer('10.3.2.0-24');
    await host.plane.apply();
    host.plane.setPeer(fakePeer(2));
    await host.plane.apply();
    await taken();
  });

  test('peers that claim the same are told apart by revision, and the loser gets its turn', async () => {
    await using host = new FakeHost();
    const [path] = fakePeer(2).paths;
    assert.ok(path);
    const rival = fakePeer(2, { mac: '02:00:00:00:01:01', underlayIp: '192.168.65.109', revision: 7n });
    // The MAC of peer 1 and the subnet of peer 2.
    await host.begin([...PEERS, { ...rival, key: 'rival' }]);
    assert.match(host.plane.peerReport('10.3.1.0-24')?.reason ?? '', /claimed by rival too/);
    assert.match(host.plane.peerReport('10.3.2.0-24')?.reason ?? '', /claimed by rival too/);
    assert.equal(host.plane.peerReport('rival')?.state, 'ok');
    host.plane.setPeer(fakePeer(1, { revision: 8n }));
    await host.plane.apply();
    assert.equal(host.plane.peerReport('10.3.1.0-24')?.state, 'ok');
    host.plane.removePeer('rival');
    await host.plane.apply();
    assert.equal(host.show(), WORLD);
  });

  test('a subnet inside that of another peer is a route of its own', async () => {
    await using host = new FakeHost();
    const inner = { ...path(fakePeer(9)), subnet: Prefix.parse('10.3.1.128/25') };
    await host.begin([...PEERS, { key: 'inner', revision: 1n, paths: [inner] }]);
    assert.equal(host.plane.peerReport('inner')?.state, 'ok');
    host.plane.removePeer('10.3.1.0-24');
    await host.plane.apply();
    assert.equal(host.plane.peerReport('inner')?.state, 'ok');
    assert.match(host.show(), /^10\.3\.1\.128\/25 nhid/m);
    assert.doesNotMatch(host.show(), /^10\.3\.1\.0\/24/m);
  });
});
