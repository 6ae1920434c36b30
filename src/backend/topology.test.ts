import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { fc } from '../testing/properties.ts';
import { Topology, type UnderlayRoute } from './topology.ts';

const route = (destination: string, link?: number, gateway?: string): UnderlayRoute => ({
  destination: Prefix.parse(destination),
  ...(link !== undefined && { link }),
  ...(gateway !== undefined && { gateway: Ip.parse(gateway) }),
});

test('a host is adjacent when its route leads over the link itself, through no gateway', () => {
  const topology = new Topology([
    route('0.0.0.0/0', 2, '192.168.65.1'),
    route('192.168.65.0/24', 2),
    route('192.168.65.128/25', 2, '192.168.65.1'),
    route('192.168.65.9/32', 3),
    route('192.168.65.10/32'),
    route('2001:db8::/64', 2),
  ]);
  const adjacent = (ip: string) => topology.isAdjacent(Ip.parse(ip), 2);
  assert.equal(adjacent('192.168.65.4'), true);
  assert.equal(adjacent('2001:db8::4'), true);
  assert.equal(adjacent('192.168.65.200'), false, 'a longer prefix leads through a router');
  assert.equal(adjacent('192.168.65.9'), false, 'it is on another link');
  assert.equal(adjacent('192.168.65.10'), false, 'there are several next hops');
  assert.equal(adjacent('10.0.0.1'), false, 'only the default route is left');
  assert.equal(adjacent('2001:db8:1::1'), false, 'there is no route');
});

test('of two routes to one destination the first is used, which the kernel prefers', () => {
  const topology = new Topology([route('10.0.0.0/8', 2), route('10.0.0.0/8', 2, '192.168.65.1')]);
  assert.equal(topology.isAdjacent(Ip.parse('10.1.2.3'), 2), true);
});

test('the route is that of the longest prefix that has the address', () => {
  const prefixes = fc
    .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 }))
    .map(([key, length]) => Prefix.of(Ip.fromKey(key), length));
  fc.assert(
    fc.property(
      fc.array(prefixes, { maxLength: 30 }),
      fc.integer({ min: 0, max: 0xffffffff }),
      (blocks, key) => {
        const ip = Ip.fromKey(key);
        const longest = blocks
          .filter(block => block.contains(ip))
          .reduce<Prefix | undefined>(
            (best, block) => (block.length > (best?.length ?? -1) ? block : best),
            undefined,
          );
        const found = new Topology(blocks.map(destination => ({ destination }))).routeTo(ip);
        assert.equal(String(found?.destination), String(longest));
      },
    ),
  );
});
