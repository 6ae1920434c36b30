/**
 * A store that stops answering while its connections stay open: it is frozen, or the network swallows one direction.
 * Nothing but unanswered pings shows it, every 10 s with 5 s to answer; containers do not notice at all.
 *
 *     docker1 agent ---> TcpProxy --x        what it sends is swallowed, no error comes back
 *     docker2 agent <--x TcpProxy <--- store what it is sent is swallowed
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsFaultLab } from '../fault-host.ts';
import { useFaultLab } from '../fault-lab.ts';

describe('silence', { ...needsFaultLab, concurrency: true }, () => {
  for (const store of ['etcd', 'tulle'] as const) {
    describe(store, { concurrency: false }, () => {
      const lab = useFaultLab({ store, patience: 60_000 });

      test('of a store that is frozen', async () => {
        const lost = await lab.survive(async () => {
          lab.store.pause();
          for (const host of lab.hosts) {
            const { reason } = await host.untilCondition('store', false);
            assert.match(reason ?? '', /the store does not answer/);
          }
          lab.store.resume();
        });
        assert.equal(lost, 0);
      });

      test('of a network that swallows one direction', async () => {
        const lost = await lab.survive(async () => {
          const [one, two] = [lab.host(1), lab.host(2)];
          one.way.stall('to-server');
          two.way.stall('to-client');
          const key = await lab.putLease(200);
          // Its watch works as before.
          await one.untilPeer(key, 'ok');
          for (const host of lab.hosts) await host.untilCondition('store', false);
          for (const host of lab.hosts) host.way.resume();
          await two.untilPeer(key, 'ok');
          await lab.deleteLease(key);
        });
        assert.equal(lost, 0);
      });

      test('of a network that swallows the answer to a write: it was done, and nobody else is blamed for it', async t => {
        const lost = await lab.survive(async () => {
          const [one, two] = [lab.host(1), lab.host(2)];
          const last = await one.lastEvent();
          const { lease } = await one.client.status();
          one.way.stall('to-client');
          await one.moveTo('192.168.65.33');
          await two.until('it is reported', ({ peers }) =>
            peers.some(p => p.publicIp.ipv4 === '192.168.65.33'),
          );
          const { reason } = await one.untilWarned('LEASE_NOT_PUBLISHED');
          assert.match(reason, /Deadline exceeded|does not answer|Txn/i);
          one.way.resume();
          const events = await one.eventsUntil(last, all => all.some(e => e.type === 'lease-published'));
          await one.until('it knows that it was done', ({ warnings }) => warnings.length === 0);
          await one.moveTo('192.168.65.3');
          await two.until('it is reported', ({ peers }) =>
            peers.some(p => p.publicIp.ipv4 === '192.168.65.3'),
          );
          assert.deepEqual(
            events.filter(({ type }) => /^lease-(lost|overwritten)$/.test(type)),
            [],
          );
          assert.equal((await one.client.status()).lease?.storeLease, lease?.storeLease);
        });
        t.diagnostic(`${lost} packets lost over two moves, ${lost * 20} ms`);
      });
    });
  }
});
