import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { configOf, hostAttributes, IPV4, RegistryFixture } from '../../../test/support/registry.ts';
import { Prefix } from '../../base/prefix.ts';
import { PeerTracker, type TrackerEvent } from './peers.ts';

async function start(t: TestContext, fixture: RegistryFixture) {
  const { store, registry } = fixture.connect();
  const events: TrackerEvent[] = [];
  const tracker = new PeerTracker(registry, {
    config: IPV4,
    self: hostAttributes(1),
    ownKey: '10.5.254.0-24',
    onEvent: event => events.push(event),
    clock: fixture.clock,
  });
  const end = new AbortController();
  const reported: string[] = [];
  let hold: Promise<void> | undefined;
  const running = tracker.run(end.signal);
  const following = (async () => {
    for await (const { changed, removed } of tracker.changes(end.signal)) {
      reported.push([...changed.map(({ key }) => `+${key}`), ...removed.map(key => `-${key}`)].join(' '));
      await hold;
    }
  })();
  t.after(async () => {
    end.abort();
    await Promise.all([running, following]);
  });
  return {
    store,
    tracker,
    changes: async () => {
      await fixture.clock.advance(0);
      return reported.splice(0);
    },
    happened: () => events.splice(0).map(({ type }) => type),
    holdConsumer: (promise: Promise<void>) => {
      hold = promise;
    },
  };
}

test('an empty cluster is known to be empty, and not before the store has answered', async t => {
  const fixture = new RegistryFixture();
  const { store, registry } = fixture.connect();
  store.cut();
  const end = new AbortController();
  const tracker = new PeerTracker(registry, { config: IPV4, self: hostAttributes(1), clock: fixture.clock });
  const running = tracker.run(end.signal);
  const first = tracker.changes(end.signal).next();
  t.after(() => running);
  await fixture.clock.advance(1000);
  assert.equal(await Promise.race([first, Promise.resolve('not yet')]), 'not yet');
  store.heal();
  assert.deepEqual((await first).value, { changed: [], removed: [] });
  end.abort();
});

test('peers as they come and go; our own lease is none', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.1.0-24', hostAttributes(1), 60);
  await fixture.put('10.5.2.0-24', hostAttributes(2), 60);
  const { changes, tracker } = await start(t, fixture);
  assert.deepEqual(await changes(), ['+10.5.2.0-24']);
  await fixture.put('10.5.3.0-24', hostAttributes(3), 3600);
  assert.deepEqual(await changes(), ['+10.5.3.0-24']);
  await fixture.put('config', '{}');
  await fixture.clock.advance(61_000);
  assert.deepEqual(await changes(), ['-10.5.2.0-24']);
  assert.deepEqual(
    Array.from(tracker.peers(), ({ key }) => key),
    ['10.5.3.0-24'],
  );
  assert.deepEqual(
    Array.from(tracker.rejected(), ({ key }) => key),
    ['config'],
  );
});

test('a host that exchanges its lease for one that overlaps it is not reported as in its own way', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.2.0-24', hostAttributes(2), 60);
  const { changes, happened } = await start(t, fixture);
  assert.deepEqual(await changes(), ['+10.5.2.0-24']);
  const { registry } = fixture.connect();
  const { leases } = await registry.list();
  const subnet = { ipv4: Prefix.parse('10.5.2.0/25') };
  assert.ok((await registry.create(subnet, hostAttributes(2), 0n, leases)).ok);
  assert.deepEqual(await changes(), ['+10.5.2.0-25 -10.5.2.0-24']);
  assert.deepEqual(happened(), []);
});

