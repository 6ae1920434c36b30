import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NETWORK_PREFIX } from '../console/defaults.ts';
import type { Kv } from '../etcdserver/sqlite/tables.ts';
import { HostAuthorizer } from './host-authorizer.ts';

const ME = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const MY_IP = '192.168.65.3';
const CALLER = { name: ME, address: MY_IP };

const bytes = (text: string) => new TextEncoder().encode(text);
const path = (key: string) => bytes(`${NETWORK_PREFIX}/subnets/${key}`);
const value = (owner: string | undefined, publicIp = MY_IP, more: object = {}) =>
  bytes(
    JSON.stringify({ PublicIP: publicIp, PublicIPv6: null, ...(owner && { TulleHost: owner }), ...more }),
  );
const kv = (key: Uint8Array, content: Uint8Array, lease: bigint): Kv => ({
  key,
  value: content,
  lease,
  createRevision: 1n,
  modRevision: 1n,
  version: 1n,
});
const held = (key: string, content: Uint8Array) => kv(path(key), content, 7n);
const reserved = (key: string, content: Uint8Array) => kv(path(key), content, 0n);
const put = (key: string, content: Uint8Array, lease = 7n) => ({
  key: path(key),
  next: { value: content, lease },
});
const remove = (key: string) => ({ key: path(key), next: undefined });

const configured = (config: string) => kv(bytes(`${NETWORK_PREFIX}/config`), bytes(config), 0n);
const CONFIG = configured('{"Network":"10.5.0.0/16","SubnetMax":"10.5.99.0","Backend":{"Type":"vxlan"}}');

function authorizerOf(...present: Kv[]): HostAuthorizer {
  const authorizer = new HostAuthorizer(NETWORK_PREFIX);
  authorizer.reset([CONFIG, ...present]);
  return authorizer;
}

/** A lease of so many bytes. */
function valueOfSize(size: number): Uint8Array {
  const rest = value(ME, MY_IP, { x: '' }).byteLength;
  return value(ME, MY_IP, { x: 'x'.repeat(size - rest) });
}

const KEY = '10.5.34.0-24';

describe('a host may', () => {
  for (const [name, present, writes] of [
    ['make a lease', [], [put(KEY, value(ME))]],
    ['change its own', [held(KEY, value(ME))], [put(KEY, value(ME, '192.168.65.9'))]],
    ['delete its own', [held(KEY, value(ME))], [remove(KEY)]],
    ['delete what is not there', [], [remove(KEY)]],
    ['move', [held(KEY, value(ME))], [put('10.5.35.0-24', value(ME)), remove(KEY)]],
    ['have two while it moves', [held(KEY, value(ME))], [put('10.5.35.0-24', value(ME))]],
    [
      'move away from two',
      [held(KEY, value(ME)), held('10.5.35.0-24', value(ME))],
      [put('10.5.36.0-24', value(ME)), remove(KEY), remove('10.5.35.0-24')],
    ],
    ['take what is reserved for its address', [reserved(KEY, value(undefined))], [put(KEY, value(ME), 0n)]],
    [
      'take what is reserved for it outside of the range',
      [reserved('10.5.128.0-20', value(undefined))],
      [put('10.5.128.0-20', value(ME), 0n)],
    ],
    ['make a lease of its own reservation', [reserved(KEY, value(ME))], [put(KEY, value(ME))]],
    [
      'change its own, which the network would not give out any more',
      [held('10.5.34.128-25', value(ME))],
      [put('10.5.34.128-25', value(ME, '192.168.65.9'))],
    ],
    [
      'publish an address that another lease has, from this address',
      [held('10.5.35.0-24', value(OTHER))],
      [put(KEY, value(ME))],
    ],
    ['write 4096 bytes', [], [put(KEY, valueOfSize(4096))]],
    [
      'move to a subnet that overlaps the one it leaves',
      [held('10.5.34.128-25', value(ME))],
      [put(KEY, value(ME)), remove('10.5.34.128-25')],
    ],
    [
      'keep the address that it publishes, from wherever it comes',
      [held(KEY, value(ME, '192.168.65.9'))],
      [put(KEY, value(ME, '192.168.65.9'))],
    ],
  ] as const) {
    test(name, () => assert.equal(authorizerOf(...present).refuses(CALLER, writes), undefined));
  }

  test('take what is reserved for its address also by loopback, where the store is', () => {
    const authorizer = authorizerOf(reserved(KEY, value(undefined)));
    for (const address of ['127.0.0.1', '::1']) {
      assert.equal(authorizer.refuses({ name: ME, address }, [put(KEY, value(ME), 0n)]), undefined, address);
    }
  });
});

