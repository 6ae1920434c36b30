import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from './ip.ts';
import { byFamily, familiesOf, mapFamilies, perFamily, valuesOf } from './per-family.ts';

test('a record has the families that have a value, IPv4 first', () => {
  const record = byFamily(Ip.parse('2001:db8::1'), Ip.parse('192.0.2.1'));
  assert.deepEqual(familiesOf(record), ['ipv4', 'ipv6']);
  assert.deepEqual(valuesOf(record).map(String), ['192.0.2.1', '2001:db8::1']);
  assert.deepEqual(Object.keys(byFamily(Ip.parse('2001:db8::1'))), ['ipv6']);
  assert.deepEqual(valuesOf({}), []);
  assert.deepEqual(familiesOf({ ipv6: false }), ['ipv6'], 'false is a value');
});

test('what is undefined is absent', () => {
  assert.deepEqual(
    perFamily(family => (family === 'ipv6' ? 128 : undefined)),
    { ipv6: 128 },
  );
  const record = { ipv4: 1, ipv6: 2 };
  assert.deepEqual(
    mapFamilies(record, (value, family) => (value > 1 ? `${family} ${value}` : undefined)),
    { ipv6: 'ipv6 2' },
  );
  assert.deepEqual(mapFamilies({ ipv4: 1 }, String), { ipv4: '1' });
});
