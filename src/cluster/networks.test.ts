import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { serveAsAgent } from '../../test/support/fake-agent.ts';
import { printed } from '../../test/support/output.ts';
import { configOf, hostAttributes } from '../../test/support/registry.ts';
import { endpointOf, memberOf, SegmentFixture } from '../../test/support/segments.ts';
import { status } from '../../test/support/status.ts';
import { ConfigError } from '../base/errors.ts';
import { encodeAttributes } from '../subnet/lease/attributes.ts';
import { Registry } from '../subnet/registry.ts';
import { writeConfig } from './config.ts';
import { networkCommand } from './network-command.ts';
import {
  createNetwork,
  deleteNetwork,
  inspectNetwork,
  listNetworks,
  releaseFromNetwork,
} from './networks.ts';

const GREEN = { name: 'green', subnets: ['10.8.0.0/16', 'fd00:8::/64'], vni: 4242 };

/** One network with two hosts; what they have of it. */
async function setUp() {
  const fixture = new SegmentFixture();
  const { registry } = fixture;
  const blue = await fixture.add({ vni: 4243 });
  const { id } = await fixture.store.grant(60);
  for (const number of [1, 2]) {
    await registry.leaseRange(blue, 'ipv4', { hostId: `host-${number}`, hostName: `docker${number}` });
  }
  await registry.join(blue, memberOf(1), id);
  await registry.claimEndpoints(
    blue,
    [endpointOf(1, '10.9.1.2', 'web'), endpointOf(1, '10.9.1.3', 'db')],
    id,
  );
  return { fixture, registry };
}

