import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { socketAddress } from '../../sys/socket-address.ts';
import { fc } from '../../testing/properties.ts';
import { indexPrefixes, PrefixIndex } from './prefix-index.ts';
import { type ForwarderRoute, RouteTable } from './route-table.ts';
import { Routes } from './routes.ts';

const viewOf = (ip: Ip) => new DataView(ip.bytes.buffer);

const address4 = fc.nat(0xffff_ffff).map(value => Ip.fromKey(value));
const address6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(value => Ip.fromKey(value));

describe('PrefixIndex', () => {
  for (const [family, address, bits] of [
    ['ipv4', address4, 32],
    ['ipv6', address6, 128],
  ] as const) {
    test(`finds the longest prefix of ${family}, as a search through all would`, () => {
      const prefix = fc.tuple(address, fc.nat(bits)).map(([ip, length]) => Prefix.of(ip, length));
      fc.assert(
        fc.property(fc.array(prefix, { maxLength: 60 }), fc.array(address), (prefixes, others) => {
          const index = new PrefixIndex(
            indexPrefixes(
              family,
              prefixes.map((of, at) => [of, at + 1] as const),
            ),
          );
          for (const ip of [...others, ...prefixes.flatMap(({ ip: first, last }) => [first, last])]) {
            const found = index.find(viewOf(ip), 0);
            const best = prefixes.filter(of => of.contains(ip)).sort((a, b) => b.length - a.length)[0];
            assert.ok(best === undefined ? found === 0 : prefixes[found - 1]?.equals(best) === true);
          }
        }),
      );
    });
  }

  test('of equal prefixes the last one counts', () => {
    const prefix = Prefix.parse('10.0.0.0/8');
    const index = new PrefixIndex(
      indexPrefixes('ipv4', [
        [prefix, 3],
        [prefix, 5],
      ]),
    );
    assert.equal(index.find(viewOf(Ip.parse('10.9.9.9')), 0), 5);
  });
});

describe('RouteTable', () => {
  const route = (subnet: string, remote: string, more: Partial<ForwarderRoute> = {}): ForwarderRoute => ({
    subnet: Prefix.parse(subnet),
    remote: Ip.parse(remote),
    port: 8285,
    ...more,
  });
  const slotOf = (table: RouteTable, address: string) => {
    const ip = Ip.parse(address);
    return new Routes(table.data(), 1400).find(ip.family === 'ipv4' ? 4 : 6, viewOf(ip), 0);
  };

  test('gives a route the same slot for as long as it is there', () => {
    const table = new RouteTable();
    table.set(route('10.1.0.0/24', '192.0.2.1'));
    table.set(route('10.2.0.0/24', '192.0.2.2'));
    const slot = slotOf(table, '10.1.0.9');
    table.set(route('10.1.0.0/24', '2001:db8::1', { mtu: 1300 }));
    assert.equal(slotOf(table, '10.1.0.9'), slot);
    const routes = new Routes(table.data(), 1400);
    assert.deepEqual([routes.familyOf(slot), routes.mtuOf(slot)], [6, 1300]);
    assert.equal(routes.mtuOf(slotOf(table, '10.2.0.1')), 1400);
  });

  test('gives a slot away only when it is free', () => {
    const table = new RouteTable();
    table.set(route('10.1.0.0/24', '192.0.2.1'));
    const slot = table.delete(Prefix.parse('10.1.0.0/24')) ?? 0;
    assert.equal(table.delete(Prefix.parse('10.1.0.0/24')), undefined);
    table.set(route('10.2.0.0/24', '192.0.2.2'));
    assert.notEqual(slotOf(table, '10.2.0.1'), slot);
    table.free([slot]);
    table.set(route('10.3.0.0/24', '192.0.2.3'));
    assert.equal(slotOf(table, '10.3.0.1'), slot);
    assert.equal(slotOf(table, '10.1.0.1'), 0);
  });

  test('knows which address a peer has, whatever its port', () => {
    const table = new RouteTable();
    table.set(route('10.1.0.0/24', '192.0.2.1'));
    table.set(route('fd01::/64', '2001:db8::1'));
    const routes = new Routes(table.data(), 1400);
    for (const [inside, outside, version] of [
      ['10.1.0.7', '192.0.2.1', 4],
      ['fd01::7', '2001:db8::1', 6],
    ] as const) {
      const slot = slotOf(table, inside);
      assert.ok(routes.hasAddress(slot, version, socketAddress(Ip.parse(outside), 999), 0));
      const next = Ip.parse(outside).plus(1);
      assert.ok(!routes.hasAddress(slot, version, socketAddress(next, 8285), 0));
      assert.ok(routes.isPeer(version, viewOf(Ip.parse(outside)), 0));
      assert.ok(!routes.isPeer(version, viewOf(next), 0));
      const copy = new Uint8Array(40);
      const length = routes.copyAddress(slot, copy, 3);
      assert.deepEqual(copy.slice(3, 3 + length), socketAddress(Ip.parse(outside), 8285));
    }
    assert.ok(!routes.hasAddress(slotOf(table, 'fd01::7'), 4, socketAddress(Ip.parse('192.0.2.1'), 8285), 0));
  });
});
