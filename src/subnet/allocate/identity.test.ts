/** What a clone, a reinstalled host, a host with a lost disk and hosts with one address get: docs/decisions/0010-identity.md. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { startHolder, startWithLease, stopHolders, stored } from '../../../test/support/holder.ts';
import {
  configOf,
  DUAL,
  flannelAttributes,
  hostAttributes,
  IPV4,
  RegistryFixture,
  SMALL,
} from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { StoreError } from '../../store/store.ts';
import type { LeaseAttributes } from '../lease/lease.ts';
import { acquire } from './acquire.ts';
import { evidenceOf } from './identity.ts';

afterEach(stopHolders);

/** Longer than a holder has for its answer. */
const SILENCE = 10_000;

const host = (number: number) => ({ ...hostAttributes(number), machine: `machine-${number}` });
/** The same host after its disk was lost: another id, and with it another device. */
const reborn = (number: number, life: number) => ({
  ...host(number),
  hostId: `host-${number}, life ${life}`,
  backendData: { ipv4: { VNI: 88, VtepMAC: `02:00:00:00:${number.toString(16).padStart(2, '0')}:0${life}` } },
});
const at = (address: string) => ({ publicIp: byFamily(Ip.parse(address)) });

describe('what speaks for a lease', () => {
  const elsewhere = at('192.168.65.99');
  for (const [name, found, evidence] of [
    ['id, address and machine', host(3), 'certain'],
    ['id and machine', { ...host(3), ...elsewhere }, 'certain'],
    ['id and address of another machine', { ...host(3), machine: 'new parts' }, 'likely'],
    ['id and address', hostAttributes(3), 'certain'],
    ['the id, of a machine that is not known', { ...hostAttributes(3), ...elsewhere }, 'likely'],
    ['the id alone', { ...host(3), ...elsewhere, machine: 'another' }, 'copy'],
    ['address and machine', { ...host(3), hostId: 'other' }, 'likely'],
    ['the address', { ...host(3), hostId: 'other', machine: 'another' }, 'likely'],
    ['the machine', { ...host(3), hostId: 'other', ...elsewhere }, 'likely'],
    ['the address, as flannel has it', flannelAttributes(3), 'likely'],
    ['nothing', host(4), 'none'],
    ['a reservation for the id', { publicIp: {}, hostId: 'host-3' }, 'certain'],
    ['a reservation for another id at the address', { ...at('192.168.65.3'), hostId: 'other' }, 'none'],
  ] as const satisfies readonly (readonly [string, LeaseAttributes, string])[]) {
    test(name, () => assert.equal(evidenceOf(found, host(3)), evidence));
  }
});

describe('C4: a host with a lost disk', () => {
  test('has the same subnet at each of six starts, and one key, in a network of three subnets', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3), config: SMALL });
    await stop();
    for (let life = 1; life <= 6; life++) {
      const {
        lease,
        events,
        stop: end,
      } = await startHolder(fixture, 3, {
        attributes: reborn(3, life),
        config: SMALL,
      });
      assert.equal(lease(), undefined, 'it asks before it takes');
      await fixture.clock.advance(SILENCE);
      assert.deepEqual(events, [`acquired ${first.key} by earlier identity`]);
      assert.deepEqual(await fixture.owners(), { [first.key]: `host-3, life ${life}` });
      await end();
    }
  });

  test('has its subnet by its machine, when it has another address', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    const attributes = { ...reborn(3, 1), ...at('192.168.65.99') };
    const { lease } = await startHolder(fixture, 3, { attributes });
    await fixture.clock.advance(SILENCE);
    assert.equal(lease()?.key, first.key);
  });

  test('has its subnet by its address, when its hardware was replaced too', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    const attributes = { ...reborn(3, 1), machine: 'new parts' };
    const { lease } = await startHolder(fixture, 3, { attributes });
    await fixture.clock.advance(SILENCE);
    assert.equal(lease()?.key, first.key);
    assert.equal((await stored(fixture, first.key)).attributes.claim, undefined);
  });

  test('of several that earlier identities left, it keeps the one of subnet.env and frees the others', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.7.0-24', reborn(3, 1), 3600);
    await fixture.put('10.5.8.0-24', reborn(3, 2), 3600);
    await fixture.put('10.5.9.0-24', reborn(3, 3), 3600);
    const previous = (await stored(fixture, '10.5.8.0-24')).subnet;
    const { lease } = await startHolder(fixture, 3, { attributes: host(3), previous });
    await fixture.clock.advance(SILENCE);
    assert.equal(lease()?.key, '10.5.8.0-24');
    assert.deepEqual(await fixture.owners(), { '10.5.8.0-24': 'host-3' });
  });

  test('does not ask a store that lets it write no lease but its own', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    const { registry } = fixture.connect();
    const replace = registry.replace.bind(registry);
    registry.replace = async (lease, ...rest) => {
      if (lease.attributes.hostId !== 'host-3, life 1') throw new StoreError('FORBIDDEN', 'not yours');
      return replace(lease, ...rest);
    };
    const result = await acquire(
      registry,
      { config: IPV4, attributes: reborn(3, 1) },
      new AbortController().signal,
      fixture.clock,
    );
    assert.equal(result.outcome, 'acquired');
    assert.deepEqual(Object.keys(await fixture.owners()).length, 2);
    assert.equal((await fixture.owners())[first.key], 'host-3');
  });
});