describe('tulle network', () => {
  let answer = () => status();
  const socket = serveAsAgent((_, response) => void response.end(JSON.stringify(answer())));

  test('takes the words of docker network as well', () => {
    const { commands } = networkCommand();
    const other = commands.flatMap(one => one.aliases().map(alias => `${one.name()} ${alias}`));
    assert.deepEqual(other, ['list ls', 'delete rm']);
  });

  test('list and inspect show what this host has through the plugin of Docker', async t => {
    const { registry } = await setUp();
    const dockerNetworks = ['blue', 'web_1'].map(name => ({
      name,
      network: 'blue',
      state: 'ready' as const,
      containers: 0,
    }));
    answer = () => ({ ...status(), dockerNetworks });
    t.after(() => {
      answer = () => status();
    });
    await createNetwork(registry, { ...GREEN, docker: true }, {});
    const { lines } = await printed(t, () => listNetworks(registry, { socket }));
    assert.deepEqual(
      lines.slice(1).map(line => [line.split(' ')[0], line.split(' ').at(-1)]),
      [
        ['blue', 'plugin'],
        ['green', 'yes'],
      ],
    );
    const { out } = await printed(t, () => listNetworks(registry, { socket, json: true }));
    const { networks } = JSON.parse(out) as { networks: { dockerNames?: string[] }[] };
    assert.deepEqual(
      networks.map(({ dockerNames }) => dockerNames),
      [['blue', 'web_1'], undefined],
    );
    const one = await printed(t, () => inspectNetwork(registry, 'blue', { socket }));
    assert.ok(one.lines.includes('docker   plugin, on this host as blue, web_1'), one.out);
  });

  test('create says what it has made, and list shows it', async t => {
    const { registry } = new SegmentFixture();
    assert.deepEqual((await printed(t, () => listNetworks(registry, {}))).lines, ['No networks.']);
    const { lines } = await printed(t, () => createNetwork(registry, GREEN, {}));
    assert.deepEqual(lines, ['created green: 10.8.0.0/16 fd00:8::/64, VNI 4242']);
    await createNetwork(registry, { name: 'lan', subnets: ['10.7.0.0/24'], vni: 7, internal: true }, {});
    assert.deepEqual((await printed(t, () => listNetworks(registry, {}))).lines, [
      'NETWORK  SUBNET                    VNI  GATEWAY             HOSTS  CONTAINERS  DOCKER',
      'green    10.8.0.0/16 fd00:8::/64  4242  10.8.0.1 fd00:8::1      0           0  no',
      'lan      10.7.0.0/24                 7  none, internal          0           0  no',
    ]);
    const { out } = await printed(t, () => listNetworks(registry, { json: true }));
    assert.partialDeepStrictEqual(JSON.parse(out), {
      networks: [
        { name: 'green', vni: 4242, gateways: { ipv4: '10.8.0.1' }, rangeLengths: { ipv4: 24, ipv6: 96 } },
        {},
      ],
      rejected: [],
    });
  });

  test('create reports every problem in the words of the command line', async () => {
    const { registry } = new SegmentFixture();
    const request = { name: 'Green', subnets: ['x'], rangeLengths: [1, 2], floodLimit: 0 };
    await assert.rejects(createNetwork(registry, request, {}), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      const paths = error.problems.map(({ path }) => path);
      assert.deepEqual(new Set(paths), new Set(['<name>', '--subnet', '--range-length', '--flood-limit']));
      return true;
    });
  });

  test('inspect shows hosts, ranges and containers, and what is wrong', async t => {
    const { registry, fixture } = await setUp();
    await fixture.put('blue/endpoints/10.9.1.9', 'x');
    const { lines } = await printed(t, () => inspectNetwork(registry, 'blue', {}));
    assert.deepEqual(
      lines.filter(line => !/^(id|created) /.test(line)),
      [
        'network  blue',
        'subnet   10.9.0.0/16',
        'gateway  10.9.0.1',
        'VNI      4243, UDP port 4789',
        'ranges   /24',
        'MTU      what the underlay carries',
        'floods   at most 2000 packets a second from each host',
        'docker   no',
        '',
        'HOST     UNDERLAY      GIVES OUT    CONTAINERS',
        'docker1  192.168.65.1  10.9.1.0/24           2',
        'docker2  -             10.9.2.0/24           0',
        '',
        'CONTAINER  HOST     IP        MAC',
        'web        docker1  10.9.1.2  02:00:00:01:01:02',
        'db         docker1  10.9.1.3  02:00:00:01:01:03',
        'tulle: warning: blue/endpoints/10.9.1.9 is not used: "x" is not an endpoint of an L2 network: want JSON',
      ],
    );
    const { out } = await printed(t, () => inspectNetwork(registry, 'blue', { json: true }));
    assert.partialDeepStrictEqual(JSON.parse(out), {
      name: 'blue',
      hosts: [
        {
          hostName: 'docker1',
          member: true,
          addresses: { ipv4: '192.168.65.1' },
          ranges: ['10.9.1.0/24'],
          containers: 2,
        },
        { hostName: 'docker2', member: false, ranges: ['10.9.2.0/24'], containers: 0 },
      ],
      endpoints: [{ ip: '10.9.1.2', container: 'web', hostName: 'docker1' }, { ip: '10.9.1.3' }],
      rejected: [{ key: 'blue/endpoints/10.9.1.9' }],
    });
    await assert.rejects(inspectNetwork(registry, 'red', {}), { code: 'NOT_FOUND' });
  });

  test('delete is refused while containers are on it, and says which', async t => {
    const { registry, fixture } = await setUp();
    await assert.rejects(deleteNetwork(registry, 'blue', {}), {
      code: 'IN_USE',
      message: 'containers are on the network blue: web on docker1 (10.9.1.2), db on docker1 (10.9.1.3)',
    });
    const { lines } = await printed(t, () => deleteNetwork(registry, 'blue', { force: true }));
    assert.deepEqual(lines, ['deleted blue']);
    assert.deepEqual(await fixture.keys(), []);
  });

  test('delete names what Docker on this host still has of it', async t => {
    const { registry } = await setUp();
    const one = { network: 'blue', state: 'ready', containers: 0 };
    const dockerNetworks = [
      { ...one, name: 'app_blue' },
      { ...one, name: 'red', network: 'red' },
    ];
    const { lines } = await printed(t, () => deleteNetwork(registry, 'blue', { force: true, socket }));
    assert.deepEqual(lines, ['deleted blue']);
    answer = () => status({ dockerNetworks });
    const { registry: other } = await setUp();
    const { err } = await printed(t, () => deleteNetwork(other, 'blue', { force: true, socket }));
    assert.equal(
      err,
      `deleted blue
tulle: warning: Docker on this host still has app_blue: its next container makes the network blue again
hint: docker network rm app_blue here, and on each host that has it
`,
    );
    const { registry: third } = await setUp();
    const { out } = await printed(t, () => deleteNetwork(third, 'blue', { force: true, socket, json: true }));
    assert.partialDeepStrictEqual(JSON.parse(out), { dockerNetworks: ['app_blue'] });
  });

  test('release gives back what a dead host has, and nothing of one that is on the network', async t => {
    const { registry, fixture } = await setUp();
    await assert.rejects(releaseFromNetwork(registry, 'blue', 'docker1', {}), {
      code: 'NOT_NOW',
      message: 'docker1 is on the network blue',
    });
    await assert.rejects(releaseFromNetwork(registry, 'blue', 'docker9', {}), { code: 'NOT_FOUND' });
    const { lines } = await printed(t, () => releaseFromNetwork(registry, 'blue', 'docker2', {}));
    assert.deepEqual(lines, ['released 10.9.2.0/24 of docker2 on blue']);
    await releaseFromNetwork(registry, 'blue', 'host-1', { force: true });
    assert.deepEqual(await fixture.keys(), ['blue/config']);
  });
});

test('the overlay gets neither the addresses nor the VNI of an L2 network, and the other way round', async t => {
  const { registry, fixture } = await setUp();
  const overlay = new Registry(fixture.store, registry);
  const write = (network: string, vni: number) => {
    const json = { Network: network, Backend: { Type: 'vxlan', VNI: vni } };
    return writeConfig(overlay, JSON.stringify(json), configOf(json), true);
  };
  await assert.rejects(write('10.0.0.0/8', 4243), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(
      error.problems.map(({ path, message }) => `${path} ${message}`),
      ['Network overlaps the L2 network blue (10.9.0.0/16)', 'Backend.VNI is that of the L2 network blue'],
    );
    return true;
  });
  await printed(t, () => write('10.5.0.0/16', 88));
  const attributes = hostAttributes(3);
  await fixture.store.put(overlay.pathOf('10.5.3.0-24'), encodeAttributes(attributes));
  for (const [request, reason] of [
    [{ subnets: ['10.5.7.0/24'] }, /overlaps 10\.5\.0\.0\/16, the network of the overlay/],
    [{ subnets: ['192.168.65.0/24'] }, /contains addresses of hosts: 192\.168\.65\.3/],
    [{ subnets: ['10.8.0.0/16'], vni: 88 }, /is that of the overlay/],
    [{ subnets: ['10.8.0.0/16'], vni: 4243 }, /is that of the network blue/],
  ] as const) {
    await assert.rejects(createNetwork(registry, { name: 'red', ...request }, {}), reason);
  }
});
