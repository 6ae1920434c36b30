/** This host's part in the registry, over a store in memory and an overlay that only records what is desired. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { encodeText, hostAttributes, RegistryFixture } from '../../test/support/registry.ts';
import type { KeyValue } from '../store/store.ts';
import { config, network, OverlayHarness } from '../testing/network/overlay-harness.ts';
import { Membership } from './membership.ts';

/** A host that takes part until the test is over. */
async function join(
  t: TestContext,
  fixture: RegistryFixture,
  harness?: OverlayHarness,
  cachedKeys: readonly KeyValue[] = [],
) {
  const { overlay, health, events } = (harness ??= await OverlayHarness.make(t));
  const { store, registry } = fixture.connect();
  overlay.setNetwork(network('192.168.65.3/24'));
  const membership = new Membership({
    registry,
    overlay,
    health,
    events,
    clock: fixture.clock,
    renewMargin: 3_600_000,
    previous: undefined,
    formerTexts: new Map(),
    cachedKeys: () => cachedKeys,
  });
  if (cachedKeys.length > 0) store.cut();
  const stop = new AbortController();
  const running = membership.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  const condition = (name: string) => health.conditions().find(now => now.name === name);
  const warnings = () => health.warnings().map(({ code }) => code);
  return { harness, membership, store, condition, warnings };
}

const configure = (fixture: RegistryFixture, network: string) =>
  fixture.store.put(
    fixture.registry.configKey,
    encodeText(JSON.stringify({ Network: network, Backend: { Type: 'vxlan', VNI: 88 } })),
  );

test('a new network is followed: with a lease of it, and with the peers that are in it', async t => {
  const fixture = new RegistryFixture();
  const peer = { ...hostAttributes(7), backendData: { ipv4: '88' } };
  await configure(fixture, '10.3.0.0/16');
  await fixture.put('10.3.7.0-24', peer);
  await fixture.put('10.77.7.0-24', peer);
  const { harness, membership } = await join(t, fixture);
  await fixture.clock.advance(1000);
  assert.match(membership.leaseStatus()?.key ?? '', /^10\.3\.\d+\.0-24$/);
  assert.deepEqual(
    harness.overlay.peers.keysOf(() => true),
    ['10.3.7.0-24'],
  );

  await configure(fixture, '10.77.0.0/16');
  await fixture.clock.advance(1000);
  assert.match(membership.leaseStatus()?.key ?? '', /^10\.77\.\d+\.0-24$/);
  assert.deepEqual(
    harness.overlay.peers.keysOf(() => true),
    ['10.77.7.0-24'],
  );
  assert.equal(String(harness.overlay.active.value?.plan.config.ipv4?.network), '10.77.0.0/16');
});

test('a host that starts while the store is away works on with the lease it had', async t => {
  const fixture = new RegistryFixture();
  const harness = await OverlayHarness.make(t, { config: config(88) });
  harness.overlay.setNetwork(network('192.168.65.3/24'));
  harness.overlay.setConfig({ failure: { code: 'NO_CONFIG', reason: 'not read yet' }, problems: [] });
  const own = harness.overlay.plan.value?.attributes ?? assert.fail('no plan');
  await configure(fixture, '10.3.0.0/16');
  await fixture.put('10.3.7.0-24', { ...hostAttributes(7), backendData: { ipv4: '88' } }, 86_400);
  await fixture.put('10.3.5.0-24', own, 86_400);
  const { kvs } = await fixture.store.list('');
  const { membership, condition, store } = await join(t, fixture, harness, kvs);
  await fixture.clock.advance(1000);
  const { key, ownership } = membership.leaseStatus() ?? assert.fail('no lease');
  assert.deepEqual([key, ownership], ['10.3.5.0-24', 'unconfirmed']);
  assert.equal(condition('lease')?.ok, true);
  store.heal();
  await fixture.clock.advance(30_000);
  assert.deepEqual(
    [membership.leaseStatus()?.key, membership.leaseStatus()?.ownership],
    ['10.3.5.0-24', 'held'],
  );
});

test('a lease that cannot be had is the condition until it can', async t => {
  const fixture = new RegistryFixture();
  const text = { Network: '10.3.0.0/16', SubnetMin: '10.3.7.0', SubnetMax: '10.3.7.0' };
  await fixture.store.put(
    fixture.registry.configKey,
    encodeText(JSON.stringify({ ...text, Backend: { Type: 'vxlan' } })),
  );
  const storeLease = await fixture.put('10.3.7.0-24', hostAttributes(7), 86_400);
  const { condition, harness } = await join(t, fixture);
  await fixture.clock.advance(1000);
  assert.deepEqual([condition('lease')?.ok, condition('lease')?.code], [false, 'OUT_OF_SUBNETS']);
  await fixture.store.revoke(storeLease);
  await fixture.clock.advance(120_000);
  assert.equal(condition('lease')?.ok, true);
  assert.equal(harness.overlay.active.value?.lease.key, '10.3.7.0-24');
});

test('what is wrong with the leases of peers is a warning for as long as it lasts', async t => {
  const fixture = new RegistryFixture();
  await configure(fixture, '10.3.0.0/16');
  const { warnings, membership } = await join(t, fixture);
  await fixture.clock.advance(1000);
  assert.deepEqual(warnings(), []);
  const { publicIp } = hostAttributes(3);
  await fixture.put('10.3.7.0-24', { ...hostAttributes(7), publicIp: publicIp ?? assert.fail() });
  await fixture.put('10.3.8.0-24', 'a printer');
  await fixture.clock.advance(1000);
  assert.deepEqual(warnings(), ['DUPLICATE_PUBLIC_IP']);
  assert.deepEqual(Array.from(membership.rejected, ({ key }) => key).sort(), ['10.3.7.0-24', '10.3.8.0-24']);
  await fixture.store.delete(fixture.registry.pathOf('10.3.7.0-24'));
  await fixture.put('10.3.9.0-24', hostAttributes(9));
  await fixture.put('10.3.10.0-24', {
    ...hostAttributes(10),
    publicIp: hostAttributes(9).publicIp ?? assert.fail(),
  });
  await fixture.clock.advance(1000);
  assert.deepEqual(warnings(), ['SHARED_PUBLIC_IP']);
  await fixture.store.delete(fixture.registry.pathOf('10.3.10.0-24'));
  await fixture.clock.advance(1000);
  assert.deepEqual(warnings(), []);
});

test('peers that an emptied store has forgotten are a warning until their hosts write them again', async t => {
  const fixture = new RegistryFixture();
  await configure(fixture, '10.3.0.0/16');
  const peer = { ...hostAttributes(7), backendData: { ipv4: '88' } };
  await fixture.put('10.3.7.0-24', peer);
  const { warnings, harness } = await join(t, fixture);
  await fixture.clock.advance(1000);
  fixture.database.reset();
  await configure(fixture, '10.3.0.0/16');
  await fixture.clock.advance(1000);
  assert.ok(warnings().includes('PEERS_KEPT'));
  assert.equal(harness.overlay.peers.size, 1);
  await fixture.put('10.3.7.0-24', peer);
  await fixture.clock.advance(1000);
  assert.ok(!warnings().includes('PEERS_KEPT'));
});
