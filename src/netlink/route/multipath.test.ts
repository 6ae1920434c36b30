import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHex } from '../../base/bytes.ts';
import { linksOfRoute, nexthopsOfRoute } from './multipath.ts';

/** Two next hops: through 192.168.65.7 on link 3, and on link 4 with weight 3, dead. */
const TWO = '1000 00 00 03000000 0800 0500 c0a84107 0800 01 02 04000000';

const multipath = (hex: string) => ({ unknown: [{ type: 9, payload: parseHex(hex) }] });

test('a route with several next hops has their links, gateways and weights', () => {
  const nexthops = nexthopsOfRoute(multipath(TWO));
  assert.deepEqual(
    nexthops.map(({ oif, gateway, weight, flags }) => [oif, gateway?.toString(), weight, flags]),
    [
      [3, '192.168.65.7', 1, 0],
      [4, undefined, 3, 1],
    ],
  );
  assert.deepEqual(linksOfRoute(multipath(TWO)), [3, 4]);
});

test('a length below that of the header is taken for the header alone', () => {
  assert.deepEqual(linksOfRoute(multipath('0000 00 00 03000000 0800 00 00 04000000')), [3, 4]);
});

test('a route with one link has that one', () => {
  assert.deepEqual(linksOfRoute({ oif: 5, unknown: [] }), [5]);
  assert.deepEqual(nexthopsOfRoute({ unknown: [] }), []);
});
