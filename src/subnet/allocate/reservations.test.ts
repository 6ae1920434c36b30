import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DUAL,
  flannelAttributes,
  hostAttributes,
  IPV4,
  RegistryFixture,
} from '../../../test/support/registry.ts';
import { Ip } from '../../base/ip.ts';
import { parseLeaseKey } from '../lease/key.ts';
import type { LeaseAttributes } from '../lease/lease.ts';
import { acquire } from './acquire.ts';
import { type ReservationOwner, reserve } from './reservations.ts';

const { signal } = new AbortController();
const subnet = parseLeaseKey('10.5.9.0-24');

test('a free subnet is reserved for a host that is not there yet, which then gets it', async () => {
  const fixture = new RegistryFixture();
  const { publicIp } = flannelAttributes(3);
  const result = await reserve(fixture.registry, IPV4, subnet, { publicIp });
  assert.ok(result.ok);
  assert.equal(result.lease.storeLease, 0n);
  const held = await acquire(fixture.registry, { config: IPV4, attributes: hostAttributes(3) }, signal);
  assert.equal(held.outcome === 'acquired' && held.lease.key, '10.5.9.0-24');
});

test('the lease a host holds becomes its reservation, and its value says so', async () => {
  const fixture = new RegistryFixture();
  const storeLease = await fixture.put('10.5.9.0-24', hostAttributes(3), 3600);
  assert.ok((await reserve(fixture.registry, IPV4, subnet, { publicIp: {}, hostId: 'host-3' })).ok);
  await fixture.store.revoke(storeLease);
  const { leases } = await fixture.registry.list();
  assert.deepEqual(
    leases.map(({ key, storeLease: id, attributes }) => ({ key, id, attributes })),
    [{ key: '10.5.9.0-24', id: 0n, attributes: { ...hostAttributes(3), reserved: true } }],
  );
});

for (const [name, key, value, wanted, reason] of [
  [
    'another host holds it',
    '10.5.9.0-24',
    hostAttributes(4),
    '10.5.9.0-24',
    /held by 192\.168\.65\.4 \(host host-4\)/,
  ],
  ['its value is not a lease', '10.5.9.0-24', 'printer', '10.5.9.0-24', /not a lease/],
  ['a part of it is taken', '10.5.9.64-26', hostAttributes(4), '10.5.9.0-24', /overlaps 10\.5\.9\.64\/26/],
  [
    'it is a part of what is taken',
    '10.5.8.0-22',
    hostAttributes(4),
    '10.5.9.0-24',
    /overlaps 10\.5\.8\.0\/22/,
  ],
  ['it is outside the network', '10.5.8.0-24', hostAttributes(4), '10.6.9.0-24', /outside the network/],
  ['its family is not there', '10.5.8.0-24', hostAttributes(4), '0.0.0.0-0&fd00:5:0:1::-64', /of a family/],
] as const) {
  test(`refused with a reason: ${name}`, async () => {
    const fixture = new RegistryFixture();
    await fixture.put(key, value, 3600);
    const before = await fixture.registry.list();
    const result = await reserve(fixture.registry, IPV4, parseLeaseKey(wanted), {
      publicIp: {},
      hostId: 'host-3',
    });
    assert.match(result.ok ? 'reserved' : result.reason, reason);
    assert.deepEqual((await fixture.registry.list()).leases, before.leases);
  });
}

test('a lease belongs to the host with its id; where one of the two has none, to the one with its address', async () => {
  const ipv6 = Ip.parse('2001:db8::3');
  const ipv4 = Ip.parse('192.168.65.3');
  const holder = { ...hostAttributes(3), publicIp: { ...hostAttributes(3).publicIp, ipv6 } };
  const { hostId: _, ...flannelHolder } = holder;
  for (const [attributes, owner, ok] of [
    [holder, { publicIp: {}, hostId: 'host-3' }, true],
    [holder, { hostId: 'host-4', publicIp: { ipv4, ipv6 } }, false],
    [holder, { publicIp: { ipv4 } }, true],
    [holder, { publicIp: { ipv6 } }, true],
    [holder, { publicIp: { ipv4: ipv4.plus(1) } }, false],
    [holder, { publicIp: { ipv6: ipv6.plus(1) } }, false],
    [flannelHolder, { publicIp: {}, hostId: 'host-3' }, false],
    [flannelHolder, { hostId: 'host-4', publicIp: { ipv6 } }, true],
  ] satisfies [LeaseAttributes, ReservationOwner, boolean][]) {
    const fixture = new RegistryFixture();
    await fixture.put('10.5.9.0-24', attributes, 3600);
    const result = await reserve(fixture.registry, IPV4, subnet, owner);
    assert.equal(result.ok, ok, JSON.stringify([attributes, owner]));
  }
});

test('a reservation for an IPv6 address is found by the host that has it', async () => {
  const fixture = new RegistryFixture();
  const ipv6 = Ip.parse('2001:db8::3');
  const both = parseLeaseKey('10.5.9.0-24&fd00:5:0:9::-64');
  assert.ok((await reserve(fixture.registry, DUAL, both, { publicIp: { ipv6 } })).ok);
  const take = async (ip: Ip) => {
    const attributes = {
      ...hostAttributes(3),
      hostId: `host-${ip}`,
      publicIp: { ...hostAttributes(3).publicIp, ipv6: ip },
    };
    const held = await acquire(fixture.registry, { config: DUAL, attributes }, signal);
    return held.outcome === 'acquired' && held.origin;
  };
  assert.notEqual(await take(ipv6.plus(1)), 'reservation');
  assert.equal(await take(ipv6), 'reservation');
});

test('in a network of both families a reservation may have both', async () => {
  const fixture = new RegistryFixture();
  const both = parseLeaseKey('10.5.9.0-24&fd00:5:0:9::-64');
  assert.ok((await reserve(fixture.registry, DUAL, both, { publicIp: {}, hostId: 'host-3' })).ok);
  const held = await acquire(fixture.registry, { config: DUAL, attributes: hostAttributes(3) }, signal);
  assert.equal(held.outcome === 'acquired' && held.origin, 'reservation');
});
