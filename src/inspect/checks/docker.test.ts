import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import { type DockerFacts, judgeDocker } from './docker.ts';

const docker0 = linkOf('docker0', 7, { info: { kind: 'bridge' } });
const other = linkOf('br-0123456789ab', 8, { info: { kind: 'bridge' } });
const overlay = {
  source: 'agent',
  networks: [Prefix.parse('10.3.0.0/16')],
  subnets: [Prefix.parse('10.3.1.0/24')],
  gateways: [parseInterfaceAddress('10.3.1.1/24')],
} as const;

const network = (more: Partial<DockerNetworkState>): DockerNetworkState => ({
  Name: 'bridge',
  Id: '0123456789abcdef',
  Driver: 'bridge',
  Internal: false,
  EnableIPv6: false,
  IPAM: { Config: [] },
  Options: {},
  Labels: {},
  Containers: {},
  ...more,
});

const HEALTHY: DockerFacts = {
  overlay,
  bridges: [bridgeOf('docker0', 7, ['10.3.1.1/24'])],
  members: [],
  links: [docker0, other],
  addresses: [addressOf(7, '10.3.1.1/24'), addressOf(8, '172.18.0.1/16')],
  containers: [],
  listed: [],
  peers: [Prefix.parse('10.3.2.0/24')],
  daemon: { networks: [network({ Name: 'mine' })] },
};

const codesOf = (facts: Partial<DockerFacts>) =>
  judgeDocker({ ...HEALTHY, ...facts }).map(({ code, severity }) => `${severity} ${code}`);

test('Docker with the leased subnet, other networks beside it, or no Docker: nothing to find', () => {
  assert.deepEqual(codesOf({}), []);
  assert.deepEqual(codesOf({ daemon: 'absent' }), []);
});

test('a daemon that does not answer', () => {
  assert.deepEqual(codesOf({ daemon: { failure: 'no answer' } }), ['warning DOCKER_STOPPED']);
  // It is no business of the overlay where Docker has no bridge on it.
  assert.deepEqual(codesOf({ daemon: { failure: 'no answer' }, bridges: [] }), []);
});

test('a network of Docker in the subnet of another host is named', () => {
  const addresses = [addressOf(7, '10.3.1.1/24'), addressOf(8, '10.3.2.1/24')];
  const [cause] = judgeDocker({ ...HEALTHY, addresses });
  assert.equal(cause?.code, 'DOCKER_SUBNET');
  assert.match(cause?.reason ?? '', /network mine of Docker.*packets for the host that has it stay here/);
  assert.match(cause?.remedy ?? '', /docker network rm mine/);
  const [unnamed] = judgeDocker({ ...HEALTHY, addresses, daemon: { failure: 'no answer' } }).slice(1);
  assert.equal(unnamed?.code, 'DOCKER_SUBNET');
});

test('docker0 without the leased subnet is a warning while containers use it', () => {
  const outer = linkOf('veth1', 9, { master: 7 });
  const { container, inner } = memberOf({ name: 'c1', outer });
  const facts = {
    bridges: [],
    addresses: [addressOf(7, '172.17.0.1/16')],
    containers: [{ ...container, links: [{ inner, outer, bridge: docker0 }] }],
  };
  assert.deepEqual(codesOf(facts), ['warning DOCKER_SUBNET']);
  assert.deepEqual(codesOf({ ...facts, containers: [] }), []);
  assert.deepEqual(codesOf({ ...facts, links: [docker0, linkOf('tb-blue', 10)] }), [], 'L2 networks alone');
});

test('a container that was made for a network and is on none is named, and one that is meant so is not', () => {
  const listed = (mode: string, ...networks: readonly string[]) => ({
    Id: '0123456789abcdef',
    Names: ['/web'],
    HostConfig: { NetworkMode: mode },
    NetworkSettings: {
      Networks: Object.fromEntries(
        networks.map(name => [name, { MacAddress: '', IPAddress: '', GlobalIPv6Address: '' }]),
      ),
    },
  });
  const [cause] = judgeDocker({ ...HEALTHY, listed: [listed('default')] });
  assert.equal(cause?.code, 'CONTAINER_NO_NETWORK');
  assert.equal(cause?.remedy, 'docker network connect bridge web');
  assert.deepEqual(codesOf({ listed: [listed('blue')] }), ['warning CONTAINER_NO_NETWORK']);
  const meant = [
    listed('none'),
    listed('host'),
    listed('container:abc'),
    listed('default', 'bridge'),
    listed('blue', 'red'),
  ];
  assert.deepEqual(codesOf({ listed: meant }), []);
});
