import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { startHolder, startWithLease, stopHolders, stored } from '../../../test/support/holder.ts';
import {
  configOf,
  flannelAttributes,
  hostAttributes,
  IPV4,
  RegistryFixture,
  SMALL,
} from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { StoreError } from '../../store/store.ts';
import type { Lease } from '../lease/lease.ts';
import { LeaseHolder } from './lease-holder.ts';

const HOUR = 3_600_000;
afterEach(stopHolders);

describe('a lease is held', () => {
  test('for months, by keep-alives of the same store lease at most every third of its time, without a write', async () => {
    const fixture = new RegistryFixture();
    const { first, holder, events, calls } = await startWithLease(fixture, 3);
    const before = fixture.database.revision;
    await fixture.clock.advance(60 * 24 * HOUR);
    assert.equal(fixture.database.revision, before);
    assert.deepEqual(await stored(fixture, first.key), first);
    assert.deepEqual(events, []);
    const renewals = calls.filter(call => call === 'keepAlive').length;
    assert.ok(renewals >= 180 && renewals <= 226, `${renewals}`);
    assert.deepEqual([...new Set(calls)], ['keepAlive']);
    assert.equal(holder.state.value.ownership, 'held');
  });

  test('its deadline is before the end of the store lease', async () => {
    const fixture = new RegistryFixture();
    const { holder } = await startWithLease(fixture, 3, { ttl: 60 });
    assert.equal(holder.state.value.deadline, 54_000);
    await fixture.clock.advance(18_000);
    assert.equal(holder.state.value.deadline, 72_000);
  });

  test('a margin that leaves less than a third of its time is kept', async () => {
    const fixture = new RegistryFixture();
    const { calls } = await startWithLease(fixture, 3, { ttl: 1000, renewMargin: 900_000 });
    await fixture.clock.advance(1000_000);
    const renewals = calls.filter(call => call === 'keepAlive').length;
    assert.ok(renewals >= 10 && renewals <= 13, `${renewals}`);
  });

  test('hosts that started together do not renew together', async () => {
    const fixture = new RegistryFixture();
    const times = new Set<number>();
    for (let number = 1; number <= 10; number++) {
      const host = await startWithLease(fixture, number, { random: () => number / 11, ttl: 3000 });
      host.store.interfere(op => {
        if (op === 'keepAlive') times.add(fixture.clock.monotonic());
        return 'pass';
      });
    }
    await fixture.clock.advance(1000_000);
    assert.equal(times.size, 10);
    assert.ok(Math.min(...times) >= 800_000 && Math.max(...times) <= 1000_000);
  });

  test('after a stop it stays in the store, and a new start takes it without a write', async () => {
    const fixture = new RegistryFixture();
    const { first, stop } = await startWithLease(fixture, 3);
    await stop();
    const before = fixture.database.revision;
    await fixture.clock.advance(HOUR);
    const again = await startHolder(fixture, 3);
    assert.deepEqual(again.events, [`acquired ${first.key} by host id`]);
    assert.deepEqual(again.lease(), first);
    assert.equal(fixture.database.revision, before);
  });

  test('a release gives it back, and only it', async () => {
    const fixture = new RegistryFixture();
    const other = await startWithLease(fixture, 4);
    const { first, holder, stop } = await startWithLease(fixture, 3);
    await stop();
    assert.equal((await holder.release())?.key, first.key);
    assert.deepEqual(Object.keys(await fixture.owners()), [other.first.key]);
    assert.equal(holder.state.value.lease, undefined);
  });
});

