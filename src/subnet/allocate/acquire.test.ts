import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
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
import { Prefix } from '../../base/prefix.ts';
import { parseLeaseKey } from '../lease/key.ts';
import { type Acquisition, acquire } from './acquire.ts';
import type { Applicant } from './own-leases.ts';

const { signal } = new AbortController();

const applicant = (number: number, more: Partial<Applicant> = {}): Applicant => ({
  config: IPV4,
  attributes: hostAttributes(number),
  ...more,
});

function lease(acquisition: Acquisition) {
  assert.equal(acquisition.outcome, 'acquired');
  return (acquisition as Acquisition & { outcome: 'acquired' }).lease;
}

const summary = (acquisition: Acquisition) =>
  acquisition.outcome !== 'acquired'
    ? acquisition.outcome
    : `${acquisition.origin}: ${acquisition.lease.key}`;

describe('a host comes to its lease', () => {
  test('new: a free subnet, with exactly the value that was asked for', async () => {
    const fixture = new RegistryFixture();
    const held = lease(await acquire(fixture.registry, applicant(3), signal));
    const { kv } = await fixture.store.get(fixture.registry.pathOf(held.key));
    assert.equal(
      new TextDecoder().decode(kv?.value),
      '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"02:00:00:00:00:03"},"TulleHost":"host-3"}',
    );
    assert.equal((await fixture.store.timeToLive(held.storeLease))?.granted, 86_400);
    assert.deepEqual(await fixture.registry.get(held.key), held);
  });

  test('again: the same lease, and nothing is written', async () => {
    const fixture = new RegistryFixture();
    const first = lease(await acquire(fixture.registry, applicant(3), signal));
    const before = fixture.database.revision;
    const again = await acquire(fixture.registry, applicant(3), signal);
    assert.equal(summary(again), `host id: ${first.key}`);
    assert.deepEqual(lease(again), first);
    assert.equal(fixture.database.revision, before);
  });

  test('with another public address: the same subnet by its id', async () => {
    const fixture = new RegistryFixture();
    const first = lease(await acquire(fixture.registry, applicant(3), signal));
    const moved = { ...hostAttributes(3), publicIp: byFamily(Ip.parse('172.16.0.9')) };
    const again = lease(await acquire(fixture.registry, applicant(3, { attributes: moved }), signal));
    assert.equal(again.key, first.key);
    assert.equal(again.storeLease, first.storeLease);
    assert.deepEqual((await fixture.registry.list()).leases, [again]);
  });

  test('with another time to live: the same subnet on a new store lease', async () => {
    const fixture = new RegistryFixture();
    const first = lease(await acquire(fixture.registry, applicant(3), signal));
    const again = lease(await acquire(fixture.connect(60).registry, applicant(3), signal));
    assert.equal(again.key, first.key);
    assert.equal((await fixture.store.timeToLive(again.storeLease))?.granted, 60);
  });

  test('from flannel: the lease that flannel wrote for this public address', async () => {
    const fixture = new RegistryFixture();
    const old = await fixture.put('10.5.77.0-24', flannelAttributes(3), 3600);
    await fixture.put('10.5.78.0-24', flannelAttributes(4), 3600);
    const result = await acquire(fixture.registry, applicant(3), signal);
    assert.equal(summary(result), 'public address: 10.5.77.0-24');
    assert.notEqual(lease(result).storeLease, old);
    assert.deepEqual(await fixture.owners(), { '10.5.77.0-24': 'host-3', '10.5.78.0-24': '192.168.65.4' });
  });

  test('hosts without IPv4 are not the same host', async () => {
    const fixture = new RegistryFixture();
    const ipv6 = configOf({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fd00:5::/48' });
    const host = (number: number) => ({
      hostId: `host-${number}`,
      publicIp: byFamily(Ip.parse(`2001:db8::${number}`)),
    });
    await fixture.put('0.0.0.0-0&fd00:5:0:7::-64', { publicIp: byFamily(Ip.parse('2001:db8::1')) }, 3600);
    const second = await acquire(fixture.registry, { config: ipv6, attributes: host(2) }, signal);
    assert.match(summary(second), /^new subnet: 0\.0\.0\.0-0&fd00:5:0:/);
    const first = await acquire(fixture.registry, { config: ipv6, attributes: host(1) }, signal);
    assert.equal(summary(first), 'public address: 0.0.0.0-0&fd00:5:0:7::-64');
  });

  test('a previous subnet is taken when it is free and fits', async () => {
    const previous = { ipv4: Prefix.parse('10.5.9.0/24') };
    const free = await acquire(new RegistryFixture().registry, applicant(3, { previous }), signal);
    assert.equal(summary(free), 'previous subnet: 10.5.9.0-24');

    const fixture = new RegistryFixture();
    await fixture.put('10.5.9.0-24', hostAttributes(4), 3600);
    assert.match(
      summary(await acquire(fixture.registry, applicant(3, { previous }), signal)),
      /^new subnet: /,
    );

    const elsewhere = { ipv4: Prefix.parse('10.6.9.0/24') };
    assert.match(
      summary(await acquire(new RegistryFixture().registry, applicant(3, { previous: elsewhere }), signal)),
      /^new subnet: 10\.5\./,
    );
  });

  test('after a change of the network: a new subnet, and the old key is gone in the same step', async () => {
    const fixture = new RegistryFixture();
    await acquire(fixture.registry, applicant(3), signal);
    const config = configOf({ Network: '10.6.0.0/16' });
    const before = fixture.database.revision;
    const held = lease(await acquire(fixture.registry, applicant(3, { config }), signal));
    assert.deepEqual(await fixture.owners(), { [held.key]: 'host-3' });
    assert.equal(fixture.database.revision, before + 1n);
  });

  test('when IPv6 is turned on and off again, the IPv4 block stays', async () => {
    const fixture = new RegistryFixture();
    const first = lease(await acquire(fixture.registry, applicant(3), signal));
    const dual = lease(await acquire(fixture.registry, applicant(3, { config: DUAL }), signal));
    assert.equal(`${dual.subnet.ipv4}`, `${first.subnet.ipv4}`);
    assert.ok(DUAL.ipv6?.network.contains(dual.subnet.ipv6 ?? Prefix.parse('::/0')));
    const again = await acquire(fixture.registry, applicant(3), signal);
    assert.equal(summary(again), `previous subnet: ${first.key}`);
    assert.deepEqual(await fixture.owners(), { [first.key]: 'host-3' });
  });

  test('a full network is an outcome with a reason', async () => {
    const fixture = new RegistryFixture();
    for (const number of [1, 2, 3]) {
      lease(await acquire(fixture.registry, applicant(number, { config: SMALL }), signal));
    }
    assert.deepEqual(await acquire(fixture.registry, applicant(4, { config: SMALL }), signal), {
      outcome: 'full',
      reason: 'all 3 subnets (/30) from 10.5.0.4 to 10.5.0.12 are taken',
    });
  });

  test('nothing is taken away by a key that flannel would read, whatever its value is', async () => {
    const fixture = new RegistryFixture();
    for (const [key, value] of [
      ['10.5.0.4-30', 'reserved for the printer'],
      ['x10.5.0.9-30', '{}'],
    ] as const) {
      await fixture.put(key, value);
    }
    const result = await acquire(fixture.registry, applicant(1, { config: SMALL }), signal);
    assert.match(summary(result), /: 10\.5\.0\.12-30$/);
  });

  test('a key that claims half of the network stops nobody', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.0.0-17', hostAttributes(9));
    lease(await acquire(fixture.registry, applicant(1), signal));
  });
});

describe('races', () => {
  for (const config of [IPV4, DUAL]) {
    test(`100 hosts at once ${config === DUAL ? 'in both families' : ''} all get a lease, and no block twice`, async () => {
      const fixture = new RegistryFixture();
      const results = await Promise.all(
        Array.from({ length: 100 }, (_, number) =>
          acquire(fixture.connect().registry, applicant(number, { config }), signal),
        ),
      );
      const subnets = results.map(result => lease(result).subnet);
      assert.equal(new Set(subnets.map(({ ipv4 }) => `${ipv4}`)).size, 100);
      if (config === DUAL) assert.equal(new Set(subnets.map(({ ipv6 }) => `${ipv6}`)).size, 100);
      assert.equal((await fixture.registry.list()).leases.length, 100);
    });
  }

  test('of five hosts for three subnets, three get one and the other two learn that it is full', async () => {
    const fixture = new RegistryFixture();
    const results = await Promise.all(
      [1, 2, 3, 4, 5].map(number =>
        acquire(fixture.connect().registry, applicant(number, { config: SMALL }), signal),
      ),
    );
    assert.deepEqual(results.map(({ outcome }) => outcome).sort(), [
      'acquired',
      'acquired',
      'acquired',
      'full',
      'full',
    ]);
  });

  test('hosts that cut the network differently do not overlap', async () => {
    const fixture = new RegistryFixture();
    const lengths = [24, 25, 26, 27];
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, number) => {
        const config = configOf({ Network: '10.5.0.0/20', SubnetLen: lengths[number % 4] });
        return acquire(fixture.connect().registry, applicant(number, { config }), signal);
      }),
    );
    const blocks = results
      .filter(({ outcome }) => outcome === 'acquired')
      .map(result => lease(result).subnet.ipv4)
      .filter(block => block !== undefined)
      .sort((a, b) => a.compare(b));
    assert.ok(blocks.length > 10);
    for (const [index, block] of blocks.entries()) {
      assert.ok(!blocks[index + 1]?.overlaps(block), `${block} and ${blocks[index + 1]}`);
    }
  });

  test('two who want the same previous subnet: one gets it, the other another', async () => {
    const fixture = new RegistryFixture();
    const previous = { ipv4: Prefix.parse('10.5.9.0/24') };
    const results = await Promise.all(
      [1, 2].map(number => acquire(fixture.connect().registry, applicant(number, { previous }), signal)),
    );
    assert.deepEqual(results.map(result => summary(result).split(':')[0] ?? '').sort(), [
      'new subnet',
      'previous subnet',
    ]);
  });
});

