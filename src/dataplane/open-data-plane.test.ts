import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { damage, damagedKernel, IN_SYNC, PEERS, REPAIRS } from '../testing/dataplane/fake-damage.ts';
import { DEVICE, FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';
import { FakeKernel } from '../testing/netlink/fake-kernel.ts';

describe('the data plane', () => {
  test('programs an empty kernel', async () => {
    await using host = new FakeHost();
    const result = await host.begin(PEERS);
    assert.deepEqual(result, { inSync: true, writes: 19, failures: [] });
    assert.equal(host.show(), IN_SYNC);
    assert.equal(host.sysctls.get(`net/ipv6/conf/${DEVICE}/accept_ra`), '0');
    assert.deepEqual(host.repairs, []);
  });

  test('at the start writes only what is wrong, missing or superfluous', async () => {
    await using host = new FakeHost({}, await damagedKernel());
    const result = await host.begin(PEERS);
    assert.deepEqual(result, { inSync: true, writes: REPAIRS, failures: [] });
    assert.equal(host.show(), IN_SYNC);
  });

  test('in operation does the same by itself, and reports each repair', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const before = host.writes;
    await damage(host);
    await host.pass(1000);
    assert.equal(host.show(), IN_SYNC);
    assert.equal(host.writes - before, REPAIRS);
    assert.deepEqual(host.plane.report().driftRepairs, { fdb: 3, neighbor: 3, nexthop: 3, route: 3 });
    const reported = host.repairs.map(({ object, action, peer = '-' }) => `${object} ${action} ${peer}`);
    assert.deepEqual(
      reported.sort(),
      ['fdb', 'neighbor', 'nexthop', 'route'].flatMap(object => [
        `${object} removed -`,
        `${object} replaced 10.3.2.0-24`,
        `${object} restored 10.3.3.0-24`,
      ]),
    );
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

  // G3: what sysctls say is asked once for each change of one, not for each lease.
  test('reports with a round whether settings may have changed since the last one', async () => {
    const reported: boolean[] = [];
    await using host = new FakeHost({ onRound: (_, settingsChanged) => reported.push(settingsChanged) });
    await host.begin(PEERS);
    await host.pass(1000);
    reported.length = 0;
    host.network.setPeer(fakePeer(7));
    await host.plane.apply();
    assert.deepEqual(reported, [false]);
    await host.plane.resync('asked for');
    assert.deepEqual(reported, [false, true]);
  });

  test('another address of its own is no repair of what others did', async () => {
    await using host = new FakeHost();
    await host.begin(PEERS);
    const { addresses, ...rest } = host.desired;
    const moved = { ip: Ip.parse('10.3.200.0'), length: 32 };
    host.network.setHost({ ...rest, addresses: addresses.map(own => ({ ...own, address: moved })) });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^flannel\.88 inet 10\.3\.200\.0\/32 scope global flannel\.88$/m);
    assert.doesNotMatch(host.show(), /inet 10\.3\.0\.0/);
    assert.deepEqual(host.repairs, []);
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

  test('states that come while it works share one further round', async () => {
    await using host = new FakeHost();
    const first = host.begin(PEERS.slice(0, 1));
    host.network.setPeers(PEERS.slice(0, 2));
    const second = host.plane.apply();
    host.network.setPeers(PEERS);
    const third = host.plane.apply();
    assert.equal(second, third);
    assert.equal((await first).failures.length, 0);
    assert.equal((await third).inSync, true);
    assert.equal(host.show(), IN_SYNC);
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
    host.network.setPeer(fakePeer(2, { mac: '02:00:00:00:05:05' }));
    assert.equal((await host.plane.apply()).writes, 3);
    host.network.setPeer(fakePeer(2, { mac: '02:00:00:00:05:05', revision: 9n }));
    assert.equal((await host.plane.apply()).writes, 0);
    host.network.setPeer({ ...fakePeer(2), paths: [] });
    assert.equal((await host.plane.apply()).writes, 4);
    assert.deepEqual(host.network.peerReport('10.3.2.0-24'), {
      key: '10.3.2.0-24',
      state: 'ok',
      links: [],
      desired: [],
      actual: [],
    });
  });
});
