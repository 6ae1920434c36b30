/**
 * A host loses its lease, or another writer takes it. The host's own containers may be cut off for a moment, never
 * for long; those of all others do not notice.
 *
 *     docker1 ==== docker2      c1 to c1, 50 pings a second: none may be lost
 *          \\       //
 *           docker3            its lease is revoked, deleted, overwritten, given away
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import type { AgentEvent } from '../../src/api/messages.ts';
import type { LeaseReport } from '../../src/api/status.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { type FaultHost, needsFaultLab } from './fault-host.ts';
import { useFaultLab } from './fault-lab.ts';

describe('a lease', needsFaultLab, () => {
  const lab = useFaultLab({ hosts: 3 });
  let victim: FaultHost;
  before(() => {
    victim = lab.host(3);
  });

  const leaseOf = async (host: FaultHost): Promise<LeaseReport> => {
    const { lease } = await host.until('it holds a lease', status => status.lease?.ownership === 'held');
    return lease ?? assert.fail();
  };

  /** The victim's events about its lease, from now on until one of this type. */
  const eventsUntil = async (type: string, action: () => Promise<unknown>): Promise<AgentEvent[]> => {
    const last = await victim.lastEvent();
    await action();
    const events = await victim.eventsUntil(last, all => all.some(event => event.type === type));
    return events.filter(event => /^lease-(acquired|lost|overwritten|published)$/.test(event.type));
  };

  const types = (events: readonly AgentEvent[]) => events.map(({ type }) => type);

  for (const { name, action, cause } of [
    {
      name: 'that is revoked',
      action: ({ storeLease = '' }: LeaseReport) => lab.store.ctl('lease', 'revoke', storeLease),
      cause: 'expired',
    },
    {
      name: 'that is deleted',
      action: ({ key }: LeaseReport) => lab.deleteLease(key),
      cause: 'deleted',
    },
  ]) {
    test(`${name} is taken again, the same subnet on a new store lease`, async () => {
      const lost = await lab.survive(async () => {
        const before = await leaseOf(victim);
        const events = await eventsUntil('lease-acquired', () => action(before));
        assert.deepEqual(types(events), ['lease-lost', 'lease-acquired']);
        assert.equal(events[0]?.fields['cause'], cause);
        const now = await leaseOf(victim);
        assert.equal(now.key, before.key);
        assert.notEqual(now.storeLease, before.storeLease);
      });
      assert.equal(lost, 0);
    });
  }

  test('that is overwritten with what is none is written again', async () => {
    const lost = await lab.survive(async () => {
      const { key, storeLease } = await leaseOf(victim);
      const before = await lab.leaseValue(key);
      const events = await eventsUntil('lease-published', () =>
        lab.store.ctl('put', `${NETWORK_PREFIX}/subnets/${key}`, 'no JSON'),
      );
      assert.deepEqual(types(events), ['lease-overwritten', 'lease-published']);
      assert.deepEqual(await lab.leaseValue(key), before);
      assert.deepEqual((await leaseOf(victim)).storeLease, storeLease);
    });
    assert.equal(lost, 0);
  });

  test('that was given away while its host was cut off stays with the heir', async () => {
    const lost = await lab.survive(async () => {
      const { key, storeLease = '' } = await leaseOf(victim);
      const number = Number(key.split('.')[2]);
      await victim.way.refuse();
      await victim.untilCondition('store', false);
      await lab.store.ctl('lease', 'revoke', storeLease);
      await lab.putLease(number, { value: { PublicIP: '192.168.65.200', TulleHost: 'heir' } });
      for (const other of [1, 2]) await lab.host(other).untilPeer(key, 'ok');
      const heir = await lab.leaseValue(key);
      // Something to say, so that it has a reason to write.
      await victim.moveTo('192.168.65.55');
      const { reason } = await victim.untilWarned('LEASE_NOT_PUBLISHED');
      assert.match(reason, new RegExp(key));

      const events = await eventsUntil('lease-acquired', () => victim.way.listen());
      assert.deepEqual(types(events), ['lease-lost', 'lease-acquired']);
      assert.match(events[0]?.text ?? '', /taken, and 192\.168\.65\.200 has it now/);
      assert.deepEqual(await lab.leaseValue(key), heir);
      const now = await leaseOf(victim);
      assert.notEqual(now.key, key);
      for (const other of [1, 2]) {
        await lab
          .host(other)
          .until('the new address is known', ({ peers }) =>
            peers.some(peer => peer.key === now.key && peer.publicIp.ipv4 === '192.168.65.55'),
          );
      }
      // Its own bridge still has the former subnet, until Docker is restarted with the new one.
      await victim.until('the conflict is explained', ({ peers }) => {
        const heirs = peers.find(peer => peer.key === key);
        return heirs?.state === 'failed' && /route .* is in the way/.test(heirs.reason ?? '');
      });
      await lab.deleteLease(key);
      await eventsUntil('lease-published', () => victim.moveTo('192.168.65.5'));
    });
    assert.equal(lost, 0);
  });

  test("that a flannel host with this host's address takes is left to it, and both sides say so", async () => {
    const lost = await lab.survive(async () => {
      const { key } = await leaseOf(victim);
      const number = Number(key.split('.')[2]);
      const events = await eventsUntil('lease-acquired', () =>
        lab.putLease(number, { ttl: 3600, value: { PublicIP: victim.address } }),
      );
      assert.deepEqual(types(events), ['lease-lost', 'lease-acquired']);
      assert.match(events[0]?.text ?? '', new RegExp(`taken, and ${victim.address} has it now`));
      assert.notEqual((await leaseOf(victim)).key, key);
      const { reason } = await victim.untilWarned('DUPLICATE_PUBLIC_IP');
      assert.match(reason, new RegExp(`${key} is not used here`));
      for (const number of [1, 2]) await lab.host(number).untilWarned('SHARED_PUBLIC_IP');
      assert.equal((await lab.leaseValue(key))['TulleHost'], undefined, 'nobody fought over it');
      await lab.deleteLease(key);
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
    });
    assert.equal(lost, 0);
  });

  test('each, for two hosts with one public address: reported on all hosts, and the others keep talking', async () => {
    const lost = await lab.survive(async () => {
      await victim.killAgent();
      await victim.startAgent(`--public-ip=${lab.host(1).address}`);
      const [mine, yours] = [await leaseOf(victim), await leaseOf(lab.host(1))];
      assert.notEqual(mine.key, yours.key);
      const one = await lab.host(1).untilWarned('DUPLICATE_PUBLIC_IP');
      assert.match(one.reason, new RegExp(mine.key));
      assert.match(one.hint ?? '', /--public-ip/);
      const three = await victim.untilWarned('DUPLICATE_PUBLIC_IP');
      assert.match(three.reason, new RegExp(yours.key));
      const two = await lab.host(2).untilWarned('SHARED_PUBLIC_IP');
      assert.match(two.reason, new RegExp(`${mine.key}.*${yours.key}|${yours.key}.*${mine.key}`));
      for (const host of lab.hosts) await host.until('it is ready all the same', s => s.agent.ready);
      await victim.killAgent();
      await victim.startAgent();
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
    });
    assert.equal(lost, 0);
  });

  test('of a host that is a copy of another one, identity and all: both say so, and what ends it', async () => {
    await lab.survive(async () => {
      const original = lab.host(1);
      const path = victim.host.path('/var/lib/tulle/identity.json');
      const own = readFileSync(path);
      const { key } = await leaseOf(original);
      await victim.killAgent();
      copyFileSync(original.host.path('/var/lib/tulle/identity.json'), path);
      await victim.startAgent();
      for (const [host, other] of [
        [original, victim],
        [victim, original],
      ] as const) {
        const { reason, hint } = await host.untilWarned('DUPLICATE_IDENTITY', new RegExp(other.address));
        assert.match(reason, new RegExp(key));
        assert.match(hint ?? '', /identity\.json/);
      }
      await victim.killAgent();
      writeFileSync(path, own);
      await original.killAgent();
      await victim.startAgent();
      await original.startAgent();
      for (const host of lab.hosts) await host.until('no warning is left', s => s.warnings.length === 0);
      assert.equal((await leaseOf(original)).key, key);
    });
  });
});
