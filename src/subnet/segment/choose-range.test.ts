import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { chooseRange } from './choose-range.ts';
import type { Segment } from './segment.ts';
import type { SegmentKey } from './segment-key.ts';

const SUBNET = Prefix.parse('10.9.0.0/24');
const SEGMENT = { name: 'blue', subnets: { ipv4: SUBNET }, rangeLengths: { ipv4: 28 } } as Segment;

const range = (block: string): SegmentKey => ({ kind: 'range', name: 'blue', block: Prefix.parse(block) });
const endpoint = (ip: string): SegmentKey => ({ kind: 'endpoint', name: 'blue', ip: Ip.parse(ip) });
const choose = (keys: readonly SegmentKey[], random = 0) =>
  `${chooseRange(SEGMENT, 'ipv4', keys, () => random)}`;

test('the first free range after the one for addresses given by hand', () => {
  assert.equal(choose([]), '10.9.0.16/28');
  assert.equal(choose([range('10.9.0.16/28')]), '10.9.0.32/28');
  assert.equal(choose([range('10.9.0.32/28')]), '10.9.0.16/28');
  // Blocks of any size count, also those of another subnet, which do not.
  assert.equal(choose([range('10.9.0.0/26'), range('10.9.0.65/32'), range('10.0.0.0/24')]), '10.9.0.80/28');
  assert.equal(choose([endpoint('10.9.0.17')]), '10.9.0.32/28');
  assert.equal(choose([], 0.99), '10.9.0.240/28');
  assert.throws(() => chooseRange(SEGMENT, 'ipv6', [], () => 0), { code: 'NOT_FOUND' });
});

test('one with containers when there is no other, and then none', () => {
  const others = Array.from({ length: 15 }, (_, at) => `10.9.0.${(at + 1) * 16}/28`);
  const all = others.map(range);
  assert.equal(choose([...all.slice(1), endpoint('10.9.0.17')]), '10.9.0.16/28');
  assert.throws(() => choose(all), { code: 'EXHAUSTED_RANGES' });
  assert.throws(() => choose([range('10.9.0.0/24')]), { code: 'EXHAUSTED_RANGES' });
});

test('never one that overlaps another, whatever there is', () => {
  const block = fc.tuple(fc.nat(300), fc.integer({ min: 22, max: 32 })).map(([offset, length]) => {
    return Prefix.of(Ip.parse('10.8.255.200').plus(offset), length);
  });
  fc.assert(
    fc.property(
      fc.array(block, { maxLength: 20 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (blocks, random) => {
        const keys = blocks.map(one => range(`${one}`));
        const free = Array.from({ length: 15 }, (_, at) =>
          Prefix.of(SUBNET.ip.plus((at + 1) * 16), 28),
        ).filter(one => !blocks.some(other => other.overlaps(one)));
        if (free.length === 0) assert.throws(() => choose(keys, random), { code: 'EXHAUSTED_RANGES' });
        else assert.equal(choose(keys, random), `${free[Math.floor(random * free.length)]}`);
      },
    ),
  );
});

test('a subnet of IPv6 has ranges without end', () => {
  const wide = { name: 'six', subnets: { ipv6: Prefix.parse('fd00:9::/64') }, rangeLengths: { ipv6: 96 } };
  const taken = Array.from({ length: 1000 }, (_, at) => range(`fd00:9::${(at + 1).toString(16)}:0:0/96`));
  assert.equal(`${chooseRange(wide as Segment, 'ipv6', taken, () => 0)}`, 'fd00:9::3e9:0:0/96');
});
