import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { endpointOf, memberOf, SegmentFixture } from '../../../test/support/segments.ts';
import { removeSegment } from './administration.ts';
import type { SegmentsSnapshot } from './segment.ts';

const DAY = 86_400_000;

async function setUp(t: TestContext) {
  const fixture = new SegmentFixture();
  const blue = await fixture.add();
  const host = fixture.host(1);
  t.after(() => host[Symbol.asyncDispose]());
  await fixture.clock.advance(0);
  const { id: lease } = await fixture.store.grant(10 * 86_400);
  return {
    fixture,
    host,
    blue,
    lease,
    seen: async () => {
      await fixture.clock.advance(0);
      const { segments, rejected } = host.watch.snapshot as SegmentsSnapshot;
      const { members, endpoints, ranges } = segments.get('blue') ?? {};
      return {
        members: [...(members?.keys() ?? [])],
        endpoints: [...(endpoints?.values() ?? [])].map(({ ip, hostId }) => `${ip} ${hostId}`),
        ranges: [...(ranges?.values() ?? [])].map(({ block }) => `${block}`),
        rejected: rejected.map(({ key, reason }) => `${key}: ${reason}`),
      };
    },
    happened: () => host.events.splice(0).map(({ type }) => type),
  };
}

describe('the watch of L2 networks', () => {
  test('gives the same object for a network that has not changed, and another for one that has', async t => {
    const { fixture, host, blue, lease } = await setUp(t);
    await fixture.add({ name: 'green', subnets: ['10.8.0.0/16'] });
    await fixture.clock.advance(0);
    const before = host.watch.snapshot;
    await fixture.registry.join(blue, memberOf(2), lease);
    await fixture.clock.advance(0);
    const after = host.watch.snapshot;
    assert.ok(before && after);
    assert.equal(after.segments.get('green'), before.segments.get('green'));
    assert.notEqual(after.segments.get('blue'), before.segments.get('blue'));
    assert.equal(before.segments.get('blue')?.members.size, 0);
    assert.equal(host.watch.snapshot, after);
  });

  test('reads everything again when the history it missed is gone', async t => {
    const { fixture, host, blue, lease, seen, happened } = await setUp(t);
    await fixture.registry.claimEndpoints(blue, [endpointOf(2, '10.9.1.2')], lease);
    assert.deepEqual((await seen()).endpoints, ['10.9.1.2 host-2']);
    host.store.cut();
    await fixture.registry.releaseEndpoints(blue, [endpointOf(2, '10.9.1.2').ip], 'host-2');
    await fixture.registry.claimEndpoints(blue, [endpointOf(2, '10.9.1.3')], lease);
    fixture.database.compact();
    assert.deepEqual((await seen()).endpoints, ['10.9.1.2 host-2']);
    assert.equal(host.watch.isConnected.value, false);
    host.store.heal();
    assert.deepEqual((await seen()).endpoints, ['10.9.1.3 host-2']);
    assert.equal(host.watch.isConnected.value, true);
    assert.deepEqual(happened(), ['interrupted', 'resumed']);
  });

  test('keeps what a store without its data has forgotten for a day', async t => {
    const { fixture, blue, lease, seen, happened } = await setUp(t);
    await fixture.registry.claimEndpoints(blue, [endpointOf(2, '10.9.1.2')], lease);
    await fixture.registry.join(blue, memberOf(2), lease);
    await seen();
    fixture.database.reset();
    const kept = { members: ['host-2'], endpoints: ['10.9.1.2 host-2'], ranges: [], rejected: [] };
    assert.deepEqual(await seen(), kept);
    assert.deepEqual(happened(), ['forgotten']);
    await fixture.clock.advance(DAY - 1000);
    assert.deepEqual(await seen(), kept);
    await fixture.clock.advance(2000);
    assert.deepEqual(await seen(), { members: [], endpoints: [], ranges: [], rejected: [] });
  });

  test('reports a wrong value of another writer once, and goes on without it', async t => {
    const { fixture, host, seen, happened } = await setUp(t);
    const wrong = {
      'blue/endpoints/10.9.1.2': 'x',
      'blue/endpoints/10.9.1.02': { hostId: 'a' },
      'blue/members/host-3': { addresses: ['0.0.0.0'] },
      'blue/ranges/10.9.1.0-24': {},
      'blue/nothing': {},
      'Blue/config': {},
      'red/config': { id: 7 },
    };
    for (const [key, value] of Object.entries(wrong)) await fixture.put(key, value);
    const { rejected, ...rest } = await seen();
    assert.deepEqual(rest, { members: [], endpoints: [], ranges: [] });
    assert.deepEqual(new Set(rejected.map(line => line.split(':')[0])), new Set(Object.keys(wrong)));
    assert.equal(happened().length, 7);
    await fixture.put('blue/endpoints/10.9.1.7', 'x');
    await seen();
    assert.deepEqual(
      host.events.map(event => 'key' in event && event.key),
      ['blue/endpoints/10.9.1.7'],
    );
    for (const key of Object.keys(wrong))
      await fixture.store.delete(`${fixture.registry.keys.directory}${key}`);
    host.events.length = 0;
    assert.equal((await seen()).rejected.length, 1);
    assert.deepEqual(new Set(happened()), new Set(['accepted']));
  });

  test('keeps a network whose configuration becomes wrong, and drops one whose configuration is gone', async t => {
    const { fixture, host, blue, lease, seen } = await setUp(t);
    await fixture.registry.join(blue, memberOf(2), lease);
    await fixture.put('blue/config', '{');
    const { members, rejected } = await seen();
    assert.deepEqual(members, ['host-2']);
    assert.match(rejected[0] ?? '', /^blue\/config: .*want JSON/);
    await removeSegment(fixture.registry, 'blue', { force: true }).catch(() => undefined);
    await fixture.store.delete(fixture.registry.keys.config('blue'));
    await seen();
    assert.equal(host.watch.snapshot?.segments.size, 0);
  });

  test('of what conflicts the older one is right', async t => {
    const { fixture, blue, lease, seen } = await setUp(t);
    const own = endpointOf(2, '10.9.1.2');
    await fixture.registry.claimEndpoints(blue, [own], lease);
    const thief = { hostId: 'host-3', container: 'thief', mac: own.mac };
    await fixture.put('blue/endpoints/10.9.1.3', thief);
    await fixture.put('blue/endpoints/10.9.1.4', { ...thief, hostId: 'host-2' });
    await fixture.put('blue/ranges/10.9.4.0-24', { hostId: 'host-2' });
    await fixture.put('blue/ranges/10.9.4.0-22', { hostId: 'host-3' });
    await fixture.put('blue/ranges/10.8.4.0-24', { hostId: 'host-3' });
    await fixture.put('blue/endpoints/10.9.0.1', { ...thief, mac: '02:00:00:00:99:01' });
    await fixture.put('blue/endpoints/10.8.0.1', { ...thief, mac: '02:00:00:00:99:02' });
    assert.deepEqual(await seen(), {
      members: [],
      endpoints: ['10.9.1.2 host-2', '10.9.1.4 host-2'],
      ranges: ['10.9.4.0/24'],
      rejected: [
        `blue/endpoints/10.9.1.3: has the MAC address ${own.mac}, which c2 on docker2 has too`,
        'blue/ranges/10.9.4.0-22: overlaps 10.9.4.0/24, which is older',
        'blue/ranges/10.8.4.0-24: is outside of the subnets',
        'blue/endpoints/10.9.0.1: is the address of the gateway',
        'blue/endpoints/10.8.0.1: is outside of the subnets',
      ],
    });
    // When the older one goes, the other is good.
    await fixture.registry.releaseEndpoints(blue, [own.ip], 'host-2');
    await fixture.store.delete(`${fixture.registry.keys.directory}blue/endpoints/10.9.1.4`);
    assert.deepEqual((await seen()).endpoints, ['10.9.1.3 host-3']);
  });
});
