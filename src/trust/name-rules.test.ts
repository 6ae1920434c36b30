import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BLUE, kv, path, put, remove } from '../../test/support/authorizer-case.ts';
import { NETWORK_PREFIX } from '../console/defaults.ts';
import type { Kv } from '../etcdserver/sqlite/tables.ts';
import { HostAuthorizer } from './host-authorizer.ts';

const ME = '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11';
const OTHER = '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22';
const CALLER = { name: ME, address: '192.168.65.3' };

const names = (hostId = ME, ...of: readonly string[]) => ({ hostId, names: of.length === 0 ? ['web'] : of });

const PRESENT = [
  kv('networks/blue/config', BLUE, 0n),
  kv('subnets/10.5.34.0-24', { PublicIP: '192.168.65.3', PublicIPv6: null, TulleHost: ME }),
  kv('subnets/10.5.35.0-24', { PublicIP: '192.168.65.4', PublicIPv6: null, TulleHost: OTHER }),
  kv('networks/blue/endpoints/10.9.2.2', { hostId: OTHER, container: 'db', mac: '02:00:00:00:00:0a' }),
];
const WEB = 'names/blue/10.9.1.2';

function authorizerOf(...present: Kv[]): HostAuthorizer {
  const authorizer = new HostAuthorizer(NETWORK_PREFIX);
  authorizer.reset([...PRESENT, ...present]);
  return authorizer;
}

describe('a host may', () => {
  for (const [name, present, writes] of [
    ['name a container on an L2 network', [], [put(WEB, names())]],
    ['name one on the overlay', [], [put('names/default/10.5.34.2', names())]],
    ['name several at once', [], [put(WEB, names()), put('names/blue/10.9.1.3', names(ME, 'db', 'api'))]],
    ['change what is its own', [kv(WEB, names())], [put(WEB, names(ME, 'db'))]],
    ['delete what is its own', [kv(WEB, names())], [remove(WEB)]],
    ['replace what nobody can read', [kv(WEB, 'garbage')], [put(WEB, names())]],
  ] as const) {
    test(name, () => assert.equal(authorizerOf(...present).refuses(CALLER, writes), undefined));
  }
});

describe('a host may not', () => {
  for (const [name, present, writes, why] of [
    ['name itself another', [], [put(WEB, names(OTHER))], /it names the host/],
    ['change names of another', [kv(WEB, names(OTHER))], [put(WEB, names())], /names of another host/],
    ['delete names of another', [kv(WEB, names(OTHER))], [remove(WEB)], /names of another host/],
    ['name what stays for ever', [], [put(WEB, names(), 0n)], /on a store lease/],
    ['name on a network that is none', [], [put('names/red/10.9.1.2', names())], /no network red/],
    ['name an address outside', [], [put('names/blue/10.8.1.2', names())], /no address that a container/],
    ['name a container of another', [], [put('names/blue/10.9.2.2', names())], /container of another host/],
    ['name in the subnet of another', [], [put('names/default/10.5.35.2', names())], /not in the subnet/],
    ['use another spelling', [], [put('names/blue/10.9.01.2', names())], /no key of names/],
    ['write what is no name', [], [put(WEB, names(ME, 'Web'))], /names of DNS/],
    ['write too much', [], [put(WEB, { ...names(), x: 'x'.repeat(2048) })], /bytes/],
    ['mix them with a lease', [], [put(WEB, names()), remove('subnets/10.5.34.0-24')], /on their own/],
  ] as const) {
    test(name, () => assert.match(authorizerOf(...present).refuses(CALLER, writes) ?? '', why));
  }

  test('name more addresses than a host can have', () => {
    const many = Array.from({ length: 16_384 }, (_, at) =>
      kv(`names/blue/10.9.${64 + (at >> 8)}.${at & 255}`, names()),
    );
    const authorizer = authorizerOf(...many);
    assert.match(authorizer.refuses(CALLER, [put(WEB, names())]) ?? '', /16384 addresses/);
    for (const gone of many.slice(1)) authorizer.follow({ type: 'delete', kv: gone } as never);
    assert.equal(authorizer.refuses(CALLER, [put(WEB, names())]), undefined);
  });
});

test('names belong to the host that they name', () => {
  const authorizer = authorizerOf(kv(WEB, names()));
  assert.ok(authorizer.owns(ME, path(WEB)));
  assert.ok(!authorizer.owns(OTHER, path(WEB)));
});
