/**
 * etcd as people run it: three members. One may go, and nobody notices; without a majority there is no leader, and
 * hosts work on with what they know. And the very first start of a host, when there is nothing to be known yet.
 *
 *     agent ---> TcpProxy ---> m0 --- m1 --- m2       m1 and m2 are killed and come back
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Etcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';
import { needsFaultLab } from './fault-host.ts';
import { FaultLab } from './fault-lab.ts';

describe('a cluster of three', needsFaultLab, () => {
  const members: Etcd[] = [];
  const lab = new FaultLab({
    open: async () => {
      members.push(...(await Etcd.cluster(3)));
      return members[0] ?? assert.fail();
    },
  });
  after(() => Promise.all(members.map(member => member[Symbol.asyncDispose]())));
  after(() => lab[Symbol.asyncDispose]());
  before(() => lab.create());

  test('without its majority: reported as such, and survived', async () => {
    const lost = await lab.survive(async () => {
      const [, second, third] = members;
      assert.ok(second && third);
      await second.kill();
      // It may have been the leader: until there is another one, etcd takes nothing.
      const key = await eventually('the other two have a leader', () => lab.putLease(200));
      for (const host of lab.hosts) await host.untilPeer(key, 'ok');
      await lab.deleteLease(key);
      for (const host of lab.hosts) await host.untilPeer(key, 'absent');

      await third.kill();
      for (const host of lab.hosts) {
        // What it asked when the leader went may have failed for another reason.
        const { agent } = await host.until('it misses a leader', ({ conditions }) =>
          conditions.some(({ name, ok, reason = '' }) => name === 'store' && !ok && /no leader/.test(reason)),
        );
        assert.equal(agent.ready, true);
      }
      await second.restart();
      for (const host of lab.hosts) await host.untilCondition('store', true);
      await third.restart();
    });
    assert.equal(lost, 0);
  });
});

describe('a host that knows nothing yet', needsFaultLab, () => {
  test('waits for its store, says so, and goes on by itself', async t => {
    const lab = new FaultLab();
    t.after(() => lab[Symbol.asyncDispose]());
    await lab.create();
    const host = lab.host(1);
    const lost = await lab.survive(async () => {
      await host.killAgent();
      await host.shell('rm -r /var/lib/tulle /run/flannel/subnet.env');
      await host.way.refuse();
      await host.startAgent();
      const { agent } = await host.until('it waits', status => status.agent.state === 'waiting');
      assert.match(agent.reason ?? '', /the store does not answer: .*ECONNREFUSED/);
      await host.way.listen();
    });
    // It does not touch what it does not know.
    assert.equal(lost, 0);
  });
});