describe('D2: a host may not', () => {
  const notBelow = /only leases below/;
  for (const [name, present, writes, reason] of [
    ['write another name', [], [put(KEY, value(OTHER))], /but the certificate to/],
    ['write no name', [], [put(KEY, value(undefined))], /belongs to no host/],
    ['give its own away', [held(KEY, value(ME))], [put(KEY, value(OTHER))], /but the certificate to/],
    ["take another's", [held(KEY, value(OTHER))], [put(KEY, value(ME))], /not a lease of this host/],
    ["delete another's", [held(KEY, value(OTHER))], [remove(KEY)], /not a lease of this host/],
    [
      'take what flannel wrote, even from its address',
      [held(KEY, value(undefined))],
      [put(KEY, value(ME))],
      /not a lease of this host/,
    ],
    [
      'take what is reserved for another address',
      [reserved(KEY, value(undefined, '192.168.65.4'))],
      [put(KEY, value(ME))],
      /not a lease of this host/,
    ],
    ['delete a reservation', [reserved(KEY, value(undefined))], [remove(KEY)], /not a lease of this host/],
    ['take something that is not a lease', [held(KEY, bytes('{'))], [put(KEY, value(ME))], /not a lease/],
    ['write something that is not a lease', [held(KEY, value(ME))], [put(KEY, bytes('{'))], /JSON/],
    ['make a reservation', [], [put(KEY, value(ME), 0n)], /only an administrator can create/],
    ['make its own a reservation', [held(KEY, value(ME))], [put(KEY, value(ME), 0n)], /an administrator/],
    ['write a /16', [], [put('10.5.0.0-16', value(ME))], /more than a quarter/],
    ['write a /0', [], [put('0.0.0.0-0', value(ME))], /names no subnet|length of 0/],
    ['write outside the network', [], [put('10.6.34.0-24', value(ME))], /outside the network/],
    ['write outside the range', [], [put('10.5.100.0-24', value(ME))], /gives out \/24 from 10\.5\.1\.0/],
    ['write another length', [], [put('10.5.34.0-25', value(ME))], /gives out/],
    [
      "write into another's",
      [held(KEY, value(OTHER, '192.168.65.4'))],
      [put('10.5.34.128-25', value(ME))],
      /gives out/,
    ],
    [
      "write around another's",
      [held('10.5.34.0-25', value(OTHER, '192.168.65.4'))],
      [put(KEY, value(ME))],
      /overlaps 10\.5\.34\.0-25/,
    ],
    ['write a block that is not aligned', [], [put('10.5.34.1-24', value(ME))], /is written 10\.5\.34\.0-24/],
    ['write a path', [], [put('../../x', value(ME))], /want for example/],
    ['write below a lease', [], [put(`${KEY}/x`, value(ME))], /want for example/],
    ['write IPv6 where there is none', [], [put(`${KEY}&fd00:0:0:1::-64`, value(ME))], /gives out/],
    [
      'write into the subnet that it has, beside it',
      [held('10.5.34.128-25', value(ME))],
      [put(KEY, value(ME))],
      /overlaps 10\.5\.34\.128-25/,
    ],
    ['write 4097 bytes', [], [put(KEY, valueOfSize(4097))], /has 4097 bytes; a lease has 4096 at most/],
    ['write 1.4 MB', [], [put(KEY, value(ME, MY_IP, { x: 'x'.repeat(1_400_000) }))], /4096 at most/],
    [
      "publish another's address",
      [held('10.5.35.0-24', value(OTHER, '192.168.65.4'))],
      [put(KEY, value(ME, '192.168.65.4'))],
      /is that of the lease 10\.5\.35\.0-24/,
    ],
    ['publish no address', [], [put(KEY, value(ME, '0.0.0.0'))], /no public address/],
    ['publish an address of the overlay', [], [put(KEY, value(ME, '10.5.1.1'))], /inside the network/],
    [
      'have three',
      [held(KEY, value(ME)), held('10.5.35.0-24', value(ME))],
      [put('10.5.36.0-24', value(ME))],
      /one lease, or two while it moves/,
    ],
    ['have three at once', [], [1, 2, 3].map(n => put(`10.5.${n}.0-24`, value(ME))), /one lease, or two/],
  ] as const) {
    test(name, () => assert.match(authorizerOf(...present).refuses(CALLER, writes) ?? 'allowed', reason));
  }

  test('write anything beside the leases', () => {
    for (const key of [
      '/coreos.com/network/config',
      '/coreos.com/network/subnets',
      '/coreos.com/network/subnets/',
      '/coreos.com/network/subnetsx/10.5.34.0-24',
      `\u{feff}${NETWORK_PREFIX}/subnets/${KEY}`,
      `/other/subnets/${KEY}`,
      '',
    ]) {
      for (const next of [{ value: value(ME), lease: 7n }, undefined]) {
        assert.match(authorizerOf().refuses(CALLER, [{ key: bytes(key), next }]) ?? 'allowed', notBelow, key);
      }
    }
  });

  test('write while the network has no configuration', () => {
    const authorizer = new HostAuthorizer(NETWORK_PREFIX);
    assert.match(authorizer.refuses(CALLER, [put(KEY, value(ME))]) ?? 'allowed', /no valid configuration/);
  });
});