describe('C4: two hosts with one public address', () => {
  for (const [name, machine] of [
    ['', 'machine-4'],
    [' and one machine mark', 'machine-3'],
  ] as const) {
    test(`each keep a subnet of their own${name}, and both start again with it`, async () => {
      const fixture = new RegistryFixture();
      const one = await startWithLease(fixture, 3, { attributes: host(3) });
      const twin = { ...host(4), ...at('192.168.65.3'), machine };
      const two = await startWithLease(fixture, 4, { attributes: twin });
      assert.notEqual(two.first.key, one.first.key);
      assert.deepEqual(one.events, [`claimed ${one.first.key}`, `published ${one.first.key}`]);
      assert.equal(one.holder.state.value.otherWriter, undefined, 'it has an id of its own');
      assert.deepEqual((await stored(fixture, one.first.key)).attributes, host(3));
      for (const [{ stop, first }, attributes] of [
        [one, host(3)],
        [two, twin],
      ] as const) {
        await stop();
        const { lease } = await startHolder(fixture, 3, { attributes });
        assert.equal(lease()?.key, first.key);
      }
      const before = fixture.database.revision;
      await fixture.clock.advance(600_000);
      assert.equal(fixture.database.revision, before, 'nobody writes at rest');
    });
  }
  test('is answered at once by a holder that backs off', async () => {
    const fixture = new RegistryFixture();
    const { first, lease: held } = await startWithLease(fixture, 3, { attributes: host(3) });
    for (let round = 0; round < 12; round++) {
      await fixture.put(first.key, 'no JSON', 3600);
      await fixture.clock.advance(61_000);
    }
    await fixture.put(first.key, host(3), 3600);
    const { lease } = await startHolder(fixture, 3, { attributes: reborn(3, 1) });
    await fixture.clock.advance(SILENCE);
    assert.ok(lease());
    assert.notEqual(lease()?.key, first.key);
    assert.equal(held()?.key, first.key);
  });
});