describe('reservations', () => {
  const reserved = '10.5.200.0-24';

  for (const [name, owner] of [
    ['public address', flannelAttributes(3)],
    ['host id', { publicIp: {}, hostId: 'host-3' }],
    ['value', hostAttributes(3)],
  ] as const) {
    test(`one for this ${name} is taken and stays without expiry`, async () => {
      const fixture = new RegistryFixture();
      await fixture.put(reserved, { ...owner, extra: { Note: 'rack 7' } });
      for (let round = 0; round < 2; round++) {
        const result = await acquire(fixture.registry, applicant(3), signal);
        assert.equal(summary(result), `reservation: ${reserved}`);
        assert.equal(lease(result).storeLease, 0n);
      }
      const { kv } = await fixture.store.get(fixture.registry.pathOf(reserved));
      assert.equal(kv?.lease, 0n);
      assert.match(
        new TextDecoder().decode(kv.value),
        /"TulleHost":"host-3","TulleReserved":true,"Note":"rack 7"/,
      );
      // A day and a half later, without any renewal.
      await fixture.clock.advance(36 * 3_600_000);
      assert.deepEqual(await fixture.owners(), { [reserved]: 'host-3' });
    });
  }

  test('one that is made while the host has a lease replaces it', async () => {
    const fixture = new RegistryFixture();
    await acquire(fixture.registry, applicant(3), signal);
    await fixture.put(reserved, { publicIp: {}, hostId: 'host-3' });
    assert.equal(summary(await acquire(fixture.registry, applicant(3), signal)), `reservation: ${reserved}`);
    assert.deepEqual(await fixture.owners(), { [reserved]: 'host-3' });
  });

  test('one outside the range and of another length is good, one outside the network is not', async () => {
    const config = configOf({ Network: '10.5.0.0/16', SubnetMin: '10.5.10.0', SubnetMax: '10.5.20.0' });
    const fixture = new RegistryFixture();
    await fixture.put('10.6.0.0-24', { publicIp: {}, hostId: 'host-3' });
    await fixture.put('10.5.200.0-26', { publicIp: {}, hostId: 'host-3' });
    assert.equal(
      summary(await acquire(fixture.registry, applicant(3, { config }), signal)),
      'reservation: 10.5.200.0-26',
    );
  });

  test('one for another host is left alone', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.0.4-30', { publicIp: {}, hostId: 'host-9' });
    await fixture.put('10.5.0.8-30', flannelAttributes(8));
    const results = await Promise.all(
      [1, 2].map(number => acquire(fixture.registry, applicant(number, { config: SMALL }), signal)),
    );
    assert.deepEqual(results.map(({ outcome }) => outcome).sort(), ['acquired', 'full']);
    assert.equal((await fixture.owners())['10.5.0.4-30'], 'host-9');
  });
});

