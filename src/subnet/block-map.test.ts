import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ADDRESS_BITS, type Family, Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { BlockMap } from './block-map.ts';

/** Few addresses and many lengths, so that most blocks have something to do with each other. */
const block = fc
  .tuple(fc.constantFrom<Family>('ipv4', 'ipv6'), fc.bigInt(0n, 255n), fc.integer({ min: 0, max: 8 }))
  .map(([family, value, shorter]) => Prefix.of(Ip.fromBigInt(family, value), ADDRESS_BITS[family] - shorter));

test('finds an overlap exactly when there is one, whatever the order of additions and questions', () => {
  const step = fc.record({ add: fc.boolean(), block });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const map = new BlockMap<string>();
      const model: Prefix[] = [];
      for (const { add, block } of steps) {
        if (add) {
          map.add(block, `${block}`);
          model.push(block);
          continue;
        }
        const found = map.overlapping(block);
        const overlapping = model.filter(each => each.overlaps(block));
        assert.equal(found !== undefined, overlapping.length > 0, `${block} in ${model.join(' ')}`);
        if (found === undefined) continue;
        assert.equal(found.value, `${found.block}`);
        const containing = overlapping.filter(each => each.contains(block));
        if (containing.length === 0) assert.ok(block.contains(found.block));
        else assert.equal(found.block.length, Math.max(...containing.map(each => each.length)));
      }
    }),
    { numRuns: 1000 },
  );
});

test('the first of two equal blocks stays', () => {
  const map = new BlockMap<string>();
  map.add(Prefix.parse('10.0.0.0/24'), 'first');
  map.add(Prefix.parse('10.0.0.0/24'), 'second');
  assert.equal(map.overlapping(Prefix.parse('10.0.0.0/24'))?.value, 'first');
});
