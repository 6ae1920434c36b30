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