describe('failures', () => {
  test('what was granted and not used is given back', async () => {
    const fixture = new RegistryFixture();
    const { store, registry } = fixture.connect();
    const granted: bigint[] = [];
    const grant = store.grant.bind(store);
    store.grant = async ttl => {
      const result = await grant(ttl);
      granted.push(result.id);
      return result;
    };
    store.interfere(op => (op === 'transact' ? 'refuse' : 'pass'));
    await assert.rejects(acquire(registry, applicant(3), signal), { code: 'UNAVAILABLE' });
    assert.equal(granted.length, 1);
    assert.equal(await fixture.store.timeToLive(granted[0] ?? 0n), undefined);
  });

  test('a creation whose answer was lost is found again, not doubled', async () => {
    const fixture = new RegistryFixture();
    const { store, registry } = fixture.connect();
    store.interfere(op => (op === 'transact' ? 'lose answer' : op === 'revoke' ? 'refuse' : 'pass'));
    await assert.rejects(acquire(registry, applicant(3), signal), { code: 'UNAVAILABLE' });
    const [created] = Object.keys(await fixture.owners());
    store.interfere(() => 'pass');
    assert.equal(summary(await acquire(registry, applicant(3), signal)), `host id: ${created}`);
    assert.deepEqual(await fixture.owners(), { [created ?? '']: 'host-3' });
  });

  test('a lease that is taken over by a write whose answer is lost does not end', async () => {
    const fixture = new RegistryFixture();
    const key = '10.5.77.0-24';
    await fixture.put(key, flannelAttributes(3), 3600);
    const { store, registry } = fixture.connect();
    store.interfere(op => (op === 'transact' ? 'lose answer' : 'pass'));
    await assert.rejects(acquire(registry, applicant(3), signal), { code: 'UNAVAILABLE' });
    assert.deepEqual(await fixture.owners(), { [key]: 'host-3' });
    const written = await fixture.registry.get(key);
    store.interfere(() => 'pass');
    const again = await acquire(registry, applicant(3), signal);
    assert.equal(summary(again), `host id: ${key}`);
    assert.deepEqual(lease(again), written);
  });

  test('an abort ends it', async () => {
    const reason = new Error('enough');
    await assert.rejects(
      acquire(new RegistryFixture().registry, applicant(3), AbortSignal.abort(reason)),
      reason,
    );
  });

  test('a lease that changes hands while it is taken over is left to the new owner', async () => {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.77.0-24', flannelAttributes(3), 3600);
    const { store, registry } = fixture.connect();
    const transact = store.transact.bind(store);
    store.transact = async transaction => {
      store.transact = transact;
      await fixture.put('10.5.77.0-24', hostAttributes(4), 3600);
      return transact(transaction);
    };
    const held = lease(await acquire(registry, applicant(3), signal));
    assert.notEqual(held.key, '10.5.77.0-24');
    assert.deepEqual(parseLeaseKey(held.key), held.subnet);
    assert.equal((await fixture.owners())['10.5.77.0-24'], 'host-4');
  });
});
