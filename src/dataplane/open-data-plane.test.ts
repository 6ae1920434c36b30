import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/change.ts';
import { FakeKernel } from '../netlink/fake/fake-kernel.ts';
import type { KernelEvent } from '../netlink/rtnetlink.ts';
import { DEVICE, FakeHost, fakePeer } from './fake-host.ts';
import { NexthopIds } from './nexthops.ts';

const PEERS = [1, 2, 3, 4].map(n => fakePeer(n));
const ids = new NexthopIds(DEVICE);
const id = (n: number) => ids.of(Ip.parse(`10.3.${n}.0`));

const WORLD = [
  `${DEVICE}: mtu 1450 up link/ether 02:00:00:00:00:01 vxlan id 88 local 192.168.65.3 dev eth0 dstport 4789 nolearning`,
  `${DEVICE} inet 10.3.0.0/32`,
  ...[1, 2, 3, 4].map(n => `10.3.${n}.0 dev ${DEVICE} lladdr 02:00:00:00:01:0${n} PERMANENT`),
  ...[1, 2, 3, 4].map(n => `02:00:00:00:01:0${n} dev ${DEVICE} dst 192.168.65.10${n} self permanent`),
  ...[1, 2, 3, 4]
    .toSorted((a, b) => id(a) - id(b))
    .map(n => `id ${id(n)} via 10.3.${n}.0 dev ${DEVICE} scope link proto 77 onlink`),
  ...[1, 2, 3, 4].map(n => `10.3.${n}.0/24 nhid ${id(n)} via 10.3.${n}.0 dev ${DEVICE} proto 77 onlink`),
].join('\n');

const stray = { mac: Mac.parse('02:00:00:00:09:09'), ip: Ip.parse('10.3.99.0') };

/** Of each kind of entry: peer 1's is right, peer 2's wrong, peer 3's missing, and one more is superfluous. */
async function damage(host: FakeHost): Promise<void> {
  const index = await host.index();
  const [two, three] = [2, 3].map(n => fakePeer(n).paths[0]);
  assert.ok(two && three);
  const onlink = { oif: index, flags: 4, protocol: 77 };
  const results = await host.others.apply([
    change.replaceNeighbor({ index, ip: two.gateway, mac: stray.mac }),
    change.deleteNeighbor({ index, ip: three.gateway }),
    change.replaceNeighbor({ index, ip: stray.ip, mac: stray.mac }),
    change.replaceFdb({ index, mac: two.mac, destination: Ip.parse('192.0.2.1') }),
    change.deleteFdb({ index, mac: three.mac }),
    change.replaceFdb({ index, mac: stray.mac, destination: Ip.parse('192.0.2.1') }),
    change.replaceNexthop({ id: id(2), family: 'ipv4', gateway: Ip.parse('10.3.77.0'), ...onlink }),
    change.replaceRoute({ destination: two.subnet, gateway: Ip.parse('10.3.77.0'), ...onlink, protocol: 3 }),
    // With it goes the route of peer 3.
    change.deleteNexthop(id(3)),
    change.replaceNexthop({ id: 99, family: 'ipv4', gateway: stray.ip, ...onlink }),
    change.replaceRoute({ destination: Prefix.of(stray.ip, 24), nexthopId: 99, protocol: 77 }),
  ]);
  assert.deepEqual(
    results.filter(error => error !== undefined),
    [],
  );
}

/** A kernel that a former data plane has programmed and others have damaged since. */
async function damagedKernel(): Promise<FakeKernel> {
  const kernel = new FakeKernel();
  await using former = new FakeHost({}, kernel);
  await former.begin(PEERS);
  await former.plane[Symbol.asyncDispose]();
  await damage(former);
  return kernel;
}

/** Right, wrong, missing and superfluous entries of four kinds: two writes and a removal for each kind. */
const REPAIRS = 12;

