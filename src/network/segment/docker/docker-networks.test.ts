import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Ip } from '../../../base/ip.ts';
import { silentLogger } from '../../../base/log.ts';
import { Mac } from '../../../base/mac.ts';
import { Prefix } from '../../../base/prefix.ts';
import { DockerError } from '../../../docker/docker-api.ts';
import type { DockerNetworkState, NewDockerNetwork } from '../../../docker/docker-messages.ts';
import { AsyncQueue } from '../../../testing/async-queue.ts';
import { ManualClock } from '../../../testing/manual-clock.ts';
import type { SegmentSite } from '../endpoints/segment-site.ts';
import { DockerNetworks } from './docker-networks.ts';

const site = (changed: { readonly id?: string; readonly docker?: boolean; readonly mtu?: number } = {}) =>
  ({
    segment: {
      name: 'blue',
      id: changed.id ?? '00000000000000aa',
      vni: 7,
      port: 4789,
      subnets: { ipv4: Prefix.parse('10.9.0.0/16') },
      gateways: { ipv4: Ip.parse('10.9.0.1') },
      internal: false,
      rangeLengths: { ipv4: 24 },
      docker: changed.docker ?? true,
      floodLimit: 2000,
      created: new Date(0),
      createRevision: 1n,
    },
    bridge: 'tb-blue',
    tunnel: 'tv-blue',
    gatewayMac: Mac.parse('02:00:00:00:00:01'),
    mtu: changed.mtu ?? 1450,
  }) satisfies SegmentSite;

/** A host with a daemon in memory. */
function host(t: TestContext) {
  const clock = new ManualClock();
  const networks: DockerNetworkState[] = [];
  const calls: string[] = [];
  let events = new AsyncQueue<{ Type: string; Action: string }>();
  let isUp = true;
  let warnings: readonly { readonly code: string; readonly text: string }[] = [];
  let attached: string[] = [];
  const up = () => {
    if (!isUp) throw new DockerError('NO_DOCKER', 'no dockerd answers');
  };
  const docker = {
    async networks() {
      up();
      return networks.map(network => ({ ...network, Containers: {} }));
    },
    async network(id: string) {
      up();
      return networks.find(({ Id, Name }) => id === Id || id === Name) ?? assert.fail(id);
    },
    async createNetwork(network: NewDockerNetwork) {
      up();
      calls.push(
        `create ${network.Name} ${network.IPAM.Config[0]?.IPRange} ${network.Options['com.docker.network.driver.mtu']}`,
      );
      const { Name, Driver, Internal, EnableIPv6, Options, Labels } = network;
      const Config = network.IPAM.Config.map(config => ({ Gateway: '', ...config }));
      networks.push({
        Name,
        Driver,
        Internal,
        EnableIPv6,
        Options,
        Labels,
        Id: `id-${calls.length}`,
        IPAM: { Config },
        Containers: {},
      });
    },
    async removeNetwork(id: string) {
      up();
      calls.push(`remove ${id}`);
      networks.splice(
        networks.findIndex(({ Id }) => Id === id),
        1,
      );
    },
    async *events(signal: AbortSignal) {
      up();
      yield* events.consume(signal);
    },
  };
  const keeper = new DockerNetworks({
    docker,
    ranges: async () => [Prefix.parse('10.9.1.0/24')],
    setContainers: (_, containers) =>
      (attached = containers.map(({ container, ip }) => `${container} ${ip}`)),
    health: { report: () => undefined, warn: (_, given) => (warnings = given) },
    clock,
    logger: silentLogger,
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return {
    keeper,
    clock,
    networks,
    calls,
    codes: () => warnings.map(({ code }) => code),
    attached: () => attached,
    happen: async () => {
      events.push({ Type: 'network', Action: 'change' });
      await clock.advance(1000);
    },
    restart: async () => {
      isUp = false;
      events.end();
      await clock.advance(5000);
      events = new AsyncQueue();
      isUp = true;
      await clock.advance(60_000);
    },
  };
}

const container = (Name: string, ip: string) => ({
  Name,
  MacAddress: '02:42:00:00:00:05',
  IPv4Address: ip,
  IPv6Address: '',
});

test('a network is made with half of the range, once, and its containers are told', async t => {
  const { keeper, clock, calls, networks, happen, attached } = host(t);
  keeper.setSites([site()]);
  await clock.advance(1000);
  await happen();
  assert.deepEqual(calls, ['create blue 10.9.1.128/25 1450']);
  networks[0]!.Containers['c1'] = container('web', '10.9.1.130/16');
  await happen();
  assert.deepEqual(attached(), ['web 10.9.1.130']);
});

test('it is made again after it was removed, and by the next daemon', async t => {
  const { keeper, clock, calls, networks, happen, restart } = host(t);
  keeper.setSites([site()]);
  await clock.advance(1000);
  networks.length = 0;
  await happen();
  assert.equal(calls.length, 2);
  networks.length = 0;
  await restart();
  assert.equal(calls.length, 3);
});

test('one that differs is made anew, unless containers are on it', async t => {
  const { keeper, clock, calls, networks, happen, codes } = host(t);
  keeper.setSites([site()]);
  await clock.advance(1000);
  networks[0]!.Containers['c1'] = container('web', '10.9.1.130/16');
  keeper.setSites([site({ mtu: 1400 })]);
  await clock.advance(1000);
  assert.deepEqual(codes(), ['DOCKER_NETWORK_DIFFERS']);
  assert.equal(calls.length, 1);
  networks[0]!.Containers = {};
  await happen();
  assert.deepEqual(calls.slice(1), ['remove id-1', 'create blue 10.9.1.128/25 1400']);
  assert.deepEqual(codes(), []);
});

test('one of another maker is left alone, and named', async t => {
  const { keeper, clock, calls, networks, codes } = host(t);
  networks.push({
    Name: 'blue',
    Id: 'foreign',
    Driver: 'bridge',
    Internal: false,
    EnableIPv6: false,
    IPAM: { Config: [] },
    Options: {},
    Labels: {},
    Containers: {},
  });
  keeper.setSites([site()]);
  await clock.advance(1000);
  assert.deepEqual(codes(), ['DOCKER_NETWORK_FOREIGN']);
  assert.deepEqual(calls, []);
});

test('it goes with its network, and with the wish for it; also one of a former run; not while containers are on it', async t => {
  const { keeper, clock, calls, networks, happen, codes } = host(t);
  keeper.setSites([site()]);
  await clock.advance(1000);
  networks[0]!.Containers['c1'] = container('web', '10.9.1.130/16');
  keeper.setSites([]);
  await clock.advance(1000);
  assert.deepEqual(codes(), ['DOCKER_NETWORK_IN_USE']);
  networks[0]!.Containers = {};
  await happen();
  assert.deepEqual(calls.slice(1), ['remove id-1']);
  assert.deepEqual(codes(), []);
});

test('a host whose networks want no Docker asks a daemon once, and does not follow it', async t => {
  const { keeper, clock, calls } = host(t);
  keeper.setSites([site({ docker: false })]);
  await clock.advance(600_000);
  assert.deepEqual(calls, []);
  assert.equal(clock.sleeping <= 1, true);
});