test('a slow consumer gets the newest state, not the way to it', async t => {
  const fixture = new RegistryFixture();
  const { changes, holdConsumer } = await start(t, fixture);
  await changes();
  const { promise, resolve } = Promise.withResolvers<void>();
  holdConsumer(promise);
  await fixture.put('10.5.2.0-24', hostAttributes(2));
  assert.deepEqual(await changes(), ['+10.5.2.0-24']);
  for (let round = 0; round < 5; round++)
    await fixture.put('10.5.3.0-24', { ...hostAttributes(3), backendData: { ipv4: round } });
  await fixture.store.delete(fixture.registry.pathOf('10.5.2.0-24'));
  assert.deepEqual(await changes(), []);
  resolve();
  assert.deepEqual(await changes(), ['+10.5.3.0-24 -10.5.2.0-24']);
});

test('an interruption removes nobody; what was missed is reported when contact is back', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.2.0-24', hostAttributes(2));
  await fixture.put('10.5.3.0-24', hostAttributes(3));
  const { store, changes, happened, tracker } = await start(t, fixture);
  await changes();
  store.cut();
  await fixture.store.delete(fixture.registry.pathOf('10.5.2.0-24'));
  await fixture.put('10.5.4.0-24', hostAttributes(4));
  await fixture.clock.advance(3_600_000);
  assert.deepEqual(await changes(), []);
  assert.equal(Array.from(tracker.peers()).length, 2);
  store.heal();
  assert.deepEqual((await changes()).join(' ').split(' ').sort(), ['+10.5.4.0-24', '-10.5.2.0-24']);
  assert.deepEqual(happened(), ['interrupted', 'resumed']);
});

test('a compaction in an outage: exactly the differences are reported, and none about ourselves', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.1.0-24', hostAttributes(1));
  for (const number of [2, 3, 4]) await fixture.put(`10.5.${number}.0-24`, hostAttributes(number));
  const { store, changes } = await start(t, fixture);
  await changes();
  store.cut();
  await fixture.store.delete(fixture.registry.pathOf('10.5.2.0-24'));
  await fixture.put('10.5.3.0-24', { ...hostAttributes(3), backendData: { ipv4: 'new' } });
  fixture.database.compact();
  store.heal();
  assert.deepEqual(await changes(), ['+10.5.3.0-24 -10.5.2.0-24']);
});

test('a store that has forgotten everything ends no lease before its time', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.2.0-24', hostAttributes(2));
  await fixture.put('10.5.3.0-24', hostAttributes(3));
  const { changes, tracker, happened } = await start(t, fixture);
  await changes();
  fixture.database.reset();
  assert.deepEqual(await changes(), []);
  assert.deepEqual(happened(), ['forgotten']);
  assert.deepEqual([...tracker.kept()], ['10.5.2.0-24', '10.5.3.0-24']);
  await fixture.put('10.5.3.0-24', hostAttributes(3));
  await fixture.put('10.5.4.0-24', hostAttributes(4));
  assert.deepEqual((await changes()).join(' '), '+10.5.3.0-24 +10.5.4.0-24');
  assert.deepEqual([...tracker.kept()], ['10.5.2.0-24']);
  await fixture.clock.advance(86_399_000);
  assert.deepEqual(await changes(), []);
  await fixture.clock.advance(1000);
  assert.deepEqual(await changes(), ['-10.5.2.0-24']);
  assert.deepEqual([...tracker.kept()], []);
});

test('another configuration and another address of ours judge the peers anew', async t => {
  const fixture = new RegistryFixture();
  await fixture.put('10.5.2.0-24', hostAttributes(2));
  await fixture.put('10.6.2.0-24', hostAttributes(3));
  const { changes, tracker } = await start(t, fixture);
  await changes();
  tracker.update({ config: configOf({ Network: '10.6.0.0/16' }) });
  assert.deepEqual(await changes(), ['+10.6.2.0-24 -10.5.2.0-24']);
  tracker.update({ self: { ...hostAttributes(1), ...hostAttributes(3), hostId: 'host-1' } });
  assert.deepEqual(await changes(), ['-10.6.2.0-24']);
  assert.match(Array.from(tracker.rejected(), ({ reason }) => reason).join(), /outside the network.*own/);
});
