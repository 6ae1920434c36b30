/** Two hosts that want what only one of them can have: each stays as it is, and the store is not written to again and again. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { endpointOf, memberOf, SegmentFixture } from '../../../test/support/segments.ts';
import type { MemoryStore } from '../../testing/memory-store.ts';
import { gatewayMac } from './segment-mac.ts';
import { encodeEndpoint } from './segment-value.ts';

/** A host that never stops writing fails, and does not keep the test from ending. */
function limitWrites(store: MemoryStore, most = 50): void {
  const transact = store.transact.bind(store);
  let count = 0;
  store.transact = transaction => {
    assert.ok(++count <= most, 'the host writes again and again');
    return transact(transaction);
  };
}

async function setUp(t: TestContext) {
  const fixture = new SegmentFixture();
  const blue = await fixture.add();
  const hosts = [fixture.host(1), fixture.host(2)] as const;
  for (const host of hosts) {
    t.after(() => host[Symbol.asyncDispose]());
    limitWrites(host.store);
  }
  await fixture.clock.advance(0);
  for (const [at, { presence }] of hosts.entries()) presence.setMember(blue, memberOf(at + 1));
  return {
    fixture,
    blue,
    hosts,
    endpoints: async () => {
      const { endpoints } = await fixture.registry.get('blue');
      return [...endpoints.values()].map(({ ip, hostId }) => `${ip} ${hostId}`).sort();
    },
    /** How often the store was changed while nothing happened. */
    writesAtRest: async () => {
      const { revision } = await fixture.store.list('/');
      for (let second = 0; second < 20; second++) await fixture.clock.advance(1000);
      return Number((await fixture.store.list('/')).revision - revision);
    },
  };
}

test('of two with one MAC address the older is published, and the other one when that has gone', async t => {
  const { fixture, blue, hosts, endpoints, writesAtRest } = await setUp(t);
  const [one, two] = hosts;
  const { mac } = endpointOf(1, '10.9.1.2');
  one.presence.setEndpoints(blue, [{ ...endpointOf(1, '10.9.1.2'), mac }]);
  await fixture.clock.advance(0);
  two.presence.setEndpoints(blue, [{ ...endpointOf(2, '10.9.2.2'), mac }]);
  await fixture.clock.advance(0);
  assert.equal(await writesAtRest(), 0);
  assert.deepEqual(await endpoints(), ['10.9.1.2 host-1']);
  assert.deepEqual(
    two.conflicts.map(({ endpoint, owner }) => `${endpoint.ip} ${owner.ip}`),
    ['10.9.2.2 10.9.1.2'],
  );
  one.presence.setEndpoints(blue, []);
  await fixture.clock.advance(0);
  assert.deepEqual(await endpoints(), ['10.9.2.2 host-2']);
});

test('one of two with one MAC address that came at the same moment is taken back', async t => {
  const { fixture, blue, hosts, writesAtRest } = await setUp(t);
  const { mac } = endpointOf(1, '10.9.1.2');
  for (const [at, { presence }] of hosts.entries()) {
    presence.setEndpoints(blue, [{ ...endpointOf(at + 1, `10.9.${at + 1}.2`), mac }]);
  }
  await fixture.clock.advance(0);
  assert.equal(await writesAtRest(), 0);
  assert.equal((await fixture.keys()).filter(key => key.includes('endpoints')).length, 1);
});

test('nobody uses what has the MAC address of the gateway', async t => {
  const { fixture, blue, endpoints } = await setUp(t);
  const thief = { ...endpointOf(2, '10.9.2.9'), mac: gatewayMac(blue) };
  await fixture.put('blue/endpoints/10.9.2.9', new TextDecoder().decode(encodeEndpoint(thief)));
  assert.deepEqual(await endpoints(), []);
  const { rejected } = await fixture.registry.list();
  assert.deepEqual(rejected, [
    { key: 'blue/endpoints/10.9.2.9', reason: 'has the MAC address of the gateway' },
  ]);
});

test('a copy of a host, with its identity, does not write against it for ever', async t => {
  const fixture = new SegmentFixture();
  const blue = await fixture.add();
  // Both are host-1; the copy has another address and another container.
  const [host, copy] = [fixture.host(1), fixture.host(1)];
  for (const one of [host, copy]) {
    t.after(() => one[Symbol.asyncDispose]());
    limitWrites(one.store, 400);
  }
  await fixture.clock.advance(0);
  host.presence.setMember(blue, memberOf(1));
  copy.presence.setMember(blue, { ...memberOf(2), hostId: 'host-1' });
  host.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.2')]);
  copy.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.3')]);
  // Half an hour; each pause ends within the limit of a minute.
  for (let minute = 0; minute < 30; minute++) await fixture.clock.advance(60_000);
  const { revision } = await fixture.store.list('/');
  for (let minute = 0; minute < 10; minute++) await fixture.clock.advance(60_000);
  const writes = Number((await fixture.store.list('/')).revision - revision);
  assert.ok(writes > 0 && writes <= 80, `${writes} writes in ten minutes`);

  // What ends it is that one of the two goes: the other one has all of its keys again.
  copy.presence.setMember(blue, null);
  copy.presence.setEndpoints(blue, []);
  copy.presence.forget(blue);
  for (let minute = 0; minute < 3; minute++) await fixture.clock.advance(60_000);
  const { endpoints } = await fixture.registry.get('blue');
  assert.deepEqual(
    [...endpoints.values()].map(({ ip }) => `${ip}`),
    ['10.9.1.2'],
  );
});

test('a copy of a host that is known to be one leaves all to the other', async t => {
  const fixture = new SegmentFixture();
  const blue = await fixture.add();
  const [host, copy] = [fixture.host(1), fixture.host(1)];
  for (const one of [host, copy]) t.after(() => one[Symbol.asyncDispose]());
  await fixture.clock.advance(0);
  host.presence.setMember(blue, memberOf(1));
  host.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.2')]);
  await fixture.clock.advance(0);
  copy.presence.suspend(true);
  copy.presence.setMember(blue, { ...memberOf(2), hostId: 'host-1' });
  copy.presence.setEndpoints(blue, [endpointOf(1, '10.9.1.3')]);
  await assert.rejects(copy.presence.add(blue, [endpointOf(1, '10.9.1.4')]), { code: 'NOT_READY' });
  const { revision } = await fixture.store.list('/');
  for (let second = 0; second < 20; second++) await fixture.clock.advance(1000);
  assert.equal((await fixture.store.list('/')).revision, revision);

  // The other one is gone for good, and its lease was released: this one is the host now.
  await host[Symbol.asyncDispose]();
  copy.presence.suspend(false);
  await fixture.clock.advance(0);
  const { endpoints, members } = await fixture.registry.get('blue');
  assert.deepEqual(
    [...endpoints.values()].map(({ ip }) => `${ip}`),
    ['10.9.1.3'],
  );
  assert.deepEqual(members.get('host-1')?.addresses, memberOf(2).addresses);
});
