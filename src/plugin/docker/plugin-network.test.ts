import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNetworkOptions, parsePoolOptions } from './docker-options.ts';
import { portMappingOf } from './network-driver.ts';
import { readNetwork, wishOf } from './plugin-network.ts';
import { dockerNetworkStatus } from './plugin-report.ts';

const call = (more: object = {}) => ({
  NetworkID: 'a1',
  Options: {
    'com.docker.network.generic': {},
    'com.docker.network.internal': false,
    'com.docker.network.enable_ipv6': false,
  },
  IPv4Data: [{ AddressSpace: 'tulle', Pool: '10.9.0.0/16', Gateway: '10.9.0.1/16', AuxAddresses: {} }],
  IPv6Data: [],
  ...more,
});

test('a network that the cluster does not have says so, and what makes it', () => {
  const attachments = { find: () => undefined, list: () => [] };
  const reasonOf = (more: object) =>
    dockerNetworkStatus([{ ...readNetwork(call()), ...more }], new Map(), attachments).map(
      ({ state, reason }) => `${state}: ${reason}`,
    );
  assert.deepEqual(reasonOf({}), ['waiting: Docker has not told its name yet']);
  assert.deepEqual(reasonOf({ name: 'blue' }), [
    'waiting: the cluster has no network blue, and the next container on it makes it',
  ]);
});

test('options of the plugin are known ones, and every wrong one is named at once', () => {
  assert.deepEqual(parseNetworkOptions({}), { dns: true, keep: false });
  assert.deepEqual(
    parseNetworkOptions({
      'tulle.network': 'blue',
      'tulle.dns': 'off',
      'tulle.keep': 'mac',
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.bridge.name': 'of others',
    }),
    { network: 'blue', dns: false, keep: true, mtu: 1400 },
  );
  const wrong = {
    'tulle.netwrk': 'x',
    'tulle.network': 'Blue',
    'tulle.dns': '',
    'tulle.keep': 'ip',
    'com.docker.network.driver.mtu': '1e9',
  };
  assert.throws(
    () => parseNetworkOptions(wrong),
    (error: Error) => {
      for (const name of Object.keys(wrong)) assert.ok(error.message.includes(`-o ${name} = `), name);
      return true;
    },
  );
  assert.equal(parsePoolOptions({ 'tulle.network': 'default' }), 'default');
  assert.throws(() => parsePoolOptions({ 'tulle.dns': 'off' }), /--ipam-opt tulle\.dns/);
});

test('what Docker states of a network is what the cluster is asked for', () => {
  const network = readNetwork(call());
  const wish = wishOf(network, 'blue');
  assert.equal(
    `${wish.subnets.ipv4} ${wish.gateways.ipv4} ${wish.internal} ${wish.ipv6}`,
    '10.9.0.0/16 10.9.0.1 false false',
  );
  const auto = { AddressSpace: 'tulle', Pool: '0.0.0.0/0', Gateway: '0.1.2.3/8', AuxAddresses: {} };
  const free = wishOf(readNetwork(call({ IPv4Data: [auto] })), 'blue');
  assert.deepEqual([free.subnets, free.gateways], [{}, {}]);
});

test('addresses of another IPAM driver, and two subnets of a family, are refused', () => {
  const [data] = call().IPv4Data;
  assert.throws(
    () => readNetwork(call({ IPv4Data: [{ ...data, AddressSpace: 'LocalDefault' }] })),
    /--ipam-driver/,
  );
  assert.throws(
    () => readNetwork(call({ IPv4Data: [data, { ...data, Pool: '10.8.0.0/16' }] })),
    /one subnet of IPv4/,
  );
  assert.throws(() => readNetwork(call({ IPv4Data: [] })), /needs addresses/);
  assert.throws(
    () => readNetwork(call({ IPv4Data: [{ ...data, Gateway: 'x' }] })),
    /is not what Docker sends/,
  );
});

test('a published port is one of a protocol that has ports, and 0.0.0.0 is every address', () => {
  const binding = { Proto: 6, Port: 80, HostIP: '0.0.0.0', HostPort: 8080, HostPortEnd: 8090 };
  assert.deepEqual(portMappingOf(binding), {
    protocol: 'tcp',
    containerPort: 80,
    hostPort: 8080,
    hostPortEnd: 8090,
  });
  assert.deepEqual(portMappingOf({ ...binding, Proto: 17, HostPort: 0, HostPortEnd: 0 }), {
    protocol: 'udp',
    containerPort: 80,
  });
  assert.throws(() => portMappingOf({ ...binding, Proto: 1 }), { code: 'REFUSED' });
  assert.throws(() => portMappingOf({ ...binding, HostIP: 'x' }), { code: 'REFUSED' });
});
