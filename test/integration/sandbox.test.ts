/**
 * Attaching sandboxes to a bridge, on the real kernel.
 *
 *     host namespace:  bridge tb0 10.88.0.1/24  --- p1 === eth0 10.88.0.2 in sandbox 1
 *                                               --- p2 === eth0 10.88.0.3 in sandbox 2
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { Prefix, parseInterfaceAddress } from '../../src/base/prefix.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { ensureBridge } from '../../src/sandbox/bridge.ts';
import { attach, detach, type EndpointSpec, type Sandbox } from '../../src/sandbox/endpoint.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

const BRIDGE = {
  name: 'tb0',
  mac: Mac.parse('02:00:00:00:00:01'),
  addresses: [parseInterfaceAddress('10.88.0.1/24')],
  mtu: 1450,
};

const endpoint = (number: number): EndpointSpec => ({
  hostLink: `p${number}`,
  bridge: BRIDGE.name,
  sandboxLink: 'eth0',
  addresses: [parseInterfaceAddress(`10.88.0.${number + 1}/24`)],
  routes: [{ gateway: Ip.parse('10.88.0.1') }, { destination: Prefix.parse('10.99.0.0/16') }],
  mtu: 1450,
  mac: Mac.parse(`02:00:00:00:00:1${number}`),
});

describe('an endpoint', needsRoot, () => {
  test('joins sandbox and bridge, with addresses, routes, MTU and MAC', () =>
    withSandboxes(async ({ host, sandbox, ping }) => {
      const [one, two] = [await sandbox(), await sandbox()];
      await attach(host.route, one, endpoint(1));
      await attach(host.route, two, endpoint(2));

      const link = await one.route.links.get('eth0');
      assert.deepEqual([link?.mtu, String(link?.mac), link?.up], [1450, '02:00:00:00:00:11', true]);
      const outer = await host.route.links.get('p1');
      assert.deepEqual([outer?.mtu, outer?.master], [1450, (await host.route.links.get('tb0'))?.index]);
      const routes = await one.route.routes.list({ family: 'ipv4', oif: link?.index ?? 0, table: 254 });
      assert.deepEqual(
        routes.map(({ destination, gateway }) => `${destination ?? 'default'} ${gateway ?? 'link'}`).sort(),
        ['10.88.0.0/24 link', '10.99.0.0/16 link', 'default 10.88.0.1'],
      );
      for (const target of ['127.0.0.1', '10.88.0.1', '10.88.0.3']) await ping(one, target);
    }));

  test('has IPv6, and gateways behind a destination that is on the link', () =>
    withSandboxes(async ({ host, sandbox }) => {
      const one = await sandbox();
      await attach(host.route, one, {
        ...endpoint(1),
        addresses: [parseInterfaceAddress('10.88.0.2/24'), parseInterfaceAddress('fd00:88::2/64')],
        routes: [
          { gateway: Ip.parse('fd00:88::1') },
          { destination: Prefix.parse('10.99.0.0/16') },
          { destination: Prefix.parse('10.98.0.0/16'), gateway: Ip.parse('10.99.0.1') },
        ],
      });
      const found = await one.route.routes.list({
        oif: (await one.route.links.get('eth0'))?.index,
        table: 254,
      });
      const lines = found.map(
        ({ destination, gateway }) => `${destination ?? 'default'} ${gateway ?? 'link'}`,
      );
      for (const line of ['default fd00:88::1', '10.99.0.0/16 link', '10.98.0.0/16 10.99.0.1']) {
        assert.ok(lines.includes(line), `${line} is not among ${lines.join(', ')}`);
      }
    }));

  test('is a port of the bridge only when the sandbox has its addresses and routes', () =>
    withSandboxes(async ({ host, sandbox }) => {
      const one = await sandbox();
      const seen: string[][] = [];
      const links = Object.assign(Object.create(host.route.links) as typeof host.route.links, {
        change: async (...args: Parameters<typeof host.route.links.change>) => {
          const index = (await one.route.links.get('eth0'))?.index ?? 0;
          const addresses = await one.route.addresses.list({ family: 'ipv4', index });
          const routes = await one.route.routes.list({ family: 'ipv4', oif: index, table: 254 });
          seen.push([...addresses.map(({ ip }) => `${ip}`), `${routes.length} routes`]);
          return host.route.links.change(...args);
        },
      });
      await attach(
        Object.assign(Object.create(host.route) as typeof host.route, { links }),
        one,
        endpoint(1),
      );
      assert.deepEqual(seen, [['10.88.0.2', '3 routes']]);
      const port = await host.route.links.get('p1');
      assert.deepEqual([port?.up, port?.master], [true, (await host.route.links.get('tb0'))?.index]);
    }));

  test('is gone as a whole, and detaching again is fine', () =>
    withSandboxes(async ({ host, sandbox }) => {
      const one = await sandbox();
      await attach(host.route, one, endpoint(1));
      assert.equal(await detach(host.route, 'p1'), true);
      assert.equal(await one.route.links.get('eth0'), undefined);
      assert.equal(await detach(host.route, 'p1'), false);
      await attach(host.route, one, endpoint(1));
    }));

  test('leaves nothing when a step fails', () =>
    withSandboxes(async ({ host, sandbox }) => {
      const one = await sandbox();
      const unreachable = { ...endpoint(1), routes: [{ gateway: Ip.parse('192.0.2.1') }] };
      await assert.rejects(attach(host.route, one, unreachable), { code: 'ENETUNREACH' });
      assert.equal(await host.route.links.get('p1'), undefined);
      assert.equal(await one.route.links.get('eth0'), undefined);
    }));

  test('takes nothing that is in use', () =>
    withSandboxes(async ({ host, sandbox }) => {
      const [one, two] = [await sandbox(), await sandbox()];
      await attach(host.route, one, endpoint(1));
      await assert.rejects(attach(host.route, one, endpoint(2)), { code: 'EEXIST' });
      assert.equal(await host.route.links.get('p2'), undefined);
      await assert.rejects(attach(host.route, two, endpoint(1)), { code: 'EEXIST' });
      assert.ok(await host.route.links.get('p1'), 'the first endpoint is untouched');
    }));

  test('wants a bridge', () =>
    withSandboxes(async ({ host, sandbox }) => {
      for (const bridge of ['lo', 'nowhere']) {
        await assert.rejects(attach(host.route, await sandbox(), { ...endpoint(1), bridge }), {
          code: 'NO_BRIDGE',
        });
      }
      await assert.rejects(ensureBridge(host.route, { ...BRIDGE, name: 'lo' }), { code: 'NO_BRIDGE' });
    }));
});

test('a bridge keeps its own MAC address, and is adjusted when it is there', needsRoot, () =>
  withSandboxes(async ({ host, sandbox }) => {
    await attach(host.route, await sandbox(), endpoint(1));
    const index = await ensureBridge(host.route, { ...BRIDGE, mtu: 1400 });
    const bridge = await host.route.links.get(index);
    assert.deepEqual([String(bridge?.mac), bridge?.mtu, bridge?.up], ['02:00:00:00:00:01', 1400, true]);
  }),
);

interface Sandboxes {
  readonly host: Sandbox;
  readonly sandbox: () => Promise<Sandbox>;
  readonly ping: (from: Sandbox, ip: string) => Promise<void>;
}

/** A host with the bridge, and as many sandboxes as are asked for; all gone afterwards. */
async function withSandboxes(body: (sandboxes: Sandboxes) => Promise<void>): Promise<void> {
  await using doors = new AsyncDisposableStack();
  const open = (): Sandbox => {
    const netns = doors.use(Netns.anonymous());
    return { netns, route: doors.use(connectRoute({ netns })) };
  };
  const host = open();
  await ensureBridge(host.route, BRIDGE);
  await body({
    host,
    sandbox: async () => open(),
    ping: async (from, ip) => {
      const net = `/proc/${process.pid}/fd/${from.netns.fd}`;
      await run('ping', ['-n', '-q', '-c', '1', '-W', '10', ip], { namespaces: { net } });
    },
  });
}
