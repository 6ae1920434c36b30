/** The kernel says no, or cannot be read: one entry that fails holds up no other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { change } from '../netlink/route/change.ts';
import type { KernelEvent } from '../netlink/route/rtnetlink.ts';
import { damagedKernel, IN_SYNC, nexthopId, PEERS } from '../testing/dataplane/fake-damage.ts';
import { FakeHost, fakePeer, macOf } from '../testing/dataplane/fake-host.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';

describe('what is refused', () => {
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
          assert.equal(host.network.peerReport('10.3.1.0-24')?.state, 'ok');
          assert.equal(host.network.peerReport('10.3.4.0-24')?.state, 'ok');
          await host.pass(2000);
          assert.equal(host.show(), IN_SYNC);
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
    const report = host.network.peerReport('10.3.2.0-24');
    assert.equal(report?.state, 'failed');
    assert.match(report.reason ?? '', /table is locked/);
    assert.equal(report.desired.length, 4);
    assert.equal(report.actual.length, 3);
    assert.equal(host.plane.report().failed, 1);
    await host.pass(1000);
    assert.equal(host.plane.report().failed, 1);
    await host.pass(10_000);
    assert.equal(host.network.peerReport('10.3.2.0-24')?.state, 'ok');
    assert.equal(host.show(), IN_SYNC);
  });

  test('does not mind that what it removes is gone', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const index = await host.index();
    // The loss is not known yet when the peer is removed.
    const path = fakePeer(4).paths[0];
    assert.ok(path);
    await host.others.apply([
      change.deleteRoute({ destination: path.subnet }),
      change.deleteNexthop(nexthopId(4)),
      change.deleteFdb({ index, mac: macOf(path) }),
      change.deleteNeighbor({ index, ip: path.subnet.ip }),
    ]);
    host.kernel.overrun();
    host.network.removePeer('10.3.4.0-24');
    const { inSync, failures } = await host.plane.apply();
    assert.deepEqual({ inSync, failures }, { inSync: true, failures: [] });
  });

  test('reads again later when the tables do not hold still', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS.slice(1));
    // The addresses of the device cannot be read, then the next hops.
    host.kernel.interruptDumps(25);
    host.network.setPeers(PEERS);
    await assert.rejects(host.plane.resync('test'), { code: 'DUMP_INTERRUPTED' });
    assert.equal(host.plane.report().inSync, false);
    await host.pass(2000);
    assert.equal(host.show(), IN_SYNC);
    assert.equal(host.plane.report().inSync, true);
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
});
