/** Every object survives its message: what one side encodes the other decodes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, written } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { decodeAddress, writeAddress } from './address.ts';
import { familyNumber, familyOf } from './family.ts';
import type { LinkInfo } from './link-info.ts';
import { decodeLinkInfo, encodeLinkInfo } from './link-kind.ts';
import { decodeFdbEntry, decodeNeighbor, writeFdbEntry, writeNeighbor } from './neighbor.ts';
import { decodeNexthop, writeNexthop } from './nexthop.ts';
import { decodeRoute, writeRoute } from './route.ts';
import { decodeRule, writeRule } from './rule.ts';

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const ip4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytes => Ip.fromBytes(bytes));
const ip6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Ip.fromBytes(bytes));
const ip = fc.oneof(ip4, ip6);
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(bytes => Mac.fromBytes(bytes));
const name = fc.stringMatching(/^[a-z0-9.@-]{1,15}$/);
const unknown = fc.array(
  fc.record({ type: fc.integer({ min: 1000, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 20 }) }),
  { maxLength: 3 },
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const plain = (value: unknown) =>
  JSON.parse(
    JSON.stringify(value, (_, part: unknown) =>
      part instanceof Uint8Array ? formatHex(part) : typeof part === 'bigint' ? `${part}` : part,
    ),
  ) as unknown;

/** @param again encodes and decodes. */
function survives<T extends object>(arbitrary: fc.Arbitrary<T>, again: (value: T) => unknown): void {
  fc.assert(fc.property(arbitrary, value => assert.deepEqual(plain(again(value)), plain(value))));
}

test('neighbors', () => {
  const neighbor = fc.record({
    index: u32,
    ip,
    mac: maybe(mac),
    state: u16,
    flags: u8,
    protocol: maybe(u8),
    unknown,
  });
  survives(neighbor.map(defined), value => decodeNeighbor(written(writer => writeNeighbor(writer, value))));
  survives(neighbor.map(defined), value =>
    decodeFdbEntry(written(writer => writeNeighbor(writer, value))) === undefined ? value : undefined,
  );
});

test('FDB entries', () => {
  const entry = fc.record({
    index: u32,
    mac,
    state: fc.constantFrom(0x80, 0xc0, 0x40, 0x02),
    flags: fc.constantFrom(0x02, 0x04, 0x12),
    destination: maybe(ip),
    vni: maybe(fc.nat(0xffffff)),
    port: maybe(u16),
    vlan: maybe(fc.nat(4094)),
    master: maybe(u32),
    unknown,
  });
  survives(entry.map(defined), value => decodeFdbEntry(written(writer => writeFdbEntry(writer, value))));
});

test('addresses', () => {
  const address = fc.record({
    ip,
    index: u32,
    length: fc.nat(32),
    scope: u8,
    flags: u32,
    label: maybe(name),
    unknown,
  });
  survives(
    address.map(({ ip: own, ...rest }) => defined({ ip: own, family: own.family, ...rest })),
    value => decodeAddress(written(writer => writeAddress(writer, value))),
  );
});

test('a point-to-point address has a peer', () => {
  const peer = Ip.parse('10.0.0.2');
  const decoded = decodeAddress(
    written(writer => writeAddress(writer, { index: 1, ip: Ip.parse('10.0.0.1'), length: 32, peer })),
  );
  assert.deepEqual([`${decoded?.ip}`, `${decoded?.peer}`], ['10.0.0.1', '10.0.0.2']);
});

test('routes', () => {
  const encap = fc.record({
    id: fc.bigInt(0n, (1n << 64n) - 1n),
    destination: ip,
    ttl: u8,
    tos: u8,
    flags: u16,
  });
  const common = { table: u32, protocol: u8, type: u8, flags: u32, oif: maybe(u32), priority: maybe(u32) };
  const more = { nexthopId: maybe(u32), mtu: maybe(u32), encap: maybe(encap), unknown };
  const ipv4 = fc.record({
    destination: maybe(
      fc.tuple(ip4, fc.integer({ min: 1, max: 32 })).map(([base, length]) => Prefix.of(base, length)),
    ),
    family: fc.constant('ipv4' as const),
    ...common,
    scope: u8,
    gateway: maybe(ip4),
    preferredSource: maybe(ip4),
    ...more,
  });
  const ipv6 = fc.record({
    destination: maybe(
      fc.tuple(ip6, fc.integer({ min: 1, max: 128 })).map(([base, length]) => Prefix.of(base, length)),
    ),
    family: fc.constant('ipv6' as const),
    ...common,
    scope: fc.constant(0),
    gateway: maybe(ip6),
    ...more,
  });
  survives(fc.oneof(ipv4.map(defined), ipv6.map(defined)), value =>
    decodeRoute(written(writer => writeRoute(writer, value))),
  );
});

