import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  callPlugin,
  playOrder,
  type RecordedCall,
  recordedOrder,
} from '../../../test/support/docker-orders.ts';
import { assertAllWell, DEADLINE, pluginHost as host } from '../../../test/support/docker-plugin-host.ts';
import { eventually } from '../../../test/support/eventually.ts';
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import { AttachmentError } from '../../network/attachment/attachments.ts';

/** Milliseconds until what Docker does not list is left over, for an agent of which nobody asks anything. */
const SOON = 50;

test('a restarted agent knows its networks while Docker cannot be asked', DEADLINE, async t => {
  const { attachments, daemon, play, restart } = await host(t);
  const order = recordedOrder('20.10-create-run-stop');
  const isFirst = new Set<string>();
  let pool = '';
  await play(order.slice(0, 6), {
    after: ({ uri, answer }) => {
      isFirst.add(uri);
      if (uri.endsWith('.RequestPool')) pool = answer['PoolID'] as string;
    },
  });
  await play(order.slice(6, 7).map(call => ({ ...call, body: { ...(call.body as object), PoolID: pool } })));
  assert.equal(attachments.held('blue').length, 1);
  daemon.isUp = false;
  await restart();
  const call = {
    uri: '/IpamDriver.RequestAddress',
    body: {
      PoolID: pool,
      Address: '',
      Options: { 'com.docker.network.endpoint.macaddress': '02:42:00:00:00:77' },
    },
  };
  assertAllWell(await play([call]));
  assert.equal(attachments.held('blue').length, 2);
});

test(
  'a body that is empty, no JSON, or something else is refused, and an unknown call is unknown',
  DEADLINE,
  async t => {
    const { path, attachments } = await host(t);
    const uri = '/NetworkDriver.CreateEndpoint';
    const empty = await callPlugin(path, uri);
    assert.equal(empty.status, 400);
    assert.match(empty.text, /\(the agent was restarted during this call: do it again\)/);
    assert.equal((await callPlugin(path, uri, '{')).status, 400);
    const { status, text } = await callPlugin(path, uri, '{"NetworkID":"../x","Interface":{"Address":7}}');
    assert.equal(status, 400);
    assert.match(text, /NetworkID: .*; EndpointID: .*; Interface\.Address: /);
    assert.equal((await callPlugin(path, '/NetworkDriver.Nothing', '{}')).status, 404);
    assert.equal((await callPlugin(path, '/__proto__', '{}')).status, 404);
    assert.deepEqual(attachments.calls, []);
  },
);

test('an agent that dies when a call is done, before its answer, leaves nothing for long', {
  timeout: 60_000,
}, async t => {
  const order = recordedOrder('20.10-create-run-stop').filter(
    ({ body }) => !JSON.stringify(body).includes('8f6c1572'),
  );
  const calls = order.slice(0, 13);
  const ends = calls.flatMap(({ uri }, at) =>
    /RequestAddress|CreateEndpoint|Join|Program/.test(uri) ? [at] : [],
  );
  assert.equal(ends.length >= 4, true);
  for (const last of ends) {
    const { attachments, daemon, play, restart } = await host(t);
    daemon.present.push({ ...EMPTY, Id: networkIn(order) });
    await play(calls.slice(0, last + 1));
    assert.equal(attachments.held('blue').length > 0, true);
    // dockerd gives up the container, and has nothing to give back of what it was not told.
    await restart(SOON);
    await until(() => attachments.list().length === 0 && attachments.held('blue').length === 0);
  }
});

test(
  'the names of a container reach its endpoint, and a port is published where its way out is',
  DEADLINE,
  async t => {
    const { attachments, daemon, play } = await host(t);
    const order = recordedOrder('20.10-create-run-stop').slice(0, 12);
    const endpoint =
      order.flatMap(({ body }) => (body as { EndpointID?: string } | null)?.EndpointID ?? [])[0] ?? '';
    const network = networkIn(order);
    daemon.containers.set('c5', {
      Name: '/web',
      Config: { Labels: { 'com.docker.compose.service': 'front' } },
      NetworkSettings: {
        Networks: {
          blue: { NetworkID: network, EndpointID: endpoint, Aliases: ['www', '89e77eacd40c'], DNSNames: [] },
        },
      },
    });
    const portmap = [{ Proto: 6, IP: '', Port: 80, HostIP: '0.0.0.0', HostPort: 8080, HostPortEnd: 8080 }];
    const published = order.map(call =>
      call.uri.includes('Program')
        ? { ...call, body: { ...(call.body as object), Options: { 'com.docker.network.portmap': portmap } } }
        : call,
    );
    assertAllWell(await play(published));
    daemon.tell('network', 'connect', network, { container: 'c5', name: 'blue' });
    await until(() => attachments.get(endpoint)?.container === 'web');
    assert.deepEqual(attachments.get(endpoint)?.names, ['www', '89e77eacd40c', 'front']);
    assert.deepEqual(attachments.calls.filter(call => call.startsWith('attach')).length, 2);
  },
);

