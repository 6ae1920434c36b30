import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BLUE as CONFIGURED,
  remove,
  kv as stored,
  put as written,
} from '../../test/support/authorizer-case.ts';
import { NETWORK_PREFIX } from '../console/defaults.ts';
import type { Kv } from '../etcdserver/sqlite/tables.ts';
import { HostAuthorizer } from './host-authorizer.ts';

const CALLER = { name: '5d1c63e4-7d0c-4f0e-9a53-0f9f3f1f2a11', address: '192.168.65.3' };

// Networks are on no store lease.
const kv = (key: string, value: object | string) => stored(key, value, 0n);
const put = (key: string, value: object | string, lease = 0n) => written(key, value, lease);

const RED = { ...CONFIGURED, vni: 15_000_000 };
const making = (more: object = {}, name = 'red') => [
  put(`networks/${name}/config`, { ...RED, ...more }),
  put(`vnis/${{ ...RED, ...more }.vni}`, name),
];
const CONFIG = kv('config', { Network: '10.5.0.0/16', Backend: { Type: 'vxlan', VNI: 88 } });
const LEASE = kv('subnets/10.5.34.0-24', { PublicIP: '192.168.65.4', PublicIPv6: null, TulleHost: 'x' });
const BLUE = [
  kv('networks/blue/config', { ...RED, vni: 4242, subnets: ['10.8.0.0/16'], gateways: [] }),
  kv('vnis/4242', 'blue'),
];

function refusalOf(writes: Parameters<HostAuthorizer['refuses']>[1], present: readonly Kv[] = []) {
  const authorizer = new HostAuthorizer(NETWORK_PREFIX);
  authorizer.reset([CONFIG, LEASE, ...BLUE, ...present]);
  return authorizer.refuses(CALLER, writes);
}

describe('a host', () => {
  test('makes a network that is free, with its VNI', () => {
    assert.equal(refusalOf(making()), undefined);
    assert.equal(refusalOf(making({ subnets: ['10.16.0.0/12'], gateways: [], floodLimit: 2000 })), undefined);
    assert.equal(
      refusalOf(making({ subnets: ['fd00:9::/64'], gateways: [], rangeLengths: [80] })),
      undefined,
    );
  });

  test('makes it again once it is deleted, and clears what was left of it', () => {
    const authorizer = new HostAuthorizer(NETWORK_PREFIX);
    const [config, vni] = [kv('networks/red/config', RED), kv('vnis/15000000', 'red')];
    const range = kv('networks/red/ranges/10.9.1.0-24', { hostId: '7e2d74f5-8e1d-4a1f-8b64-1a0a4a2a3b22' });
    authorizer.reset([CONFIG, config, vni, range]);
    assert.match(authorizer.refuses(CALLER, making()) ?? '', /only an administrator changes/);
    assert.match(
      authorizer.refuses(CALLER, [remove('networks/red/ranges/10.9.1.0-24')]) ?? '',
      /not of this host/,
    );
    for (const gone of [config, vni]) authorizer.follow({ type: 'delete', kv: gone, previous: undefined });
    assert.equal(authorizer.refuses(CALLER, [remove('networks/red/ranges/10.9.1.0-24')]), undefined);
    assert.equal(authorizer.refuses(CALLER, making()), undefined);
  });

  for (const [name, writes, reason, present] of [
    ['without its VNI', making().slice(0, 1), /only an administrator/],
    ['with the VNI of another', making({ vni: 4242 }), /VNI 4242 is taken/],
    ['with the VNI of the overlay', making({ vni: 88 }), /VNI 88 is taken/],
    ['with a VNI that names another', [making()[0], put('vnis/15000000', 'blue')], /do not name each other/],
    ['under another VNI', [making()[0], put('vnis/15000001', 'red')], /do not name each other/],
    ['that is there', making({}, 'blue'), /only an administrator changes/],
    [
      'that is there and cannot be read',
      making(),
      /only an administrator changes/,
      [kv('networks/red/config', '{')],
    ],
    [
      'in the subnet of another',
      making({ subnets: ['10.8.4.0/24'], gateways: [], rangeLengths: [28] }),
      /overlaps 10\.8\.0\.0\/16/,
    ],
    [
      'in the overlay',
      making({ subnets: ['10.5.0.0/24'], gateways: [], rangeLengths: [28] }),
      /the network of the overlay/,
    ],
    [
      'with the address of a host',
      making({ subnets: ['192.168.0.0/16'], gateways: [] }),
      /addresses of hosts/,
    ],
    ['of addresses of the internet', making({ subnets: ['1.1.0.0/16'], gateways: [] }), /not private/],
    ['that is half of a block', making({ subnets: ['10.128.0.0/9'], gateways: [] }), /larger than a \/12/],
    [
      'that is more than a site has',
      making({ subnets: ['fd00:9::/32'], gateways: [], rangeLengths: [80] }),
      /larger than a \/48/,
    ],
    ['with more floods', making({ floodLimit: 10_000_000 }), /another limit of floods than 2000/],
    ['with fewer floods', making({ floodLimit: 1 }), /another limit of floods/],
    ['for all Dockers', making({ docker: true }), /for Docker on all hosts/],
    ['on another port', making({ port: 53 }), /another port/],
    ['with a name of Docker', making({}, 'bridge'), /written on its own/],
    ['that expires', making().map(({ key, next }) => ({ key, next: { ...next, lease: 7n } })), /no expiry/],
    ['that nobody can read', [put('networks/red/config', '{}'), making()[1]], /want|must/],
    ['and deletes its VNI', [making()[0], remove('vnis/15000000')], /only an administrator/],
    ['under what is no VNI', [making()[0], put('vnis/x', 'red')], /do not name each other/],
  ] as const) {
    test(`makes no network ${name}`, () => {
      const refusal = refusalOf(
        writes.flatMap(write => write ?? []),
        present,
      );
      assert.match(refusal ?? 'nothing is refused', reason);
    });
  }

  test('makes no more than a thousand', () => {
    const many = Array.from({ length: 1024 }, (_, at) =>
      kv(`networks/n${at}/config`, {
        ...RED,
        vni: 15_100_000 + at,
        subnets: [`10.${16 + (at >> 8)}.${at & 255}.0/24`],
        gateways: [],
        rangeLengths: [28],
      }),
    );
    assert.match(
      refusalOf(making({ subnets: ['10.200.0.0/16'], gateways: [] }), many) ?? '',
      /an administrator can make more/,
    );
  });
});