test('D2: what is there is followed from change to change, whatever the order', () => {
  const authorizer = authorizerOf();
  const theirs = held(KEY, value(OTHER, '192.168.65.4'));
  authorizer.follow({ type: 'put', kv: theirs, previous: undefined });
  assert.ok(authorizer.owns(OTHER, path(KEY)));
  assert.ok(authorizer.refuses(CALLER, [put(KEY, value(ME))]));
  // The same block twice, as flannel hosts may have it: the second still takes it when the first is gone.
  const twin = held(`${KEY}&fd00:0:0:1::-64`, value(OTHER, '192.168.65.4'));
  authorizer.follow({ type: 'put', kv: twin, previous: undefined });
  authorizer.follow({ type: 'delete', kv: theirs, previous: theirs });
  assert.match(authorizer.refuses(CALLER, [put(KEY, value(ME))]) ?? 'allowed', /overlaps/);
  authorizer.follow({ type: 'delete', kv: twin, previous: twin });
  assert.equal(authorizer.refuses(CALLER, [put(KEY, value(ME))]), undefined);
  assert.equal(authorizer.owns(OTHER, path(KEY)), false);
});

test('a configuration that cannot be used leaves the one in force', () => {
  const authorizer = authorizerOf();
  authorizer.follow({ type: 'put', kv: configured('{"Network":'), previous: undefined });
  assert.equal(authorizer.refuses(CALLER, [put(KEY, value(ME))]), undefined);
  assert.match(
    authorizer.refuses(CALLER, [put('10.6.34.0-24', value(ME))]) ?? 'allowed',
    /outside the network/,
  );
});

test('another database has none of the leases of the former one', () => {
  const authorizer = authorizerOf(held(KEY, value(OTHER, '192.168.65.4')));
  assert.ok(authorizer.refuses(CALLER, [put(KEY, value(ME))]));
  authorizer.reset([CONFIG]);
  assert.equal(authorizer.refuses(CALLER, [put(KEY, value(ME))]), undefined);
});

test("another's IPv6 block is taken as its IPv4 block is", () => {
  const authorizer = new HostAuthorizer(NETWORK_PREFIX);
  const dual =
    '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}';
  const both = { PublicIPv6: 'fd65::4' };
  authorizer.reset([
    configured(dual),
    held('10.5.34.0-24&fd00:5:0:1::-64', value(OTHER, '192.168.65.4', both)),
  ]);
  const mine = (key: string) =>
    authorizer.refuses(CALLER, [put(key, value(ME, MY_IP, { PublicIPv6: 'fd65::3' }))]);
  assert.match(mine('10.5.35.0-24&fd00:5:0:1::-64') ?? 'allowed', /overlaps 10\.5\.34\.0-24&fd00:5:0:1::-64/);
  assert.match(mine('10.5.34.0-24&fd00:5:0:2::-64') ?? 'allowed', /overlaps/);
  assert.equal(mine('10.5.35.0-24&fd00:5:0:2::-64'), undefined);
});