describe('C1: a clone with the disk of another host', () => {
  const clone = { ...host(3), ...at('192.168.65.33'), machine: 'of the clone' };

  for (const [name, reservation] of [
    ['an expiring lease', undefined],
    ['a reservation', '10.5.200.0-24'],
  ] as const) {
    test(`does not get ${name} of its twin, both say so, and few write`, async () => {
      const fixture = new RegistryFixture();
      if (reservation !== undefined) await fixture.put(reservation, { publicIp: {}, hostId: 'host-3' });
      const twin = await startWithLease(fixture, 3, { attributes: host(3) });
      const before = await stored(fixture, twin.first.key);
      const { lease, holder, events } = await startHolder(fixture, 3, { attributes: clone });
      const revision = fixture.database.revision;
      await fixture.clock.advance(600_000);
      assert.ok(Number(fixture.database.revision - revision) <= 22, 'a question and an answer a minute');
      assert.equal(lease(), undefined);
      assert.deepEqual([...new Set(events)], ['conflict ' + twin.first.key]);
      assert.equal(holder.state.value.failure?.code, 'DUPLICATE_IDENTITY');
      assert.equal(`${holder.state.value.otherWriter?.address}`, '192.168.65.3');
      assert.equal(`${twin.holder.state.value.otherWriter?.address}`, '192.168.65.33');
      const now = await stored(fixture, twin.first.key);
      assert.deepEqual([now.attributes, now.storeLease], [before.attributes, before.storeLease]);
    });
  }

  test('does not ask its duplicate again when it gets the same request once more', async () => {
    const fixture = new RegistryFixture();
    await startWithLease(fixture, 3, { attributes: host(3) });
    const { holder } = await startHolder(fixture, 3, { attributes: clone });
    await fixture.clock.advance(SILENCE);
    const { revision } = fixture.database;
    holder.update({ config: IPV4, attributes: clone });
    await fixture.clock.advance(SILENCE);
    assert.equal(fixture.database.revision, revision);
  });

  test('does not get the lease of a twin that is down either, until a person frees it', async () => {
    const fixture = new RegistryFixture();
    const twin = await startWithLease(fixture, 3, { attributes: host(3) });
    await twin.stop();
    const { lease, holder } = await startHolder(fixture, 3, { attributes: clone });
    await fixture.clock.advance(600_000);
    assert.equal(lease(), undefined);
    await fixture.store.delete(fixture.registry.pathOf(twin.first.key));
    await fixture.clock.advance(SILENCE);
    assert.ok(lease());
    assert.equal(holder.state.value.otherWriter, undefined);
  });

  for (const [name, lostId] of [
    ['a fresh machine', undefined],
    ['a machine that had a lease before', 'host-7'],
  ] as const) {
    test(`gets nothing, on ${name}, while its twin takes a deleted lease back`, async () => {
      const fixture = new RegistryFixture();
      const twin = await startWithLease(fixture, 3, { attributes: host(3) });
      if (lostId !== undefined) {
        const before = await startHolder(fixture, 7, { attributes: { ...clone, hostId: lostId } });
        await before.stop();
      }
      const { lease, holder } = await startHolder(fixture, 3, { attributes: clone });
      await fixture.clock.advance(SILENCE);
      await fixture.store.delete(fixture.registry.pathOf(twin.first.key));
      await fixture.clock.advance(600_000);
      assert.equal(twin.lease()?.key, twin.first.key);
      assert.equal(lease(), undefined);
      assert.equal(holder.state.value.failure?.code, 'DUPLICATE_IDENTITY');
    });
  }

  // C1
  test('keeps its twin from nothing that is of the machine of the twin, at its next start either', async () => {
    const fixture = new RegistryFixture();
    const twin = await startWithLease(fixture, 3, { attributes: host(3) });
    await twin.stop();
    await fixture.put('10.5.200.0-24', clone);
    const again = await startHolder(fixture, 3, { attributes: host(3) });
    await fixture.clock.advance(SILENCE);
    assert.equal(again.lease()?.key, twin.first.key);
    assert.ok(await fixture.registry.get('10.5.200.0-24'), 'it is not removed either');
  });

  // C1
  test('and others that have leases under the same id each start with their own, and few write', async () => {
    const fixture = new RegistryFixture();
    const copies = [33, 34, 35].map(number => ({
      ...host(3),
      ...at(`192.168.65.${number}`),
      machine: `machine ${number}`,
    }));
    for (const [index, copy] of copies.entries()) await fixture.put(`10.5.20${index}.0-24`, copy);
    const { revision } = fixture.database;
    const holders = await Promise.all(copies.map(attributes => startHolder(fixture, 3, { attributes })));
    await fixture.clock.advance(600_000);
    assert.deepEqual(
      holders.map(({ lease }) => lease()?.key),
      ['10.5.200.0-24', '10.5.201.0-24', '10.5.202.0-24'],
    );
    assert.ok(Number(fixture.database.revision - revision) <= 6);
  });

  test('is left alone with what it gets under an identity of its own', async () => {
    const fixture = new RegistryFixture();
    const twin = await startWithLease(fixture, 3, { attributes: host(3) });
    const { lease } = await startHolder(fixture, 3, { attributes: { ...clone, hostId: 'its own' } });
    assert.ok(lease());
    assert.notEqual(lease()?.key, twin.first.key);
    assert.deepEqual(twin.events, []);
  });
});

describe('a host that changed', () => {
  test('in its address has its lease at once', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    const { lease } = await startHolder(fixture, 3, { attributes: { ...host(3), ...at('192.168.65.99') } });
    assert.equal(lease()?.key, first.key);
  });

  test('in its hardware has its lease when nobody answers for it', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    const { lease } = await startHolder(fixture, 3, { attributes: { ...host(3), machine: 'new parts' } });
    await fixture.clock.advance(SILENCE);
    assert.equal(lease()?.key, first.key);
  });
});

