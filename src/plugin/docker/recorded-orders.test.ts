import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callPlugin, recordedOrder } from '../../../test/support/docker-orders.ts';
import {
  answersTo,
  assertAllWell,
  DEADLINE,
  pluginHost as host,
} from '../../../test/support/docker-plugin-host.ts';
import { AttachmentError } from '../../network/attachment/attachments.ts';

test('a network without options is the one of its name, from the first container on', DEADLINE, async t => {
  const { attachments, play } = await host(t);
  const results = await play(recordedOrder('20.10-create-run-stop'));
  assertAllWell(results);
  assert.ok(attachments.calls.includes('ensure blue'));
  assert.deepEqual(
    answersTo(results, '.RequestAddress').map(({ Address }) => Address),
    ['10.129.0.2/16', '10.129.0.3/16'],
  );
  const [joined] = answersTo(results, '.Join');
  assert.equal(joined?.['Gateway'], '10.129.0.1');
  assert.equal(joined?.['DisableGatewayService'], true);
  assert.match(JSON.stringify(joined), /"SrcName":"te[0-9a-f]{12}","DstPrefix":"eth"/);
  assert.deepEqual(attachments.list(), []);
  assert.deepEqual(attachments.held('blue'), []);
});

for (const name of [
  '20.10-ipv6',
  '20.10-gateway-aux-options',
  '20.10-two-networks',
  '20.10-disconnect-connect',
  '20.10-internal',
  '20.10-remove',
  '28-create-run-stop',
  '28-without-ipv4',
  '29-gateway-per-family',
]) {
  test(
    `every call of ${name} is answered, and nothing is left when all containers are gone`,
    DEADLINE,
    async t => {
      const { attachments, play } = await host(t);
      const order = recordedOrder(name);
      const results = await play(order);
      assertAllWell(results);
      const open = (what: string) => order.filter(({ uri }) => uri.endsWith(what)).length;
      assert.equal(attachments.list().length, open('.CreateEndpoint') - open('.DeleteEndpoint'));
    },
  );
}

test('what is refused when it is made leaves nothing', DEADLINE, async t => {
  const { attachments, play } = await host(t);
  attachments.failures.attach = new AttachmentError('NOT_READY', 'no underlay', { hint: 'wait' });
  const results = await play(recordedOrder('20.10-endpoint-refused'));
  assert.deepEqual(
    results.filter(({ status }) => status !== 200).map(({ answer }) => answer),
    [{ Err: 'no underlay (wait)', Error: 'no underlay (wait)' }],
  );
  assert.deepEqual([...attachments.list(), ...attachments.held('blue')], []);
});

test(
  'a container on two networks has one route to the resolver, and Docker a link for each',
  DEADLINE,
  async t => {
    const { play } = await host(t);
    const results = await play(recordedOrder('20.10-two-networks'));
    const joins = answersTo(results, '.Join');
    const routes = joins.map(({ StaticRoutes }) => (StaticRoutes as unknown[]).length);
    assert.deepEqual(routes, [1, 0, 1, 0]);
    assert.deepEqual(joins[0]?.['StaticRoutes'], [
      { Destination: '169.254.53.53/32', RouteType: 0, NextHop: '10.129.0.1' },
    ]);
  },
);

test('the agent that comes next knows which network has the route to the resolver', DEADLINE, async t => {
  const { play, restart } = await host(t);
  const results = await play(recordedOrder('20.10-two-networks'), {
    after: async ({ uri }) => {
      if (/\.(Join|Leave)$/.test(uri)) await restart();
    },
  });
  const joins = answersTo(results, '.Join');
  assert.deepEqual(
    joins.map(({ StaticRoutes }) => (StaticRoutes as unknown[]).length),
    [1, 0, 1, 0],
  );
});

test('nothing leads out of an internal network', DEADLINE, async t => {
  const { attachments, play } = await host(t);
  const results = await play(recordedOrder('20.10-internal'));
  const [joined] = answersTo(results, '.Join');
  assert.equal(attachments.find('inner')?.internal, true);
  assert.equal(joined?.['Gateway'], undefined);
  assert.equal(joined?.['DisableGatewayService'], true);
  assert.deepEqual(joined?.['StaticRoutes'], [{ Destination: '169.254.53.53/32', RouteType: 1 }]);
});

test(
  'with tulle.keep=mac a container with a MAC address of its own gets the address that it had',
  DEADLINE,
  async t => {
    const { path, attachments } = await host(t);
    const post = async (uri: string, body: object) => {
      const { status, text } = await callPlugin(path, uri, JSON.stringify(body));
      assert.equal(status, 200, text);
      return JSON.parse(text) as Record<string, string>;
    };
    const PoolID = 'ipv4 auto 0.1.2.3';
    await post('/NetworkDriver.CreateNetwork', {
      NetworkID: 'a1',
      Options: { 'com.docker.network.generic': { 'tulle.network': 'blue', 'tulle.keep': 'mac' } },
      IPv4Data: [{ AddressSpace: 'tulle', Pool: '0.0.0.0/0', Gateway: '0.1.2.3/8' }],
    });
    const ask = async (mac: string) =>
      (
        await post('/IpamDriver.RequestAddress', {
          PoolID,
          Options: { 'com.docker.network.endpoint.macaddress': mac },
        })
      )['Address'] ?? '';
    const giveBack = (address: string) =>
      post('/IpamDriver.ReleaseAddress', { PoolID, Address: address.split('/')[0] });
    const own = await ask('02:aa:00:00:00:01');
    const drawn = await ask('02:42:00:00:00:01');
    await giveBack(own);
    await giveBack(drawn);
    assert.notEqual(await ask('02:42:00:00:00:02'), own);
    assert.equal(await ask('02:aa:00:00:00:01'), own);
    assert.equal(attachments.held('blue').length, 2);
  },
);
