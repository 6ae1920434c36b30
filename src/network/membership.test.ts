/** This host's part in the registry, over a store in memory and an overlay that only records what is desired. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { encodeText, hostAttributes, World } from '../../test/support/registry.ts';
import { network, OverlayHarness } from '../testing/network/overlay-harness.ts';
import { Membership } from './membership.ts';

/** A host that takes part until the test is over. */
async function join(t: TestContext, world: World) {
  const harness = await OverlayHarness.make(t);
  const { overlay, health, events } = harness;
  harness.overlay.setNetwork(network('192.168.65.3/24'));
  const membership = new Membership({
    registry: world.registry,
    overlay,
    health,
    events,
    clock: world.clock,
    renewMargin: 3_600_000,
    previous: undefined,
    cachedKeys: () => [],
  });
  const stop = new AbortController();
  const running = membership.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return { harness, membership };
}

const configure = (world: World, network: string) =>
  world.store.put(
    world.registry.configKey,
    encodeText(JSON.stringify({ Network: network, Backend: { Type: 'vxlan', VNI: 88 } })),
  );

test('a new network is followed: with a lease of it, and with the peers that are in it', async t => {
  const world = new World();
  const peer = { ...hostAttributes(7), backendData: '88' };
  await configure(world, '10.3.0.0/16');
  await world.put('10.3.7.0-24', peer);
  await world.put('10.77.7.0-24', peer);
  const { harness, membership } = await join(t, world);
  await world.clock.advance(1000);
  assert.match(membership.leaseStatus()?.key ?? '', /^10\.3\.\d+\.0-24$/);
  assert.deepEqual(
    harness.overlay.peers.keysOf(() => true),
    ['10.3.7.0-24'],
  );

  await configure(world, '10.77.0.0/16');
  await world.clock.advance(1000);
  assert.match(membership.leaseStatus()?.key ?? '', /^10\.77\.\d+\.0-24$/);
  assert.deepEqual(
    harness.overlay.peers.keysOf(() => true),
    ['10.77.7.0-24'],
  );
  assert.equal(String(harness.overlay.active.value?.plan.config.ipv4?.network), '10.77.0.0/16');
});
