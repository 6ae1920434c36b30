import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { freeSubnet } from './free-subnet.ts';
import type { SegmentContext } from './segment-context.ts';

const EMPTY: SegmentContext = {
  networks: [],
  overlayVni: 1,
  hostAddresses: [],
  segments: [],
  vnis: new Map(),
};

test('a free subnet overlaps nothing that is known, and there is one as long as anything private is free', () => {
  const taken = fc.array(
    fc
      .tuple(fc.nat(255), fc.integer({ min: 9, max: 24 }))
      .map(([octet, length]) => Prefix.parse(`10.${octet}.0.0/${length}`)),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(fc.string(), taken, taken, (name, networks, local) => {
      const found = freeSubnet({ name, family: 'ipv4', taken: local }, { ...EMPTY, networks });
      assert.ok(found !== undefined);
      assert.ok(![...networks, ...local].some(one => one.overlaps(found)));
    }),
  );
});

test('networks of different names begin to look at different places, and 10.0.0.0/8 is not all there is', () => {
  const of = (name: string, taken: readonly string[] = []) =>
    `${freeSubnet({ name, family: 'ipv4', taken: taken.map(Prefix.parse) }, EMPTY)}`;
  assert.equal(of('blue'), of('blue'));
  assert.notEqual(of('blue'), of('green'));
  assert.equal(of('blue', ['10.0.0.0/8']), '172.31.0.0/16');
  assert.equal(of('blue', ['10.0.0.0/8', '172.16.0.0/12']), 'undefined');
});

test('an IPv6 subnet is a unique local one', () => {
  const random = () => Uint8Array.of(1, 2, 3, 4, 5);
  const found = freeSubnet({ name: 'blue', family: 'ipv6', taken: [], random }, EMPTY);
  assert.equal(`${found}`, 'fd01:203:405::/64');
});