test('a route needs something that decides its family', () => {
  assert.throws(() => written(writer => writeRoute(writer, { oif: 1 })), RangeError);
});

test('next hops', () => {
  const nexthop = fc.record({
    id: u32,
    family: fc.constantFrom('ipv4' as const, 'ipv6' as const),
    scope: u8,
    protocol: u8,
    flags: u32,
    gateway: maybe(ip),
    oif: maybe(u32),
    blackhole: maybe(fc.constant(true)),
    unknown,
  });
  survives(nexthop.map(defined), value => decodeNexthop(written(writer => writeNexthop(writer, value))));
});

test('rules', () => {
  const block = fc
    .tuple(ip4, fc.integer({ min: 1, max: 32 }))
    .map(([base, length]) => Prefix.of(base, length));
  const rule = fc.record({
    family: fc.constant('ipv4' as const),
    priority: maybe(u32),
    table: u32,
    source: maybe(block),
    destination: maybe(block),
    fwmark: maybe(u32),
    fwmask: maybe(u32),
    iifName: maybe(name),
    oifName: maybe(name),
    action: u8,
    protocol: maybe(u8),
    unknown,
  });
  survives(rule.map(defined), value => decodeRule(written(writer => writeRule(writer, value))));
});

test('kinds of links', () => {
  const kinds = fc.oneof<fc.Arbitrary<LinkInfo>[]>(
    fc.record({
      kind: fc.constant('vxlan' as const),
      id: fc.nat(0xffffff),
      local: ip,
      group: ip,
      link: u32,
      portRange: fc.record({ low: u16, high: u16 }),
      learning: fc.boolean(),
      label: u32,
      gbp: fc.constant(true),
      unknown,
    }),
    fc.record({
      kind: fc.constant('veth' as const),
      peer: fc.record({ name, mac, mtu: u32, netnsFd: u32 }),
    }),
    fc.record({
      kind: fc.constant('bridge' as const),
      vlanFiltering: fc.boolean(),
      ageingTime: u32,
      unknown,
    }),
    fc.record({
      kind: fc.constant('tun' as const),
      type: fc.constantFrom('tun' as const, 'tap' as const),
      owner: u32,
      persist: fc.boolean(),
      unknown,
    }),
    fc.record({
      kind: fc.constant('macvlan' as const),
      mode: fc.constantFrom(
        'private' as const,
        'vepa' as const,
        'bridge' as const,
        'passthru' as const,
        'source' as const,
      ),
      flags: u16,
      unknown,
    }),
    fc.record({
      kind: fc.constant('ipip' as const),
      link: u32,
      local: ip4,
      remote: ip4,
      ttl: u8,
      tos: u8,
      pmtuDiscovery: fc.boolean(),
      protocol: u8,
      fwmark: u32,
      collectMetadata: fc.constant(true),
      encapType: u16,
      encapFlags: u16,
      encapSourcePort: u16,
      encapDestinationPort: u16,
      unknown,
    }),
    fc.record({ kind: fc.constant('wireguard' as const) }),
    fc.record({
      kind: fc.constant('other' as const),
      name: fc.constant('dummy'),
      data: fc.uint8Array({ maxLength: 20 }),
    }),
  );
  survives(kinds, value => {
    const { kind, data } = encodeLinkInfo(value);
    return decodeLinkInfo(kind, data);
  });
});

test('families have the numbers of the kernel, others have none', () => {
  assert.deepEqual([familyNumber('ipv4'), familyNumber('ipv6'), familyNumber(undefined)], [2, 10, 0]);
  assert.deepEqual([2, 10, 7, 0, 28].map(familyOf), ['ipv4', 'ipv6', undefined, undefined, undefined]);
});
