import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { PeerSite } from '../check/site.ts';
import { addressPair, findEnd, type ReachableHosts } from './journey-end.ts';

const peer = (name: string, number: number, isTulle = true): PeerSite => ({
  name,
  key: name,
  names: [name, `192.168.65.${number}`],
  subnets: byFamily(Prefix.parse(`10.5.${number}.0/24`)),
  underlay: byFamily(Ip.parse(`192.168.65.${number}`)),
  isTulle,
  links: ['flannel.88'],
});

const container = (name: string, ...addresses: string[]) => ({ name, addresses });

const KNOWN: ReachableHosts = {
  site: {
    host: 'docker1',
    networks: byFamily(Prefix.parse('10.5.0.0/16')),
    subnets: byFamily(Prefix.parse('10.5.1.0/24')),
    underlay: byFamily(Ip.parse('192.168.65.1')),
    underlayMtu: 1500,
    overlayMtu: 1450,
    tunnel: {},
    peers: [peer('docker2', 2), peer('docker3', 3), peer('old', 4, false)],
  },
  containers: [
    container('c1', 'fe80::1', '172.18.0.2', '10.5.1.2'),
    container('docker3', '10.5.1.9'),
    container('bare'),
  ],
  ownAddresses: ['127.0.0.1', '192.168.65.1', '10.5.1.0'].map(Ip.parse),
  ask: one =>
    Promise.resolve(
      one.isTulle
        ? {
            bridgeAddresses: [],
            containers: [
              container('web', `10.5.${one.name.at(-1)}.5`),
              container(`only-${one.name}`, `10.5.${one.name.at(-1)}.6`),
            ],
          }
        : undefined,
    ),
};

const find = async (word: string) => {
  const { host, container: name, addresses } = await findEnd(KNOWN, word);
  return [host, name, addresses.map(String).join(' ')];
};

describe('an end of a journey', () => {
  test('is a container here by its name, with its address in the overlay first', async () => {
    assert.deepEqual(await find('c1'), ['docker1', 'c1', '10.5.1.2 172.18.0.2']);
    assert.deepEqual(await find('docker1/c1'), ['docker1', 'c1', '10.5.1.2 172.18.0.2']);
    assert.deepEqual(await find('10.5.1.2'), ['docker1', 'c1', '10.5.1.2']);
  });

  test('is a host by name or address', async () => {
    assert.deepEqual(await find('docker1'), ['docker1', undefined, '192.168.65.1 192.168.65.1 10.5.1.0']);
    assert.deepEqual(await find('docker2'), ['docker2', undefined, '192.168.65.2 10.5.2.0']);
    assert.deepEqual(await find('192.168.65.4'), ['old', undefined, '192.168.65.4']);
  });

  test('is a container of a peer, of one that cannot be asked by its address', async () => {
    assert.deepEqual(await find('docker2/web'), ['docker2', 'web', '10.5.2.5']);
    assert.deepEqual(await find('only-docker3'), ['docker3', 'only-docker3', '10.5.3.6']);
    assert.deepEqual(await find('old/10.5.4.7'), ['old', undefined, '10.5.4.7']);
    assert.deepEqual(await find('10.5.3.77'), ['docker3', undefined, '10.5.3.77']);
  });

  test('is an address of nobody that is known', async () => {
    assert.deepEqual(await find('203.0.113.1'), [undefined, undefined, '203.0.113.1']);
  });

  test('that is no end is an error with what to write instead', async () => {
    for (const [word, code, pattern] of [
      ['nobody', 'NOT_FOUND', /no host and no container "nobody"/],
      ['docker9/c1', 'NOT_FOUND', /no host "docker9"/],
      ['docker2/c9', 'NOT_FOUND', /docker2 has no container "c9"/],
      ['old/c1', 'NOT_FOUND', /old cannot be asked which address/],
      ['bare', 'NOT_FOUND', /bare has no address/],
      ['web', 'USAGE', /"web" may be several/],
      ['docker3', 'USAGE', /"docker3" may be several/],
    ] as const) {
      await assert.rejects(findEnd(KNOWN, word), { code, message: pattern }, word);
    }
  });
});

describe('the addresses of a packet', () => {
  const end = (...addresses: string[]) => ({ host: 'docker1', addresses: addresses.map(Ip.parse) });

  test('are of one family', () => {
    const pair = addressPair(end('10.5.1.2', 'fd00::1'), end('fd00::2'));
    assert.deepEqual([`${pair.from}`, `${pair.to}`], ['fd00::1', 'fd00::2']);
    const near = addressPair(end('172.18.0.2', '10.5.1.2', '10.9.1.1'), end('10.9.2.1'));
    assert.deepEqual([`${near.from}`, `${near.to}`], ['10.9.1.1', '10.9.2.1']);
    assert.throws(() => addressPair(end('10.5.1.2'), end('fd00::2')), { code: 'USAGE' });
  });

  test('are not those of two strangers', () => {
    const [one, other] = ['8.8.8.8', '9.9.9.9'].map(text => ({ addresses: [Ip.parse(text)] }));
    assert.ok(one !== undefined && other !== undefined);
    assert.throws(() => addressPair(one, other), {
      code: 'NOT_FOUND',
      message: /neither 8.8.8.8 nor 9.9.9.9/,
    });
    assert.equal(String(addressPair(one, end('10.5.1.2')).from), '8.8.8.8');
  });
});
