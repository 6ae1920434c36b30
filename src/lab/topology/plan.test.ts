import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ConfigError } from '../../base/errors.ts';
import { formatInterfaceAddress } from '../../base/prefix.ts';
import { planTopology } from './plan.ts';
import type { LabTopology, TopologyDocker } from './topology.ts';

const ROUTED: LabTopology = {
  segments: {
    left: { subnet: ['10.1.0.0/24', 'fd00:1::/64'], mtu: 1400 },
    right: { subnet: '10.2.0.0/24' },
  },
  hosts: {
    vm1: {
      links: [{ segment: 'left', address: ['10.1.0.11', 'fd00:1::11'] }],
      routes: [
        { to: 'default', via: '10.1.0.1' },
        { to: '10.2.0.0/24', via: '10.1.0.1' },
      ],
    },
    router: {
      links: [
        { segment: 'left', address: '10.1.0.1' },
        { segment: 'right', address: '10.2.0.1/25', name: 'wan0', mtu: 1300 },
      ],
      forwarding: true,
    },
    alone: {},
  },
};

describe('planTopology', () => {
  test('gives every link a name, an MTU and addresses with a length', () => {
    const { hosts, families } = planTopology(ROUTED, { name: 'x' });
    const links = hosts.map(host =>
      host.links.map(({ name, segment, mtu, addresses }) =>
        [name, segment, mtu, ...addresses.map(formatInterfaceAddress)].join(' '),
      ),
    );
    assert.deepEqual(links, [
      ['eth0 left 1400 10.1.0.11/24 fd00:1::11/64'],
      ['eth0 left 1400 10.1.0.1/24', 'wan0 right 1300 10.2.0.1/25'],
      [],
    ]);
    assert.deepEqual(
      hosts.map(({ forwarding, agent, address }) => [forwarding, agent, `${address.ipv4}`]),
      [
        [false, undefined, '10.1.0.11'],
        [true, undefined, '10.1.0.1'],
        [false, undefined, 'undefined'],
      ],
    );
    assert.deepEqual(
      hosts[0]?.routes.map(({ to, via }) => `${to} ${via}`),
      ['undefined 10.1.0.1', '10.2.0.0/24 10.1.0.1'],
    );
    assert.deepEqual(families, ['ipv4', 'ipv6']);
  });

  test('has no store, network or agent that was not asked for', () => {
    const plan = planTopology({ hosts: { vm1: {} } }, { name: 'x' });
    const { store, networkConfig, etcdEndpoint, hosts } = plan;
    assert.deepEqual([store, networkConfig, etcdEndpoint, hosts[0]?.agent], Array(4).fill(undefined));
  });

  test('the store is where its host is, or on loopback where that has no link', () => {
    const hosts = { vm1: {}, vm2: { links: [{ segment: 'a', address: '10.0.0.2' }] } };
    const lab = (on: string) =>
      planTopology({ segments: { a: {} }, hosts, store: { on } }, { name: 'x' }).etcdEndpoint;
    assert.deepEqual([lab('vm1'), lab('vm2')], ['http://127.0.0.1:2379', 'http://10.0.0.2:2379']);
  });

  test('reports everything that is wrong at once', () => {
    const wrong: LabTopology = {
      segments: { UPPER: {}, a: { mtu: 12, subnet: '10.0.0.0/99' } },
      hosts: {
        'a-name-that-is-too-long': {},
        vm1: {
          links: [{ segment: 'nowhere', address: '10.0.0' }],
          routes: [{ to: 'there', via: 'here' }],
        },
      },
      store: { on: 'vm7' },
    };
    assert.throws(
      () => planTopology(wrong, { name: 'x' }),
      (error: ConfigError) => {
        assert.deepEqual(
          error.problems.map(({ path }) => path),
          [
            'segments.UPPER',
            'segments.a.mtu',
            'segments.a.subnet',
            'hosts.a-name-that-is-too-long',
            'hosts.vm1.links[0].segment',
            'hosts.vm1.links[0].address',
            'hosts.vm1.routes[0].to',
            'hosts.vm1.routes[0].via',
            'store.on',
          ],
        );
        return true;
      },
    );
  });

  test('has a dockerd with the plugin ask the resolver of the agent, unless it is told otherwise', () => {
    const planned = (docker: TopologyDocker) =>
      planTopology(
        {
          segments: { a: { subnet: '10.1.0.0/24' } },
          hosts: { vm1: { links: [{ segment: 'a', address: '10.1.0.1' }], agent: true, docker } },
          store: { on: 'vm1' },
          network: { Network: '10.5.0.0/16' },
        },
        { name: 'x' },
      ).hosts[0]?.docker?.config;
    assert.deepEqual(planned({ plugin: true }), { dns: ['169.254.53.53'] });
    // Its default bridge does not follow from the lease.
    const own = { dns: ['192.0.2.1'], bip: '172.30.0.1/16' };
    assert.deepEqual(planned({ plugin: true, config: own }), own);
    assert.equal(planned({}), undefined);
    const both = { plugin: true, leased: true };
    assert.throws(() => planned({ ...both, config: own }), /docker.config.bip.*what the agent leases/);
    assert.throws(() => planned({ config: own }), /docker.config.bip.*follows from what the agent leases/);
  });

  test('refuses a plugin that nobody serves', () => {
    const links = [{ segment: 'a', address: '10.1.0.1' }];
    const docker = { plugin: true };
    const topology: LabTopology = {
      segments: { a: { subnet: '10.1.0.0/24' } },
      hosts: {
        bare: { docker },
        flannel: { links, docker, agent: { flanneld: '/usr/bin/flanneld' } },
      },
      store: { on: 'flannel' },
      network: { Network: '10.5.0.0/16' },
    };
    assert.throws(
      () => planTopology(topology, { name: 'x' }),
      /hosts.bare.docker.plugin = true: an agent serves it.*hosts.flannel.docker.plugin = true: flanneld has none/,
    );
  });
});