test('a comparison that fails is made again, and ends nothing', DEADLINE, async t => {
  const { attachments, daemon, play, restart } = await host(t);
  const order = recordedOrder('20.10-create-run-stop');
  daemon.present.push({ ...EMPTY, Id: networkIn(order) });
  assertAllWell(await play(order.slice(0, 12)));
  assert.equal(attachments.list().length > 0, true);
  attachments.failures.reconcile = new AttachmentError('NOT_READY', 'the comparison takes longer than 2 s');
  await restart(SOON);
  await until(() => attachments.failures.reconcile === undefined && attachments.list().length === 0);
});

test(
  'a name that Docker does not tell is an error with a hint, before the call is late',
  DEADLINE,
  async t => {
    const { attachments, path, daemon } = await host(t);
    const order = recordedOrder('20.10-create-run-stop').slice(0, 8);
    daemon.isUp = false;
    const results = await playOrder(path, order);
    const [failed] = results.filter(({ status }) => status !== 200);
    assert.match(
      String(failed?.answer['Err']),
      /Docker has not told the name of this network \(.*tulle\.network/,
    );
    assert.deepEqual(attachments.held('blue'), []);
  },
);

test(
  'a network that could not be used is tried again without a container that wants it',
  DEADLINE,
  async t => {
    const { attachments, daemon, play, codes } = await host(t, SOON);
    const order = recordedOrder('20.10-create-run-stop');
    // A comparison would forget a network that Docker does not list.
    daemon.present.push({ ...EMPTY, Id: networkIn(order) });
    attachments.failures.ensure = new AttachmentError('NOT_READY', 'the store does not answer');
    await play(order.slice(0, 6), {
      after: async ({ uri }) => {
        if (!uri.endsWith('.CreateNetwork')) return;
        await until(() => attachments.failures.ensure === undefined);
      },
    });
    await until(() => attachments.find('blue') !== undefined && codes().length === 0);
  },
);

test(
  'a record that is lost is read from Docker, and a network that Docker lost is forgotten',
  DEADLINE,
  async t => {
    const { attachments, daemon, restart, path } = await host(t, SOON);
    const Id = 'f'.repeat(64);
    daemon.present.push({ ...EMPTY, Id, IPAM: { Config: [config('0.0.0.0/0', '0.9.8.7')] } });
    await restart();
    await until(() => attachments.calls.includes('ensure blue'));
    const PoolID = 'ipv4 auto 0.9.8.7';
    const body = JSON.stringify({
      PoolID,
      Options: { 'com.docker.network.endpoint.macaddress': '02:42:00:00:00:01' },
    });
    assert.equal((await callPlugin(path, '/IpamDriver.RequestAddress', body)).status, 200);
    daemon.present.length = 0;
    await restart();
    await until(() => attachments.held('blue').length === 0);
    await until(async () =>
      (await callPlugin(path, '/IpamDriver.RequestAddress', body)).text.includes('no Docker network'),
    );
  },
);

const networkIn = (order: readonly RecordedCall[]) =>
  (order[5]?.body as { NetworkID?: string } | undefined)?.NetworkID ?? assert.fail();

const config = (Subnet: string, Gateway: string) => ({ Subnet, Gateway, IPRange: '' });

const EMPTY: DockerNetworkState = {
  Name: 'blue',
  Id: '',
  Driver: 'tulle',
  Internal: false,
  EnableIPv6: false,
  IPAM: { Config: [] },
  Options: {},
  Labels: {},
  Containers: {},
};

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  await eventually('it is so', async () => isSo());
}