describe('changes are published', () => {
  test('by one guarded write on the same store lease', async () => {
    const fixture = new RegistryFixture();
    const { first, holder, events } = await startWithLease(fixture, 3);
    const attributes = { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) };
    holder.update({ attributes });
    await fixture.clock.advance(0);
    const now = await stored(fixture, first.key);
    assert.deepEqual(now.attributes, attributes);
    assert.equal(now.storeLease, first.storeLease);
    assert.deepEqual(events, [`published ${first.key}`]);
    assert.deepEqual(holder.state.value.lease, now);
    const before = fixture.database.revision;
    holder.update({ attributes });
    await fixture.clock.advance(0);
    assert.equal(fixture.database.revision, before);
  });

  test('of a change and its change back during an outage, nothing is written', async () => {
    const fixture = new RegistryFixture();
    const { store, holder, events } = await startWithLease(fixture, 3);
    const before = fixture.database.revision;
    store.cut();
    holder.update({ attributes: { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) } });
    await fixture.clock.advance(1000);
    holder.update({ attributes: hostAttributes(3) });
    store.heal();
    await fixture.clock.advance(60_000);
    assert.equal(fixture.database.revision, before);
    assert.deepEqual(events, ['store-failed', 'store-recovered']);
  });

  test('a write whose answer is lost is not written twice', async () => {
    const fixture = new RegistryFixture();
    const { store, first, holder, events } = await startWithLease(fixture, 3);
    store.interfere(op => (op === 'transact' ? 'lose answer' : 'pass'));
    holder.update({ attributes: { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) } });
    await fixture.clock.advance(0);
    store.interfere(() => 'pass');
    const written = await stored(fixture, first.key);
    await fixture.clock.advance(60_000);
    assert.deepEqual(await stored(fixture, first.key), written);
    // Nor is it taken for the lease of another host.
    assert.deepEqual(events, ['store-failed', `published ${first.key}`, 'store-recovered']);
    assert.deepEqual([holder.state.value.lease, holder.state.value.published], [written, true]);
  });

  test('a write whose answer is lost, and that is out of date when it is found, is not taken for another writer', async () => {
    const fixture = new RegistryFixture();
    const { store, first, holder, events } = await startWithLease(fixture, 3);
    store.interfere(op => (op === 'transact' ? 'lose answer' : op === 'get' ? 'refuse' : 'pass'));
    holder.update({ attributes: { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) } });
    await fixture.clock.advance(0);
    const attributes = { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.10')) };
    holder.update({ attributes });
    store.interfere(() => 'pass');
    await fixture.clock.advance(60_000);
    assert.deepEqual((await stored(fixture, first.key)).attributes, attributes);
    assert.deepEqual(
      events.filter(event => !event.startsWith('store-')),
      [`published ${first.key}`, `published ${first.key}`],
    );
  });

  test('a new network gives a new subnet; one that still has the old subnet changes nothing', async () => {
    const fixture = new RegistryFixture();
    const { first, holder, events, lease } = await startWithLease(fixture, 3);
    holder.update({ config: configOf({ Network: '10.5.0.0/16', Backend: { Type: 'host-gw' } }) });
    await fixture.clock.advance(0);
    assert.deepEqual(lease(), first);
    holder.update({ config: configOf({ Network: '10.6.0.0/16' }) });
    await fixture.clock.advance(0);
    assert.match(lease()?.key ?? '', /^10\.6\./);
    assert.deepEqual(await fixture.owners(), { [lease()?.key ?? '']: 'host-3' });
    assert.deepEqual(events, [`acquired ${first.key} by host id`, `acquired ${lease()?.key} by new subnet`]);
  });

  test('D2: a host that moves leaves no store lease behind, however often', async () => {
    const fixture = new RegistryFixture();
    const { holder, lease } = await startWithLease(fixture, 3);
    for (const network of ['10.6.0.0/16', '10.7.0.0/16', '10.6.0.0/16']) {
      const { storeLease } = lease() ?? assert.fail('no lease');
      holder.update({ config: configOf({ Network: network }) });
      await fixture.clock.advance(0);
      assert.notEqual(lease()?.storeLease, storeLease);
      assert.equal(fixture.database.timeToLive(storeLease), undefined);
    }
  });
});

