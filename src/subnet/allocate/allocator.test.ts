import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { type FamilyConfig, isLeasable, parseNetworkConfig, subnetCount } from '../config/config.ts';
import { BlockMap } from '../lease/block-map.ts';
import { allocate } from './allocator.ts';

function family(json: object, name: 'ipv4' | 'ipv6' = 'ipv4'): FamilyConfig {
  const found = parseNetworkConfig(JSON.stringify(json)).config[name];
  assert.ok(found);
  return found;
}

const SMALL = family({
  Network: '10.5.0.0/20',
  SubnetLen: 26,
  SubnetMin: '10.5.3.64',
  SubnetMax: '10.5.9.128',
});

function takenOf(blocks: readonly Prefix[]): BlockMap<true> {
  const map = new BlockMap<true>();
  for (const block of blocks) map.add(block, true);
  return map;
}

/** Blocks of all sizes around the range, as leases of other lengths and hand-written keys are. */
const foreign = fc
  .tuple(fc.nat(0x1fff), fc.integer({ min: 20, max: 30 }))
  .map(([offset, length]) => Prefix.of(Ip.parse('10.5.0.0').plus(offset), length));

describe('allocate', () => {
  test('a free subnet of the range, found exactly when there is one', () => {
    fc.assert(
      fc.property(fc.array(foreign, { maxLength: 60 }), fc.string(), fc.nat(5), (blocks, hostId, attempt) => {
        const free: Prefix[] = [];
        for (let slot = 0n; slot < subnetCount(SMALL); slot++) {
          const subnet = Prefix.of(SMALL.subnetMin.plus(slot * 64n), 26);
          if (!blocks.some(block => block.overlaps(subnet))) free.push(subnet);
        }
        const subnet = allocate(SMALL, takenOf(blocks), hostId, attempt);
        assert.equal(subnet !== undefined, free.length > 0);
        if (subnet === undefined) return;
        assert.ok(isLeasable(SMALL, subnet));
        assert.ok(free.some(each => each.equals(subnet)));
      }),
      { numRuns: 500 },
    );
  });

  test('the same host gets the same subnet while it is free, whoever else came and went', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.array(foreign, { maxLength: 20 }), (hostId, blocks) => {
        const preferred = allocate(SMALL, takenOf([]), hostId);
        assert.ok(preferred);
        const others = blocks.filter(block => !block.overlaps(preferred));
        assert.ok(allocate(SMALL, takenOf(others), hostId)?.equals(preferred));
        assert.ok(!allocate(SMALL, takenOf([preferred]), hostId)?.equals(preferred));
      }),
    );
  });

  test('who lost a race goes elsewhere', () => {
    const wide = family({ Network: '10.0.0.0/8' });
    const starts = Array.from(
      { length: 8 },
      (_, attempt) => `${allocate(wide, takenOf([]), 'host', attempt)}`,
    );
    assert.ok(new Set(starts).size >= 7, starts.join(' '));
  });

  test('hosts spread over the network', () => {
    const wide = family({ Network: '10.0.0.0/8' });
    const nothing = takenOf([]);
    const starts = Array.from({ length: 1000 }, (_, index) => `${allocate(wide, nothing, `host-${index}`)}`);
    // A thousand hosts on 65,535 starts: about 8 collisions are expected of a good hash.
    assert.ok(new Set(starts).size > 970);
  });

  test('every subnet is given out before one is refused', () => {
    const whole = family({ Network: '10.5.0.0/16' });
    const taken = new BlockMap<true>();
    const given = new Set<string>();
    for (let index = 0; index < 255; index++) {
      const subnet = allocate(whole, taken, `host-${index}`);
      assert.ok(subnet);
      taken.add(subnet, true);
      given.add(`${subnet}`);
    }
    assert.equal(given.size, 255);
    assert.equal(allocate(whole, taken, 'one too many'), undefined);
  });

  test('one that contains the whole range leaves nothing, at once, in a network of 2^56 subnets', () => {
    const huge = family({ EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/8' }, 'ipv6');
    assert.equal(subnetCount(huge), 2n ** 56n - 1n);
    assert.equal(allocate(huge, takenOf([Prefix.parse('fc00::/8')]), 'host'), undefined);
    const half = allocate(huge, takenOf([Prefix.parse('fc80::/9')]), 'host');
    assert.ok(half && Prefix.parse('fc00::/9').contains(half));
  });
});
