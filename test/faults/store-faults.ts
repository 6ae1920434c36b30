/**
 * What a store can do to the hosts that use it, and what they must make of it. The same cases run with etcd and
 * with Tulle's own store.
 *
 *     docker1 agent ---> TcpProxy ---+
 *                                    +---> store: killed, emptied, set back, compacted, full, slow, flapping
 *     docker2 agent ---> TcpProxy ---+
 *
 *     c1 on docker1 ---- 50 pings a second ----> c1 on docker2
 *
 * A store is not on the way of any packet, so none may be lost.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Status } from '../../src/api/status.ts';
import { eventually } from '../support/eventually.ts';
import { needsFaultLab } from './fault-host.ts';
import { type StoreKind, useFaultLab } from './fault-lab.ts';

/** What of a peer does not depend on who has asked it lately. */
const programmed = ({ key, state, desired, actual }: Status['peers'][number]) => ({
  key,
  state,
  desired,
  actual,
});

export function storeFaults(kind: StoreKind): void {
  describe(`hosts that use ${kind}`, needsFaultLab, () => {
    const lab = useFaultLab({ store: kind });

    test('the store crashes: the status says since when and why; an agent that restarts meanwhile knows its peers', async () => {
      const lost = await lab.survive(async () => {
        const [one, two] = [lab.host(1), lab.host(2)];
        const before = await one.client.status();
        for (const key of await lab.leaseKeys()) for (const host of lab.hosts) await host.untilKnown(key);
        const crash = new Date().toISOString();
        await lab.store.kill();
        for (const host of lab.hosts) {
          const { since, reason, hint } = await host.untilCondition('store', false);
          assert.ok(since >= crash && since <= new Date().toISOString());
          assert.match(reason ?? '', /the store does not answer: .*127\.0\.0\.1:2379/);
          assert.ok(hint);
          const { agent } = await host.client.status();
          assert.deepEqual([agent.state, agent.ready], ['degraded', true]);
        }
        await one.killAgent();
        await one.startAgent();
        const alone = await one.until('it has what it knew', status => status.agent.ready);
        assert.deepEqual(alone.peers.map(programmed), before.peers.map(programmed));
        assert.equal(alone.dataplane.writes, 0, 'the kernel was right');
        assert.deepEqual([alone.store.connected, alone.store.cached], [false, true]);
        assert.deepEqual([alone.lease?.key, alone.lease?.ownership], [before.lease?.key, 'unconfirmed']);
        await two.killAgent();
        await two.startAgent();
        await lab.store.restart();
        const { lease } = await one.until('the lease is confirmed', s => s.lease?.ownership === 'held');
        assert.equal(lease?.storeLease, before.lease?.storeLease);
      });
      assert.equal(lost, 0);
    });

    test('connections flap: nothing is written, and no news is missed', async () => {
      const lost = await lab.survive(async () => {
        const before = await Promise.all(lab.hosts.map(host => host.client.status()));
        for (let round = 0; round < 5; round++) {
          for (const { way } of lab.hosts) {
            if (round % 2 === 0) way.reset();
            else await way.refuse().then(() => way.listen());
          }
          const key = await lab.putLease(200 + round);
          for (const host of lab.hosts) await host.untilPeer(key, 'ok');
          await lab.deleteLease(key);
          for (const host of lab.hosts) await host.untilPeer(key, 'absent');
        }
        await lab.whole();
        for (const [index, host] of lab.hosts.entries()) {
          const { dataplane, lease } = await host.client.status();
          // Each lease came with four entries and took them along.
          assert.equal(dataplane.writes, (before[index]?.dataplane.writes ?? 0) + 5 * 8);
          assert.equal(lease?.storeLease, before[index]?.lease?.storeLease);
        }
      });
      assert.equal(lost, 0);
    });

    test('connections are half closed by the other side: new ones are made', async () => {
      const lost = await lab.survive(async () => {
        for (const { way } of lab.hosts) way.halfClose('to-client');
        const key = await lab.putLease(200);
        for (const host of lab.hosts) await host.untilPeer(key, 'ok');
        await lab.deleteLease(key);
      });
      assert.equal(lost, 0);
    });

    test('the store is slow: that is no fault', async () => {
      const lost = await lab.survive(async () => {
        const accepted = lab.hosts.map(({ way }) => way.accepted);
        for (const { way } of lab.hosts) way.delay(300);
        const key = await lab.putLease(200);
        for (const host of lab.hosts) await host.untilPeer(key, 'ok');
        await lab.deleteLease(key);
        for (const host of lab.hosts) await host.untilPeer(key, 'absent');
        assert.deepEqual(
          lab.hosts.map(({ way }) => way.accepted),
          accepted,
        );
        for (const { way } of lab.hosts) way.delay(0);
      });
      assert.equal(lost, 0);
    });

    test('history is compacted behind a host that is cut off: it learns exactly what is different', async () => {
      const lost = await lab.survive(async () => {
        const [one, two] = [lab.host(1), lab.host(2)];
        const [gone, stays] = [await lab.putLease(200), await lab.putLease(201)];
        for (const host of lab.hosts) for (const key of [gone, stays]) await host.untilPeer(key, 'ok');
        await one.way.refuse();
        await one.untilCondition('store', false);
        await lab.deleteLease(gone);
        const comes = await lab.putLease(202);
        await two.untilPeer(comes, 'ok');
        await two.untilPeer(gone, 'absent');
        await lab.compact();
        assert.deepEqual(
          (await one.client.status()).peers.filter(({ key }) => key === gone || key === comes).length,
          1,
          'an error never means "gone"',
        );
        await one.way.listen();
        await one.untilPeer(comes, 'ok');
        await one.untilPeer(gone, 'absent');
        await one.untilPeer(stays, 'ok');
        for (const key of [stays, comes]) await lab.deleteLease(key);
      });
      assert.equal(lost, 0);
    });

    test("a peer's lease ends: who is cut off keeps it until the store says so", async () => {
      const lost = await lab.survive(async () => {
        const [one, two] = [lab.host(1), lab.host(2)];
        const key = await lab.putLease(200);
        for (const host of lab.hosts) await host.untilPeer(key, 'ok');
        await one.way.refuse();
        await one.untilCondition('store', false);
        // The same again, and from now on it has an end, which must not come before it is written.
        await lab.putLease(200, { ttl: 10 });
        await two.untilPeer(key, 'absent');
        await one.untilPeer(key, 'ok');
        await one.way.listen();
        await one.untilPeer(key, 'absent');
      });
      assert.equal(lost, 0);
    });

    test('the store comes back empty: every lease is written again, and nobody lost a peer', async () => {
      const lost = await lab.survive(async () => {
        const before = await lab.leaseKeys();
        const status = await lab.host(1).client.status();
        await lab.store.restart({ empty: true });
        await eventually(
          'both leases are back',
          async () => (await lab.leaseKeys()).join() === before.join(),
        );
        const { reason } = await lab.host(1).untilWarned('CONFIG_REFUSED');
        assert.match(reason, /the store has no network configuration/);
        await lab.host(1).until('it has its lease again', s => s.agent.ready);
        await lab.configure();
        await lab.whole();
        const after = await lab.host(1).client.status();
        assert.equal(after.dataplane.writes, status.dataplane.writes);
      });
      assert.equal(lost, 0);
    });

    test('the store is restored to an older revision: what it forgot stays until it is said anew', async t => {
      const directory = await mkdtemp(join(tmpdir(), 'tt-snapshot-'));
      t.after(() => rm(directory, { recursive: true }));
      const lost = await lab.survive(async () => {
        const ended = await lab.putLease(200);
        const snapshot = join(directory, 'store.db');
        await lab.store.ctl('snapshot', 'save', snapshot);
        await lab.deleteLease(ended);
        const forgotten = await lab.putLease(201);
        // So that revisions alone do not show that the store went back.
        for (const host of lab.hosts) await host.untilPeer(forgotten, 'ok');
        await lab.store.restore(snapshot);
        for (const host of lab.hosts) {
          await host.untilPeer(ended, 'ok');
          const { reason } = await host.untilWarned('PEERS_KEPT');
          assert.match(reason, new RegExp(`${forgotten}$`));
          await host.untilPeer(forgotten, 'ok');
        }
        for (const key of [await lab.putLease(201), ended]) await lab.deleteLease(key);
      });
      assert.equal(lost, 0);
    });

    test('the store is full: who has to say something new says that it cannot', async () => {
      await lab.survive(async () => {
        const [one, two] = [lab.host(1), lab.host(2)];
        await assert.rejects(lab.fill(), /database space exceeded/);
        assert.match(await lab.store.ctl('alarm', 'list'), /NOSPACE/);
        await one.moveTo('192.168.65.33');
        const { reason: why } = await one.untilWarned('LEASE_NOT_PUBLISHED');
        assert.match(why, /database space exceeded/);
        assert.equal((await one.client.status()).agent.state, 'degraded');
        const { lease } = await two.client.status();
        await lab.store.ctl('lease', 'revoke', lease?.storeLease ?? '');
        await two.until('it waits for a lease, and says why', ({ conditions }) =>
          conditions.some(({ name, ok, reason = '', hint = '' }) => {
            return (
              name === 'lease' && !ok && reason.includes('space exceeded') && hint.includes('defragment')
            );
          }),
        );
        await lab.makeRoom();
        await two.until('it is reported', ({ peers }) =>
          peers.some(p => p.publicIp.ipv4 === '192.168.65.33'),
        );
        await one.moveTo('192.168.65.3');
      });
    });
  });
}