describe('an outage of the store', () => {
  test('shorter than the lease changes nothing', async () => {
    const fixture = new RegistryFixture();
    const { store, first, holder, events } = await startWithLease(fixture, 3);
    store.cut();
    await fixture.clock.advance(10 * HOUR);
    assert.equal(holder.state.value.ownership, 'held');
    assert.equal(holder.state.value.failure?.code, 'STORE_UNAVAILABLE');
    store.heal();
    await fixture.clock.advance(1000);
    assert.deepEqual(holder.state.value.lease, first);
    assert.equal(holder.state.value.failure, undefined);
    assert.deepEqual(events, ['store-failed', 'store-recovered']);
  });

  test('longer than the lease: it counts as unconfirmed before the store lets it go, and comes back as it was', async () => {
    const fixture = new RegistryFixture();
    const { store, first, holder, events } = await startWithLease(fixture, 3);
    store.cut();
    await fixture.clock.advance(24 * HOUR - 1);
    assert.deepEqual([holder.state.value.ownership, holder.state.value.lease], ['unconfirmed', first]);
    assert.ok(await fixture.registry.get(first.key));
    await fixture.clock.advance(1000);
    assert.equal(await fixture.registry.get(first.key), undefined);
    store.heal();
    await fixture.clock.advance(1000);
    assert.deepEqual(events, [
      'store-failed',
      `unconfirmed ${first.key}`,
      `lost ${first.key}: expired`,
      'store-recovered',
      `acquired ${first.key} by previous subnet`,
    ]);
    assert.equal(holder.state.value.ownership, 'held');
  });

  test('a host that was cut off never overwrites the one that got its subnet', async () => {
    const fixture = new RegistryFixture();
    const cutOff = await startWithLease(fixture, 3, { config: SMALL });
    cutOff.store.cut();
    cutOff.holder.update({
      attributes: { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) },
    });
    await fixture.clock.advance(25 * HOUR);
    const previous = cutOff.first.subnet;
    const heir = await startWithLease(fixture, 4, { config: SMALL, previous });
    assert.equal(heir.first.key, cutOff.first.key);
    const before = await stored(fixture, heir.first.key);
    cutOff.store.heal();
    await fixture.clock.advance(25 * HOUR);
    assert.deepEqual(await stored(fixture, heir.first.key), before);
    assert.equal(cutOff.events.includes(`lost ${cutOff.first.key}: taken by 192.168.65.4`), true);
    assert.notEqual(cutOff.lease()?.key, heir.first.key);
    assert.deepEqual(
      new Set(Object.keys(await fixture.owners())),
      new Set([cutOff.lease()?.key, heir.first.key]),
    );
    assert.deepEqual(heir.events, []);
  });

  test('at the start: what was known is in use, unconfirmed, until the store answers', async t => {
    const fixture = new RegistryFixture();
    const { first, stop } = await startWithLease(fixture, 3);
    await stop();
    const outage = new StoreError('UNAVAILABLE', 'away');
    const { store, registry } = fixture.connect();
    store.cut(outage);
    const holder = new LeaseHolder(registry, {
      config: IPV4,
      attributes: hostAttributes(3),
      known: first,
      clock: fixture.clock,
    });
    assert.deepEqual(holder.state.value, { lease: first, ownership: 'unconfirmed', published: true });
    const end = new AbortController();
    const ended = holder.run(end.signal);
    t.after(async () => {
      end.abort();
      await ended;
    });
    await fixture.clock.advance(HOUR);
    assert.deepEqual([holder.state.value.lease, holder.state.value.ownership], [first, 'unconfirmed']);
    assert.equal(holder.state.value.failure?.reason, 'away');
    store.heal();
    await fixture.clock.advance(15_000);
    assert.equal(holder.state.value.ownership, 'held');
    assert.deepEqual(holder.state.value.lease, first);
  });

  test('a refusal is reported with its hint and tried again', async () => {
    const fixture = new RegistryFixture();
    const { store, holder, first } = await startWithLease(fixture, 3, { ttl: 60 });
    store.cut(new StoreError('FORBIDDEN', 'permission denied', { hint: 'grant the role' }));
    await fixture.clock.advance(30_000);
    assert.deepEqual(holder.state.value.failure, {
      code: 'STORE_REFUSED',
      reason: 'permission denied',
      hint: 'grant the role',
    });
    store.heal();
    await fixture.clock.advance(16_000);
    assert.deepEqual([holder.state.value.lease, holder.state.value.failure], [first, undefined]);
  });

  test('what failed is tried again as soon as the store answers any request', async () => {
    const fixture = new RegistryFixture();
    const { store, holder } = await startWithLease(fixture, 3, { ttl: 60 });
    store.cut();
    await fixture.clock.advance(45_000);
    store.heal();
    // The watch of its own key is not all that may fail.
    store.interfere(() => 'refuse');
    holder.storeAnswers();
    await fixture.clock.advance(0);
    store.interfere(() => 'pass');
    assert.equal(holder.state.value.failure?.code, 'STORE_UNAVAILABLE');
    holder.storeAnswers();
    await fixture.clock.advance(0);
    assert.equal(holder.state.value.failure, undefined);
  });

  test('what the store does not take is known to be unpublished, and why', async () => {
    const fixture = new RegistryFixture();
    const { store, holder } = await startWithLease(fixture, 3, { ttl: 60 });
    assert.equal(holder.state.value.published, true);
    store.cut(new StoreError('EXHAUSTED', 'no space', { hint: 'make room' }));
    holder.update({ attributes: { ...hostAttributes(3), backendData: { ipv4: 'new' } } });
    await fixture.clock.advance(1000);
    const { published, failure, ownership } = holder.state.value;
    assert.deepEqual([published, failure?.reason, ownership], [false, 'no space', 'held']);
    store.heal();
    await fixture.clock.advance(16_000);
    assert.deepEqual([holder.state.value.published, holder.state.value.failure], [true, undefined]);
  });

  test('another, empty cluster behind the address: the same subnet again', async () => {
    const fixture = new RegistryFixture();
    const { first, lease, events } = await startWithLease(fixture, 3);
    fixture.database.reset();
    await fixture.clock.advance(0);
    assert.equal(lease()?.key, first.key);
    assert.deepEqual(await fixture.owners(), { [first.key]: 'host-3' });
    assert.deepEqual(events, [`lost ${first.key}: expired`, `acquired ${first.key} by previous subnet`]);
  });
});

