import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { startHolder, startWithLease, stopHolders, stored } from '../../../test/support/holder.ts';
import { flannelAttributes, hostAttributes, IPV4, RegistryFixture } from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { reserve } from '../allocate/reservations.ts';
import { encodeAttributes } from '../lease/attributes.ts';

const HOUR = 3_600_000;
afterEach(stopHolders);

describe('another writer writes to our key', () => {
  test('deleted: taken again at once, on a new store lease', async () => {
    const fixture = new RegistryFixture();
    const { first, lease, events } = await startWithLease(fixture, 3);
    await fixture.store.delete(fixture.registry.pathOf(first.key));
    await fixture.clock.advance(0);
    assert.deepEqual(events, [`lost ${first.key}: deleted`, `acquired ${first.key} by previous subnet`]);
    assert.notEqual(lease()?.storeLease, first.storeLease);
    assert.equal(await fixture.store.timeToLive(first.storeLease), undefined);
  });

  test('the store lease was revoked: the same', async () => {
    const fixture = new RegistryFixture();
    const { first, lease, events } = await startWithLease(fixture, 3);
    await fixture.store.revoke(first.storeLease);
    await fixture.clock.advance(0);
    assert.equal(lease()?.key, first.key);
    assert.match(events.join(), /^lost [^:]*: expired,acquired /);
  });

  test('deleted, and another host was faster: another subnet', async () => {
    const fixture = new RegistryFixture();
    const { first, lease } = await startWithLease(fixture, 3);
    const { store } = fixture;
    const path = fixture.registry.pathOf(first.key);
    const value = new TextEncoder().encode('{"PublicIP":"192.168.65.9","TulleHost":"host-9"}');
    await store.transact({ compare: [], success: [{ op: 'delete', key: path }] });
    await store.put(path, value);
    await fixture.clock.advance(0);
    assert.ok(lease());
    assert.notEqual(lease()?.key, first.key);
    assert.equal((await fixture.owners())[first.key], 'host-9');
  });

  test('a flannel host with our public address takes it: we leave it and write no more', async () => {
    const fixture = new RegistryFixture();
    const { first, lease, events } = await startWithLease(fixture, 3);
    await fixture.put(first.key, flannelAttributes(3), 3600);
    await fixture.clock.advance(HOUR / 2);
    assert.notEqual(lease()?.key, first.key);
    assert.equal(events[0], `lost ${first.key}: taken by 192.168.65.3`);
    assert.deepEqual(await fixture.owners(), {
      [first.key]: '192.168.65.3',
      [lease()?.key ?? '']: 'host-3',
    });
  });

  for (const [name, value] of [
    ['random bytes', '\u0000\u0001 no JSON'],
    ['an address that is none', '{"PublicIP":"1.2.3"}'],
    ['our own id with other data', '{"PublicIP":"9.9.9.9","PublicIPv6":null,"TulleHost":"host-3"}'],
  ] as const) {
    test(`${name}: our value is written again`, async () => {
      const fixture = new RegistryFixture();
      const { first, lease, events } = await startWithLease(fixture, 3);
      await fixture.put(first.key, value, 600);
      await fixture.clock.advance(0);
      const now = await stored(fixture, first.key);
      assert.deepEqual(now.attributes, hostAttributes(3));
      assert.equal(now.storeLease, first.storeLease);
      assert.deepEqual(lease(), now);
      assert.deepEqual(events, [`overwritten ${first.key}`, `published ${first.key}`]);
    });
  }

  test('while reading it fails: it is read again when that works', async () => {
    const fixture = new RegistryFixture();
    const { store, first } = await startWithLease(fixture, 3);
    store.interfere(op => (op === 'get' ? 'refuse' : 'pass'));
    await fixture.put(first.key, 'garbage', 600);
    await fixture.clock.advance(1000);
    store.interfere(() => 'pass');
    await fixture.clock.advance(15_000);
    assert.deepEqual((await stored(fixture, first.key)).attributes, hostAttributes(3));
  });

  test('in another cluster, by chance at the same revision: it is not taken for ours', async () => {
    const fixture = new RegistryFixture();
    const { store, first, lease, events } = await startWithLease(fixture, 3);
    store.cut();
    fixture.database.reset();
    await fixture.put(first.key, hostAttributes(9));
    assert.equal((await stored(fixture, first.key)).modRevision, first.modRevision);
    store.heal();
    await fixture.clock.advance(0);
    assert.ok(events.includes(`lost ${first.key}: taken by 192.168.65.9`));
    assert.notEqual(lease()?.key, first.key);
  });

  // C1
  for (const [name, reservation] of [
    ['an expiring lease', undefined],
    ['a reservation', '10.5.200.0-24'],
  ] as const) {
    test(`C1: two hosts that nothing distinguishes write to ${name} ever more slowly, and report it`, async () => {
      const fixture = new RegistryFixture();
      if (reservation !== undefined) await fixture.put(reservation, { publicIp: {}, hostId: 'host-3' });
      const one = await startWithLease(fixture, 3);
      // Without a limit they would keep writing, and the clock would never move.
      let calls = 0;
      one.store.interfere(() => (++calls > 1000 ? 'refuse' : 'pass'));
      const attributes = {
        ...hostAttributes(3),
        backendData: { ipv4: { VNI: 88, VtepMAC: '02:00:00:00:00:33' } },
      };
      const twin = await startHolder(fixture, 3, { attributes });
      const before = fixture.database.revision;
      await fixture.clock.advance(600_000);
      const writes = Number(fixture.database.revision - before);
      assert.ok(writes > 4 && writes < 60, `${writes} writes in ten minutes`);
      for (const { events, holder } of [one, twin]) {
        assert.ok(events.includes(`overwritten ${one.first.key}`));
        assert.equal(`${holder.state.value.otherWriter?.address}`, '192.168.65.3');
      }
      await twin.stop();
      await fixture.clock.advance(600_000);
      assert.equal(one.holder.state.value.otherWriter, undefined, 'who gave up is no other writer');
      assert.deepEqual((await stored(fixture, one.first.key)).attributes, {
        ...hostAttributes(3),
        ...(reservation !== undefined && { reserved: true }),
      });
    });
  }

  test('C6: a deletion is answered at once, also while the host backs off', async () => {
    const fixture = new RegistryFixture();
    const { first, events, lease } = await startWithLease(fixture, 3);
    const otherWriter = encodeAttributes({
      ...hostAttributes(3),
      publicIp: byFamily(Ip.parse('192.168.65.33')),
    });
    for (let round = 0; round < 12; round++) {
      await fixture.store.put(fixture.registry.pathOf(first.key), otherWriter, { lease: first.storeLease });
      await fixture.clock.advance(61_000);
    }
    await fixture.store.put(fixture.registry.pathOf(first.key), otherWriter, { lease: first.storeLease });
    await fixture.clock.advance(0);
    events.splice(0);
    await fixture.store.delete(fixture.registry.pathOf(first.key));
    await fixture.clock.advance(0);
    assert.deepEqual(events, [`lost ${first.key}: deleted`, `acquired ${first.key} by previous subnet`]);
    assert.deepEqual(lease(), await stored(fixture, first.key));
  });

  test('a host that backs off publishes changes of its own all the same', async () => {
    const fixture = new RegistryFixture();
    const { first, holder } = await startWithLease(fixture, 3);
    const otherWriter = { ...hostAttributes(3), publicIp: byFamily(Ip.parse('192.168.65.33')) };
    for (let round = 0; round < 12; round++) {
      await fixture.store.put(fixture.registry.pathOf(first.key), encodeAttributes(otherWriter), {
        lease: first.storeLease,
      });
      await fixture.clock.advance(61_000);
    }
    await fixture.store.put(fixture.registry.pathOf(first.key), encodeAttributes(otherWriter), {
      lease: first.storeLease,
    });
    await fixture.clock.advance(1_000);
    assert.deepEqual((await stored(fixture, first.key)).attributes, otherWriter, 'it holds back');
    const moved = { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) };
    holder.update({ attributes: moved });
    await fixture.clock.advance(0);
    assert.deepEqual((await stored(fixture, first.key)).attributes, moved);
  });

  for (const [name, value] of [
    ['as it is', hostAttributes(3)],
    ["as flannel's documents pin a subnet", { publicIp: byFamily(Ip.parse('192.168.65.3')) }],
    ['with nothing', { publicIp: {} }],
    ['with something that is not a lease', 'no JSON'],
  ] as const) {
    test(`C2: put without expiry, ${name}: it expires again, and that is reported`, async () => {
      const fixture = new RegistryFixture();
      const { first, holder, events } = await startWithLease(fixture, 3);
      await fixture.put(first.key, value);
      await fixture.clock.advance(0);
      const now = await stored(fixture, first.key);
      assert.equal(now.storeLease, first.storeLease);
      assert.deepEqual(now.attributes, hostAttributes(3));
      assert.deepEqual(events, [`overwritten ${first.key}`, `published ${first.key}`]);
      assert.ok(holder.state.value.deadline !== undefined);
    });
  }

  test('C2: put without expiry while its host is down: it expires again when the host is back', async () => {
    const fixture = new RegistryFixture();
    const { first, stop } = await startWithLease(fixture, 3);
    await stop();
    await fixture.put(first.key, hostAttributes(3));
    const { lease, events } = await startHolder(fixture, 3);
    assert.deepEqual(events, [`acquired ${first.key} by host id`]);
    assert.notEqual(lease()?.storeLease, 0n);
    assert.deepEqual(await stored(fixture, first.key), lease());
  });

  test('reserved on purpose: it is a reservation from now on, whatever is put over it', async () => {
    const fixture = new RegistryFixture();
    const { first, holder, events } = await startWithLease(fixture, 3);
    const result = await reserve(fixture.registry, IPV4, first.subnet, { publicIp: {}, hostId: 'host-3' });
    assert.equal(result.ok, true);
    await fixture.clock.advance(48 * HOUR);
    assert.deepEqual(events, [`reserved ${first.key}`]);
    assert.equal(holder.state.value.deadline, undefined);
    assert.equal(await fixture.store.timeToLive(first.storeLease), undefined);
    holder.update({ attributes: { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) } });
    await fixture.clock.advance(0);
    for (const value of ['no JSON', hostAttributes(3)]) {
      await fixture.put(first.key, value, 3600);
      await fixture.clock.advance(60_000);
      const { storeLease, attributes } = await stored(fixture, first.key);
      assert.deepEqual([storeLease, attributes.reserved], [0n, true]);
    }
  });
});