describe('C3: a reservation for an address', () => {
  const reserved = '10.5.200.0-24';

  test('belongs to whoever has that address now, however often the host is reinstalled', async () => {
    const fixture = new RegistryFixture();
    await fixture.put(reserved, at('192.168.65.3'));
    for (let life = 1; life <= 3; life++) {
      const { lease, stop } = await startHolder(fixture, 3, { attributes: reborn(3, life) });
      await fixture.clock.advance(SILENCE);
      assert.equal(lease()?.key, reserved);
      assert.equal(lease()?.storeLease, 0n);
      await stop();
    }
    assert.deepEqual(await fixture.owners(), { [reserved]: 'host-3, life 3' });
  });

  test('is found by a host that got another subnet meanwhile', async () => {
    const fixture = new RegistryFixture();
    await fixture.put(reserved, { ...reborn(3, 1), reserved: true });
    await fixture.put('10.5.7.0-24', host(3), 3600);
    const { lease } = await startHolder(fixture, 3, { attributes: host(3) });
    await fixture.clock.advance(SILENCE);
    assert.equal(lease()?.key, reserved);
    assert.deepEqual(await fixture.owners(), { [reserved]: 'host-3' });
  });

  test('stays with a host that lives, when another one has its address', async () => {
    const fixture = new RegistryFixture();
    await fixture.put(reserved, at('192.168.65.3'));
    const one = await startWithLease(fixture, 3, { attributes: host(3) });
    const { lease } = await startHolder(fixture, 4, { attributes: { ...host(4), ...at('192.168.65.3') } });
    assert.ok(lease());
    assert.notEqual(lease()?.key, reserved);
    assert.equal((await fixture.owners())[reserved], 'host-3');
    assert.equal(one.lease()?.key, reserved);
  });

  test('of its IPv6 address is that of a host with both families', async () => {
    const fixture = new RegistryFixture();
    const ipv6 = Ip.parse('2001:db8::3');
    await fixture.put('10.5.200.0-24&fd00:5:0:200::-64', { publicIp: { ipv6 } });
    const { lease } = await startHolder(fixture, 3, {
      attributes: { ...host(3), publicIp: { ...host(3).publicIp, ipv6 } },
      config: DUAL,
    });
    assert.equal(lease()?.key, '10.5.200.0-24&fd00:5:0:200::-64');
  });
});

describe('B5, B6: what a host had before, as another identity or under another configuration', () => {
  for (const [name, before] of [
    ['flannel wrote', flannelAttributes(3)],
    ['it wrote itself', host(3)],
    ['it wrote before its disk was lost', reborn(3, 1)],
  ] as const) {
    test(`B5: the IPv4 subnet of a lease that ${name} stays when the network gets IPv6`, async () => {
      const fixture = new RegistryFixture();
      await fixture.put('10.5.77.0-24', before, 3600);
      const { lease } = await startHolder(fixture, 3, { attributes: host(3), config: DUAL });
      await fixture.clock.advance(SILENCE);
      assert.match(lease()?.key ?? '', /^10\.5\.77\.0-24&fd00:5:/);
      assert.deepEqual(await fixture.owners(), { [lease()?.key ?? '']: 'host-3' });
    });

    for (const [what, key, json] of [
      ['out of range', '10.5.9.0-24', { Network: '10.5.0.0/16', SubnetMin: '10.5.100.0' }],
      ['of another length', '10.5.100.0-26', { Network: '10.5.0.0/16', SubnetMin: '10.5.100.0' }],
      ['of another network', '10.6.9.0-24', { Network: '10.5.0.0/16' }],
    ] as const) {
      test(`B6: a lease ${what} that ${name} is removed, and its subnet is free`, async () => {
        const fixture = new RegistryFixture();
        await fixture.put(key, before, 3600);
        const { lease } = await startHolder(fixture, 3, { attributes: host(3), config: configOf(json) });
        await fixture.clock.advance(SILENCE);
        assert.ok(lease());
        assert.deepEqual(await fixture.owners(), { [lease()?.key ?? '']: 'host-3' });
      });
    }
  }

  test('B6: what the machine left behind as another host is removed, also when it has a lease', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    await fixture.put('10.5.77.0-24', reborn(3, 1), 3600);
    await startHolder(fixture, 3, { attributes: host(3) });
    await fixture.clock.advance(SILENCE);
    assert.deepEqual(await fixture.owners(), { [first.key]: 'host-3' });
  });

  test('B6: a lease that flannel wrote for the address of a host that has one is not removed', async () => {
    const fixture = new RegistryFixture();
    const { stop, first } = await startWithLease(fixture, 3, { attributes: host(3) });
    await stop();
    await fixture.put('10.5.77.0-24', flannelAttributes(3), 3600);
    await startHolder(fixture, 3, { attributes: host(3) });
    assert.deepEqual(await fixture.owners(), { [first.key]: 'host-3', '10.5.77.0-24': '192.168.65.3' });
  });
});
