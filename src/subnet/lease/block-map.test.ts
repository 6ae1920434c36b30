import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESS_BITS, type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { BlockMap } from './block-map.ts';

/** Few addresses and many lengths, so that most blocks have something to do with each other. */
const block = fc
  .tuple(fc.constantFrom<Family>('ipv4', 'ipv6'), fc.bigInt(0n, 255n), fc.integer({ min: 0, max: 8 }))
  .map(([family, value, shorter]) => Prefix.of(Ip.fromBigInt(family, value), ADDRESS_BITS[family] - shorter));

test('finds exactly what overlaps, whatever was added and removed in whatever order', () => {
  const step = fc.record({ act: fc.constantFrom('add', 'delete', 'ask'), block });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const map = new BlockMap<string>();
      const model = new Map<string, Prefix>();
      for (const { act, block } of steps) {
        if (act === 'add') {
          map.add(block, `${block}`);
          model.set(`${block}`, block);
        } else if (act === 'delete') {
          map.delete(block);
          model.delete(`${block}`);
        }
        const found = map.overlaps(block);
        for (const each of found) assert.equal(each.value, `${each.block}`);
        const want = [...model.values()].filter(each => each.overlaps(block));
        assert.deepEqual(new Set(found.map(each => each.value)), new Set(want.map(String)));
        assert.equal(found.length, want.length);
        const containing = found.filter(each => each.block.contains(block)).map(each => each.block.length);
        assert.deepEqual(
          containing,
          containing.toSorted((a, b) => b - a),
        );
        assert.ok(found.slice(0, containing.length).every(each => each.block.contains(block)));
      }
    }),
    { numRuns: 1000 },
  );
});

test('the first of two equal blocks stays', () => {
  const map = new BlockMap<string>();
  map.add(Prefix.parse('10.0.0.0/24'), 'first');
  map.add(Prefix.parse('10.0.0.0/24'), 'second');
  assert.deepEqual(
    map.overlaps(Prefix.parse('10.0.0.0/24')).map(({ value }) => value),
    ['first'],
  );
});
