import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, linkOf } from '../../../test/support/look-facts.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { type DockerConfigFacts, judgeDockerConfig } from './docker-config.ts';

const RIGHT = { bip: '10.3.1.1/24', mtu: 1450, 'ip-masq': false };

const judge = (
  config: object | string,
  { docker0 = '10.3.1.1/24', ...more }: Partial<DockerConfigFacts> & { docker0?: string } = {},
) =>
  judgeDockerConfig({
    overlay: {
      source: 'agent',
      networks: [Prefix.parse('10.3.0.0/16'), Prefix.parse('fd00:3::/48')],
      subnets: [Prefix.parse('10.3.1.0/24'), Prefix.parse('fd00:3:0:1::/64')],
      gateways: [parseInterfaceAddress('10.3.1.1/24'), parseInterfaceAddress('fd00:3:0:1::1/64')],
      mtu: 1450,
    },
    links: [linkOf('docker0', 7, { info: { kind: 'bridge' } })],
    addresses: [addressOf(7, docker0)],
    text: typeof config === 'string' ? config : JSON.stringify(config),
    ...more,
  }).map(({ code, severity, reason }) => `${severity} ${code} ${reason}`);

test('a daemon.json as the lease is, or without anything of the overlay: nothing to find', () => {
  assert.deepEqual(judge(RIGHT), []);
  assert.deepEqual(judge({ ...RIGHT, mtu: 1400, 'fixed-cidr-v6': 'fd00:3:0:1::/64' }), []);
  assert.deepEqual(judge({}), []);
  assert.deepEqual(judge({ bip: '172.30.0.1/16', mtu: 9000 }), [], "another bridge is the person's affair");
});

test('a former subnet, or an MTU that is too large, is named before dockerd is restarted', () => {
  assert.match(
    judge({ ...RIGHT, bip: '10.3.9.1/24' }).join(),
    /^warning DOCKER_CONFIG .*addresses of another subnet$/,
  );
  assert.match(judge({ ...RIGHT, mtu: 1500 }).join(), /an MTU that the overlay does not carry$/);
  assert.match(judge({ bip: RIGHT.bip }).join(), /an MTU/);
  assert.match(judge({ ...RIGHT, 'fixed-cidr-v6': 'fd00:3:0:9::/64' }).join(), /IPv6 addresses of another/);
});

test('a dockerd that has not been started with the file yet', () => {
  assert.match(
    judge(RIGHT, { docker0: '172.17.0.1/16' }).join(),
    /not been started since.*172\.17\.0\.1\/16/,
  );
  // It makes the bridge when it starts.
  assert.deepEqual(judge(RIGHT, { links: [] }), []);
});

test('a file that dockerd cannot read', () => {
  assert.match(judge('{"bip": }').join(), /DOCKER_CONFIG .*no JSON/);
});
