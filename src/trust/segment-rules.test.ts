import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BLUE, kv, path, put, remove } from '../../test/support/authorizer-case.ts';
import { Ip } from '../base/ip.ts';
import { NETWORK_PREFIX } from '../console/defaults.ts';
import type { Kv } from '../etcdserver/sqlite/tables.ts';
import { HostAuthorizer } from './host-authorizer.ts';

const ME = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const MY_IP = '192.168.65.3';
const CALLER = { name: ME, address: MY_IP };

const NETWORKS = [
  kv('networks/blue/config', BLUE, 0n),
  kv(
    'networks/dock/config',
    { ...BLUE, vni: 4243, subnets: ['10.8.0.0/16'], gateways: [], docker: true },
    0n,
  ),
];

const member = (address = MY_IP) => ({ addresses: [address], mac: '02:00:00:00:00:01' });
const endpoint = (hostId = ME, mac = '02:00:00:00:00:0a') => ({
  hostId,
  hostName: 'docker1',
  container: 'web',
  mac,
});
const range = (hostId = ME) => ({ hostId });
const lease = (hostId: string, address: string) =>
  kv('subnets/10.5.34.0-24', { PublicIP: address, PublicIPv6: null, TulleHost: hostId });

const MEMBER = `networks/blue/members/${ME}`;
const ENDPOINT = 'networks/blue/endpoints/10.9.1.2';
const RANGE = 'networks/blue/ranges/10.9.1.0-24';

function authorizerOf(...present: Kv[]): HostAuthorizer {
  const authorizer = new HostAuthorizer(NETWORK_PREFIX);
  authorizer.reset([...NETWORKS, ...present]);
  return authorizer;
}

describe('on L2 networks a host may', () => {
  for (const [name, present, writes] of [
    ['become a member', [], [put(MEMBER, member())]],
    ['change what it says of itself', [kv(MEMBER, member())], [put(MEMBER, member('192.168.65.9'))]],
    ['leave', [kv(MEMBER, member())], [remove(MEMBER)]],
    [
      'have an address that a lease of another names, from there',
      [lease(OTHER, MY_IP)],
      [put(MEMBER, member())],
    ],
    [
      'take addresses for several containers at once',
      [],
      [put(ENDPOINT, endpoint()), put('networks/blue/endpoints/10.9.1.3', endpoint(ME, '02:00:00:00:00:0b'))],
    ],
    ['write its own again', [kv(ENDPOINT, endpoint())], [put(ENDPOINT, endpoint(ME, '02:00:00:00:00:0c'))]],
    ['take what nobody can read', [kv(ENDPOINT, 'garbage')], [put(ENDPOINT, endpoint())]],
    [
      'take an address out of the range of another, where Docker does not give them out',
      [kv(RANGE, range(OTHER), 0n)],
      [put(ENDPOINT, endpoint())],
    ],
    ['free its own', [kv(ENDPOINT, endpoint())], [remove(ENDPOINT)]],
    ['free what is not there', [], [remove(ENDPOINT)]],
    ['lease a range', [], [put(RANGE, range(), 0n)]],
    [
      'write its range again',
      [kv(RANGE, range(), 0n)],
      [put(RANGE, { ...range(), hostName: 'docker1' }, 0n)],
    ],
    ['give its range back', [kv(RANGE, range(), 0n)], [remove(RANGE)]],
  ] as const) {
    test(name, () => assert.equal(authorizerOf(...present).refuses(CALLER, writes), undefined));
  }
});

