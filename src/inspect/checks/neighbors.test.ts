import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import type { Neighbor } from '../../netlink/route/objects.ts';
import { tableCauses } from './neighbors.ts';

const neighbors = (count: number, state = 0x02): Neighbor[] =>
  Array.from({ length: count }, (_, at) => ({
    index: 2,
    ip: Ip.parse(`10.0.0.${at + 1}`),
    state,
    flags: 0,
    unknown: [],
  }));

test('the table of neighbors is full, nearly full, or its limit is not known', () => {
  const read = (path: string) => (path === 'net/ipv4/neigh/default/gc_thresh3' ? '20' : undefined);
  const found = (...facts: [Neighbor[], number?]) =>
    tableCauses(facts[0], read, facts[1] === undefined ? {} : { ipv4: facts[1] }).map(
      ({ severity }) => severity,
    );
  assert.deepEqual(
    [found(neighbors(20)), found(neighbors(19)), found(neighbors(9))],
    [['error'], ['warning'], []],
  );
  assert.deepEqual(found(neighbors(30, 0x80)), [], 'permanent entries have no limit');
  assert.deepEqual(found(neighbors(1), 25), ['error'], 'other namespaces fill it as well');
  assert.deepEqual(
    tableCauses(neighbors(30), () => undefined),
    [],
  );
});
