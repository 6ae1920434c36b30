import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYS_FLANNEL_REJECTS } from '../../../test/support/registry.ts';
import { ParseError } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { formatLeaseKey, parseLeaseKey, takenBlocksOfKey } from './key.ts';
import { formatSubnet } from './lease.ts';

const block = (family: Family) =>
  fc
    .tuple(
      fc.bigInt(0n, (1n << (family === 'ipv4' ? 32n : 128n)) - 1n),
      fc.integer({ min: 1, max: family === 'ipv4' ? 31 : 127 }),
    )
    .map(([value, length]) => Prefix.of(Ip.fromBigInt(family, value), length));

describe('lease keys', () => {
  for (const [key, subnet] of [
    ['10.5.34.0-24', '10.5.34.0/24'],
    ['188.172.50.0-24', '188.172.50.0/24'],
    ['10.12.13.0-24&fd00:12:13::-56', '10.12.13.0/24, fd00:12:13::/56'],
    ['10.5.34.0-24&fc00:0:0:1::-64', '10.5.34.0/24, fc00:0:0:1::/64'],
    ['0.0.0.0-0&fc00:0:0:1::-64', 'fc00:0:0:1::/64'],
    ['10.5.34.4-31', '10.5.34.4/31'],
  ] as const) {
    test(`${key} is ${subnet}`, () => {
      assert.equal(formatSubnet(parseLeaseKey(key)), subnet);
      assert.equal(formatLeaseKey(parseLeaseKey(key)), key);
    });
  }

  for (const key of [
    ...KEYS_FLANNEL_REJECTS,
    '',
    'hi10.12.13.0-24',
    '10.12.13.0-32',
    '10.12.13.0-024',
    '10.12.13.0-99999999999999999999',
    '010.12.13.0-24',
    '10.12.13.7-24',
    '10a12b13c0-24',
    '10.12.13.0/24',
    '10.12.13.0-24\n',
    '10.12.13.0-24&FC00::-64',
    '10.12.13.0-24&fc00:0:0:0::-64',
    '10.12.13.0-24&fc00::1-64',
    '10.12.13.0-24&fc00::-128',
    '10.12.13.0-24&::-0',
    '0.0.0.0-0',
    '10.12.13.0-0',
    '10.12.13.0-0&fc00::-64',
    '10.12.13.0-24&10.12.14.0-24',
    'config',
  ]) {
    test(`${JSON.stringify(key)} is refused`, () => assert.throws(() => parseLeaseKey(key), ParseError));
  }

  test('the reason says how the subnet is written', () => {
    assert.throws(() => parseLeaseKey('10.12.13.7-24'), { message: /is written 10\.12\.13\.0-24$/ });
  });

  test('every subnet has a key, and no two have the same', () => {
    const subnet = fc
      .record({ ipv4: block('ipv4'), ipv6: block('ipv6'), families: fc.constantFrom('4', '6', '46') })
      .map(({ ipv4, ipv6, families }) => ({
        ...(families.includes('4') ? { ipv4 } : {}),
        ...(families.includes('6') ? { ipv6 } : {}),
      }));
    fc.assert(
      fc.property(subnet, value => {
        assert.equal(formatSubnet(parseLeaseKey(formatLeaseKey(value))), formatSubnet(value));
      }),
    );
  });

  test('any text is a key in canonical form or a ParseError, and claims no less than the key says', () => {
    const nearly = fc.string({ unit: fc.constantFrom(...'0123456789abf.:-&/ '.split('')), maxLength: 30 });
    const spoiled = fc
      .tuple(block('ipv4'), block('ipv6'), fc.nat(40), nearly)
      .map(([ipv4, ipv6, at, text]) => {
        const key = formatLeaseKey({ ipv4, ipv6 });
        return key.slice(0, at) + text.slice(0, 2) + key.slice(at);
      });
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearly, spoiled), key => {
        const takenBlocks = takenBlocksOfKey(key).map(String);
        let subnet: ReturnType<typeof parseLeaseKey>;
        try {
          subnet = parseLeaseKey(key);
        } catch (error) {
          assert.ok(error instanceof ParseError);
          return;
        }
        assert.equal(formatLeaseKey(subnet), key);
        assert.deepEqual(takenBlocks.join(', '), formatSubnet(subnet));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('what a flannel host takes from a key', () => {
  for (const [key, takenBlocks] of [
    ['10.12.13.0-24', ['10.12.13.0/24']],
    ['hi10.12.13.7-24', ['10.12.13.0/24']],
    ['-x/10.12.13.0-24&fc00:0:0:0::-64', ['10.12.13.0/24', 'fc00::/64']],
    ['0.0.0.0-0&fc00::-64', ['fc00::/64']],
    ['10.12.13.0-24hi', []],
    ['10.12.13.0-32', []],
    ['10.12.13.0-24&fc00-64', []],
    ['0.0.0.0-0', []],
  ] as const) {
    test(key, () => assert.deepEqual(takenBlocksOfKey(key).map(String), takenBlocks));
  }
});
