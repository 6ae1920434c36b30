/** Others change the kernel while we read and write it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { change } from '../netlink/route/change.ts';
import { damage, IN_SYNC, PEERS } from '../testing/dataplane/fake-damage.ts';
import { DEVICE, FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';
import type { DesiredPeer, PeerPath } from './desired.ts';

function path({ paths: [path] }: DesiredPeer): PeerPath {
  assert.ok(path);
  return path;
}

describe('at the same time', () => {
  test('compares everything after announcements were lost', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    await damage(host);
    host.kernel.overrun();
    await host.pass(100);
    assert.equal(host.show(), IN_SYNC);
    assert.equal(host.plane.report().lastResync?.reason, 'notifications were lost');
  });

  test('looks again where others wrote at the same time, and recognizes its own last write', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const [path] = fakePeer(2, { mac: '02:00:00:00:05:05' }).paths;
    assert.ok(path);
    let interjected = false;
    host.kernel.refuse('EBUSY', request => {
      // The neighbor is deleted just before our own write makes it anew; the event of that comes after our answer.
      if (request.type === 'neighbor' && !interjected) {
        interjected = true;
        host.interject(change.deleteNeighbor({ index: request.neighbor.index, ip: path.subnet.ip }));
      }
      return false;
    });
    host.network.setPeer({ ...fakePeer(2), paths: [path] });
    assert.equal((await host.plane.apply()).inSync, true);
    await host.pass(1000);
    assert.equal(interjected, true);
    assert.deepEqual(host.repairs, []);
    assert.match(host.show(), /^10\.3\.2\.0 dev flannel\.88 lladdr 02:00:00:00:05:05 PERMANENT$/m);
  });

  test('a device that is made anew loses its routes first', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const ends: string[] = [];
    host.kernel.refuse('EBUSY', request => {
      if ('gone' in request && request.gone) ends.push(request.type);
      return false;
    });
    const { links, ...rest } = host.desired;
    host.network.setHost({ ...rest, links: links.map(link => ({ ...link, port: 8472 })) });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.deepEqual(ends, ['route', 'route', 'route', 'route', 'link']);
    assert.equal(host.show(), IN_SYNC.replace('dstport 4789', 'dstport 8472'));
    ends.length = 0;
    host.network.setHost({ networks: [], links: [], addresses: [], sysctls: [] });
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
    assert.equal(host.show(), IN_SYNC);
  });

  test('what others undo before the answer to our request is read is done again', async () => {
    const kernel = new FakeKernel();
    await using rtnetlink = kernel.connect();
    const { apply } = rtnetlink;
    rtnetlink.apply = async changes => {
      const results = await apply(changes);
      // The announcement is seen first.
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
    host.network.setPeers(PEERS);
    await host.plane.apply();
    await host.pass(1000);
    assert.equal(host.show(), IN_SYNC);
  });

  test('addresses that come and go while the device is looked at are repaired', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const index = await host.index();
    const [own, stray] = ['10.3.0.0', '10.3.91.0'].map(text => ({ index, ip: Ip.parse(text), length: 32 }));
    assert.ok(own && stray);
    const actions = [change.replaceAddress(stray), change.deleteAddress(own)];
    host.kernel.refuse('EBUSY', request => {
      // Between the two looks at the addresses of the device it is set up.
      if (request.type === 'link' && request.link.up)
        for (const action of actions.splice(0)) host.interject(action);
      return false;
    });
    await host.others.links.change(index, { up: false });
    await host.pass(1000);
    assert.equal(actions.length, 0);
    assert.equal(host.show(), IN_SYNC);
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
    assert.equal(host.show(), IN_SYNC);
    assert.equal(host.plane.report().inSync, true);
  });
});