describe('a full network', () => {
  test('is waited out: reported once with the reason, and the first subnet that is freed is taken', async () => {
    const fixture = new RegistryFixture();
    const hosts = [];
    for (const number of [1, 2, 3]) hosts.push(await startWithLease(fixture, number, { config: SMALL }));
    const late = await startHolder(fixture, 4, { config: SMALL });
    assert.deepEqual(late.events, ['waiting']);
    assert.equal(late.lease(), undefined);
    assert.equal(late.holder.state.value.failure?.code, 'OUT_OF_SUBNETS');
    assert.match(late.holder.state.value.failure.reason, /^all 3 subnets/);

    const [leaving] = hosts;
    assert.ok(leaving);
    await leaving.stop();
    await leaving.holder.release();
    await fixture.clock.advance(0);
    assert.equal(late.lease()?.key, leaving.first.key);
    assert.equal(late.holder.state.value.failure, undefined);
  });

  test('ends for a host that waits when the network becomes larger', async () => {
    const fixture = new RegistryFixture();
    for (const number of [1, 2, 3]) await startWithLease(fixture, number, { config: SMALL });
    const late = await startHolder(fixture, 4, { config: SMALL });
    late.holder.update({ config: configOf({ Network: '10.5.0.0/24', SubnetLen: 30 }) });
    await fixture.clock.advance(0);
    assert.ok(late.lease());
  });

  test('is not waited for by a host that has a reservation in it', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.0.4-30', flannelAttributes(4));
    for (const number of [1, 2]) await startWithLease(fixture, number, { config: SMALL });
    const late = await startHolder(fixture, 4, { config: SMALL });
    assert.deepEqual(late.events, ['acquired 10.5.0.4-30 by reservation']);
  });
});

test('a reservation survives claims, renewals and restarts', async () => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.200.0-24', flannelAttributes(3));
  const { first, stop, lease } = await startWithLease(fixture, 3);
  assert.equal(first.key, '10.5.200.0-24');
  await fixture.clock.advance(72 * HOUR);
  await stop();
  const again = await startHolder(fixture, 3);
  await fixture.clock.advance(72 * HOUR);
  assert.deepEqual(again.lease(), lease());
  assert.equal((await stored(fixture, first.key)).storeLease, 0n);
});

test('random mischief: whatever happens to the store, the host ends with one good lease of its own', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const fixture = new RegistryFixture();
    let state = seed;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * below);
    };
    // Half of the hosts renew often, so that it falls between other things.
    const renewMargin = seed % 2 === 0 ? 570_000 : 0;
    const host = await startHolder(fixture, 3, {
      ttl: 600,
      renewMargin,
      previous: { ipv4: Prefix.parse('10.5.9.0/24') },
    });
    const { store, holder } = host;
    const write = (value: Parameters<RegistryFixture['put']>[1], ttl?: number) =>
      fixture.put(host.lease()?.key ?? '10.5.9.0-24', value, ttl);
    const mischief: readonly (() => unknown)[] = [
      () => store.cut(),
      () => store.heal(),
      () => fixture.database.compact(),
      () => fixture.database.reset(),
      () => fixture.store.delete(fixture.registry.pathOf(host.lease()?.key ?? 'none')),
      () => write('garbage', 100),
      () => write(hostAttributes(9), 100),
      () => write(hostAttributes(3)),
      () => store.interfere(() => (['lose answer', 'refuse', 'pass'] as const)[random(3)] ?? 'pass'),
      () => store.interfere(() => 'pass'),
      () =>
        holder.update({ attributes: { ...hostAttributes(3), backendData: { ipv4: { VNI: random(99) } } } }),
    ];
    for (let step = 0; step < 12; step++) {
      await Promise.resolve(mischief[random(mischief.length)]?.());
      await fixture.clock.advance(random(4) === 0 ? 700_000 : random(5000));
    }
    store.heal();
    store.interfere(() => 'pass');
    holder.update({ attributes: hostAttributes(3) });
    // Less than the time to the next renewal, which would find out anyway.
    await fixture.clock.advance(100_000);
    const { leases } = await fixture.registry.list();
    const ours: Lease[] = leases.filter(({ attributes }) => attributes.hostId === 'host-3');
    assert.deepEqual(ours, [host.lease()], `seed ${seed}`);
    assert.deepEqual(ours[0]?.attributes, hostAttributes(3));
    assert.equal(holder.state.value.ownership, 'held', `seed ${seed}`);
  }
});