describe('on L2 networks a host may not', () => {
  const notOwn = /is not of this host/;
  for (const [name, present, writes, reason] of [
    ['make a network', [], [put('networks/red/config', BLUE, 0n)], /only an administrator/],
    ['change a network', [], [put('networks/blue/config', { ...BLUE, vni: 1 }, 0n)], /only an administrator/],
    ['delete a network', [], [remove('networks/blue/config')], /only an administrator/],
    ['take a VNI', [], [put('vnis/4244', 'red', 0n)], /only leases below/],
    ['free a VNI', [], [remove('vnis/4242')], /only leases below/],
    ['write beside a network', [], [put('networks/blue/other', {})], /no key of an L2 network/],
    ['write deeper', [], [put(`${ENDPOINT}/x`, endpoint())], /no key of an L2 network/],
    ['write another spelling', [], [put('networks/blue/endpoints/10.9.1.02', endpoint())], /no key/],
    [
      'use a network that is not there',
      [],
      [put('networks/red/endpoints/10.9.1.2', endpoint())],
      /no network red/,
    ],

    ['be another member', [], [put(`networks/blue/members/${OTHER}`, member())], /names the host/],
    [
      'take another out',
      [kv(`networks/blue/members/${OTHER}`, member())],
      [remove(`networks/blue/members/${OTHER}`)],
      notOwn,
    ],
    ['be a member for ever', [], [put(MEMBER, member(), 0n)], /must be on a store lease/],
    [
      'be a member at the address of another member',
      [kv(`networks/blue/members/${OTHER}`, member('192.168.65.4'))],
      [put(MEMBER, member('192.168.65.4'))],
      /192\.168\.65\.4 is the address of another host/,
    ],
    [
      'be one at the address of a lease of another',
      [lease(OTHER, '192.168.65.4')],
      [put(MEMBER, member('192.168.65.4'))],
      /of another host/,
    ],
    ['be one at no address of a host', [], [put(MEMBER, member('224.0.0.1'))], /must be addresses of a host/],
    ['be one without an address', [], [put(MEMBER, { addresses: [] })], /must be addresses of a host/],

    ["take another's address", [kv(ENDPOINT, endpoint(OTHER))], [put(ENDPOINT, endpoint())], notOwn],
    ["free another's address", [kv(ENDPOINT, endpoint(OTHER))], [remove(ENDPOINT)], notOwn],
    ['name another host', [], [put(ENDPOINT, endpoint(OTHER))], /names the host/],
    ['give its own away', [kv(ENDPOINT, endpoint())], [put(ENDPOINT, endpoint(OTHER))], /names the host/],
    ['take an address for ever', [], [put(ENDPOINT, endpoint(), 0n)], /must be on a store lease/],
    [
      'take the gateway',
      [],
      [put('networks/blue/endpoints/10.9.0.1', endpoint())],
      /no address that a container/,
    ],
    [
      'take the broadcast address',
      [],
      [put('networks/blue/endpoints/10.9.255.255', endpoint())],
      /no address/,
    ],
    [
      'take one outside',
      [],
      [put('networks/blue/endpoints/10.10.0.1', endpoint())],
      /no address that a container/,
    ],
    [
      'take one of another family',
      [],
      [put('networks/blue/endpoints/fd00::1', endpoint())],
      /no address that/,
    ],
    [
      'take the MAC address of another',
      [kv(ENDPOINT, endpoint(OTHER))],
      [put('networks/blue/endpoints/10.9.1.3', endpoint())],
      /MAC address of a container of another host/,
    ],
    [
      'have a MAC address of a group',
      [],
      [put(ENDPOINT, endpoint(ME, '01:00:5e:00:00:01'))],
      /must be the address of one station/,
    ],
    [
      'take one out of the range of Docker on another',
      [kv('networks/dock/ranges/10.8.1.0-24', range(OTHER), 0n)],
      [put('networks/dock/endpoints/10.8.1.2', endpoint())],
      /where Docker gives addresses out/,
    ],
    ['write what is no value', [], [put(ENDPOINT, 'x')], /want JSON/],
    ['write too much', [], [put(ENDPOINT, { ...endpoint(), x: 'x'.repeat(2048) })], /2048 are the most/],

    ["take another's range", [kv(RANGE, range(OTHER), 0n)], [put(RANGE, range(), 0n)], notOwn],
    ["give another's range back", [kv(RANGE, range(OTHER), 0n)], [remove(RANGE)], notOwn],
    ['lease a range for another', [], [put(RANGE, range(OTHER), 0n)], /names the host/],
    ['lease the first range', [], [put('networks/blue/ranges/10.9.0.0-24', range(), 0n)], /given by hand/],
    [
      'lease the whole subnet',
      [],
      [put('networks/blue/ranges/10.9.0.0-16', range(), 0n)],
      /no range of the network/,
    ],
    [
      'lease a range outside',
      [],
      [put('networks/blue/ranges/10.10.1.0-24', range(), 0n)],
      /no range of the network/,
    ],
    [
      'lease two at once',
      [],
      [put(RANGE, range(), 0n), put('networks/blue/ranges/10.9.2.0-24', range(), 0n)],
      /one range at a time/,
    ],
    [
      'lease one that overlaps what an administrator wrote',
      [kv('networks/blue/ranges/10.9.1.0-25', range(OTHER), 0n)],
      [put(RANGE, range(), 0n)],
      /overlaps 10\.9\.1\.0\/25/,
    ],
    ['lease a range that expires', [], [put(RANGE, range(), 7n)], /has no expiry/],

    [
      'hide another write behind its own',
      [],
      [put(ENDPOINT, endpoint()), put('vnis/1', 'blue')],
      /written on its own/,
    ],
  ] as const) {
    test(name, () => {
      const refusal = authorizerOf(...present).refuses(CALLER, writes);
      assert.match(refusal ?? 'nothing is refused', reason);
    });
  }

  test('have thousands of endpoints, or ranges without end', () => {
    const many = Array.from({ length: 4096 }, (_, at) => {
      const ip = Ip.parse('10.9.2.0').plus(at + 1);
      return kv(`networks/blue/endpoints/${ip}`, endpoint());
    });
    const authorizer = authorizerOf(...many);
    assert.match(authorizer.refuses(CALLER, [put(ENDPOINT, endpoint())]) ?? '', /4096 endpoints/);
    // What it has it may write, and one less makes room.
    assert.equal(
      authorizer.refuses(CALLER, [put('networks/blue/endpoints/10.9.2.1', endpoint())]),
      undefined,
    );
    authorizer.follow({
      type: 'delete',
      kv: kv('networks/blue/endpoints/10.9.2.1', ''),
      previous: undefined,
    });
    assert.equal(authorizer.refuses(CALLER, [put(ENDPOINT, endpoint())]), undefined);

    const wide = { ...BLUE, subnets: ['10.9.0.0/16'], rangeLengths: [26] };
    const ranges = Array.from({ length: 256 }, (_, at) => {
      const base = Ip.parse('10.9.0.0').plus((at + 1) * 64);
      return kv(`networks/blue/ranges/${base}-26`, range(), 0n);
    });
    const full = authorizerOf(kv('networks/blue/config', wide, 0n), ...ranges);
    const next = put('networks/blue/ranges/10.9.128.0-26', range(), 0n);
    assert.match(full.refuses(CALLER, [next]) ?? '', /256 ranges/);
  });
});

test('what is its own decides about a store lease without an owner', () => {
  const authorizer = authorizerOf(kv(ENDPOINT, endpoint()), kv(MEMBER, member()), kv(RANGE, range(OTHER)));
  const owns = (key: string) => authorizer.owns(ME, path(key));
  assert.deepEqual([ENDPOINT, MEMBER, RANGE, 'networks/blue/config'].map(owns), [true, true, false, false]);
});

test('a network that is deleted has no room for anything any more', () => {
  const authorizer = authorizerOf();
  authorizer.follow({ type: 'delete', kv: kv('networks/blue/config', ''), previous: undefined });
  assert.match(authorizer.refuses(CALLER, [put(MEMBER, member())]) ?? '', /no network blue/);
  authorizer.follow({ type: 'put', kv: kv('networks/blue/config', BLUE), previous: undefined });
  assert.equal(authorizer.refuses(CALLER, [put(MEMBER, member())]), undefined);
});