describe('the data plane', () => {
  test('programs an empty kernel', async () => {
    await using host = new FakeHost();
    const result = await host.begin(PEERS);
    assert.deepEqual(result, { inSync: true, writes: 19, failures: [] });
    assert.equal(host.show(), WORLD);
    assert.equal(host.sysctls.get(`net/ipv6/conf/${DEVICE}/accept_ra`), '0');
    assert.deepEqual(host.repairs, []);
  });

  test('at the start writes only what is wrong, missing or superfluous', async () => {
    await using host = new FakeHost({}, await damagedKernel());
    const result = await host.begin(PEERS);
    assert.deepEqual(result, { inSync: true, writes: REPAIRS, failures: [] });
    assert.equal(host.show(), WORLD);
  });

  test('under way does the same by itself, and tells of each repair', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const before = host.writes;
    await damage(host);
    await host.pass(1000);
    assert.equal(host.show(), WORLD);
    assert.equal(host.writes - before, REPAIRS);
    assert.deepEqual(host.plane.report().driftRepairs, { fdb: 3, neighbor: 3, nexthop: 3, route: 3 });
    const told = host.repairs.map(({ object, action, peer = '-' }) => `${object} ${action} ${peer}`);
    assert.deepEqual(
      told.sort(),
      ['fdb', 'neighbor', 'nexthop', 'route'].flatMap(object => [
        `${object} removed -`,
        `${object} replaced 10.3.2.0-24`,
        `${object} restored 10.3.3.0-24`,
      ]),
    );
  });

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
      change.deleteNexthop(id(4)),
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

  test('is not moved by its own echo', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const { writes } = host;
    host.rounds.length = 0;
    await host.pass(60_000);
    assert.equal(host.writes, writes);
    // One look at the echoes that came before their acknowledgements, and no comparison.
    assert.ok(host.rounds.length <= 1);
    assert.equal(host.plane.report().lastResync?.reason, 'start');
    assert.deepEqual(host.repairs, []);
  });

  test('another address of its own is no repair of what others did', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const { links, sysctls, addresses } = host.desired;
    const moved = { ip: Ip.parse('10.3.200.0'), length: 32 };
    host.plane.setHost({ links, sysctls, addresses: addresses.map(own => ({ ...own, address: moved })) });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^flannel\.88 inet 10\.3\.200\.0\/32$/m);
    assert.doesNotMatch(host.show(), /inet 10\.3\.0\.0/);
    assert.deepEqual(host.repairs, []);
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

  test('when idle has one timer, the full comparison, and writes nothing then', async () => {
    await using host = new FakeHost({ resyncInterval: 600_000 });
    await host.begin(PEERS);
    await host.pass(1000);
    const { writes } = host;
    assert.equal(host.clock.sleeping, 1);
    host.rounds.length = 0;
    await host.pass(600_000);
    assert.deepEqual(host.rounds, [{ inSync: true, writes: 0, failures: [] }]);
    assert.equal(host.plane.report().lastResync?.reason, 'timer');
    assert.equal(host.writes, writes);
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

  test('states that come while it works share one further round', async () => {
    await using host = new FakeHost();
    const first = host.begin(PEERS.slice(0, 1));
    host.plane.setPeers(PEERS.slice(0, 2));
    const second = host.plane.apply();
    host.plane.setPeers(PEERS);
    const third = host.plane.apply();
    assert.equal(second, third);
    assert.equal((await first).failures.length, 0);
    assert.equal((await third).inSync, true);
    assert.equal(host.show(), WORLD);
  });

  test('adopts plain routes of flannel on a kernel without next hop objects, and ours there', async () => {
    const kernel = new FakeKernel({ nexthops: false });
    {
      await using former = new FakeHost({}, kernel);
      await former.begin(PEERS);
      assert.match(former.show(), /^10\.3\.2\.0\/24 via 10\.3\.2\.0 dev flannel\.88 proto 77 onlink$/m);
      assert.equal(former.plane.report().nexthopObjects, false);
    }
    await using host = new FakeHost({}, kernel);
    assert.deepEqual(await host.begin(PEERS), { inSync: true, writes: 0, failures: [] });
  });

  test('one peer among many costs its own entries', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    host.plane.setPeer(fakePeer(2, { mac: '02:00:00:00:05:05' }));
    assert.equal((await host.plane.apply()).writes, 3);
    host.plane.setPeer(fakePeer(2, { mac: '02:00:00:00:05:05', revision: 9n }));
    assert.equal((await host.plane.apply()).writes, 0);
    host.plane.setPeer({ ...fakePeer(2), paths: [] });
    assert.equal((await host.plane.apply()).writes, 4);
    assert.deepEqual(host.plane.peerReport('10.3.2.0-24'), {
      key: '10.3.2.0-24',
      state: 'ok',
      desired: [],
      actual: [],
    });
  });
});
