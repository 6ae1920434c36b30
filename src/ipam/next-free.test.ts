import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { fc } from '../testing/properties.ts';
import { nextFree } from './next-free.ts';

const RANGES = ['10.9.1.0/30', '10.9.7.0/31', '10.9.8.8/29'].map(Prefix.parse);
/** In the order in which they are given out: the first of a range last. */
const ALL = RANGES.flatMap(({ ip, size }) => [
  ...Array.from({ length: Number(size) - 1 }, (_, at) => `${ip.plus(at + 1)}`),
  `${ip}`,
]);

test('every address is given out once, and one that was freed when all others were', () => {
  const taken = new Set<string>();
  const given: string[] = [];
  let last: Ip | undefined;
  for (;;) {
    const ip = nextFree(RANGES, last, one => taken.has(`${one}`));
    if (ip === undefined) break;
    taken.add(`${ip}`);
    given.push(`${ip}`);
    last = ip;
  }
  assert.deepEqual(new Set(given), new Set(ALL));
  assert.equal(given.length, ALL.length);
  taken.delete('10.9.7.1');
  assert.equal(`${nextFree(RANGES, last, one => taken.has(`${one}`))}`, '10.9.7.1');
});

test('there is one exactly when there is a free one, and it is of a range', () => {
  fc.assert(
    fc.property(fc.subarray(ALL), fc.option(fc.constantFrom(...ALL, '10.1.1.1')), (taken, after) => {
      const last = after === null ? undefined : Ip.parse(after);
      const ip = nextFree(RANGES, last, one => taken.includes(`${one}`));
      if (taken.length === ALL.length) assert.equal(ip, undefined);
      else assert.ok(ip !== undefined && ALL.includes(`${ip}`) && !taken.includes(`${ip}`));
    }),
  );
});

test('a range of IPv6 is searched from where it was left', () => {
  const range = Prefix.parse('fd00:9::1:0:0/96');
  let asked = 0;
  const ip = nextFree([range], Ip.parse('fd00:9::1:0:ffff'), () => asked++ < 3);
  assert.equal(`${ip}`, 'fd00:9::1:1:3');
});
