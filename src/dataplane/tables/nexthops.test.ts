import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { FIRST_NEXTHOP_ID, NexthopIds } from './nexthops.ts';

const gateway = (index: number) => Ip.parse('10.0.0.0').plus(index * 256);

describe('NexthopIds', () => {
  test('gives the same numbers after a restart, each once, all in our range', () => {
    const [before, after] = [new NexthopIds('flannel.1'), new NexthopIds('flannel.1')];
    const gateways = Array.from({ length: 20_000 }, (_, index) => gateway(index));
    const ids = gateways.map(ip => before.of(ip));
    assert.deepEqual(
      gateways.map(ip => after.of(ip)),
      ids,
    );
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.every(id => id >= FIRST_NEXTHOP_ID && id < FIRST_NEXTHOP_ID + 2 ** 24));
    assert.notEqual(new NexthopIds('flannel.2').of(gateway(1)), ids[1]);
  });

  test('keeps what the kernel holds from before, whatever its number', () => {
    const ids = new NexthopIds('flannel.1');
    ids.adopt(5, gateway(1));
    ids.adopt(6, gateway(1));
    assert.equal(ids.of(gateway(1)), 5);
  });

  test('gives way to others, before and after it chose', () => {
    const usual = new NexthopIds('flannel.1').of(gateway(1));
    const ids = new NexthopIds('flannel.1');
    assert.deepEqual(ids.avoid([usual]), []);
    assert.equal(ids.of(gateway(1)), usual + 1);
    assert.deepEqual(ids.avoid([usual + 1]), [usual + 1]);
    assert.equal(ids.of(gateway(1)), usual);
    assert.deepEqual(ids.avoid([1, 2, 3]), []);
  });
});
