import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { ParseError } from './errors.ts';
import { ADDRESS_BITS, type Family, Ip } from './ip.ts';
import { Prefix, parseInterfaceAddress } from './prefix.ts';

/** Blocks near each other, so that containing, touching and missing each other are all common. */
const prefixIn = (family: Family) =>
  fc
    .tuple(fc.bigInt(0n, 63n), fc.integer({ min: ADDRESS_BITS[family] - 7, max: ADDRESS_BITS[family] }))
    .map(([value, length]) => Prefix.of(Ip.fromBigInt(family, value), length));
const anyPrefix = fc.oneof(prefixIn('ipv4'), prefixIn('ipv6'));

const first = (prefix: Prefix) => prefix.ip.toBigInt();
const last = (prefix: Prefix) => first(prefix) + prefix.size - 1n;

describe('Prefix', () => {
  test('host bits are cleared', () => {
    assert.equal(Prefix.parse('10.3.4.5/24').toString(), '10.3.4.0/24');
    assert.equal(Prefix.parse('fc00::1:2/48').toString(), 'fc00::/48');
    assert.equal(Prefix.parse('10.3.4.5/0').toString(), '0.0.0.0/0');
    assert.equal(Prefix.parse('10.3.4.5/32').toString(), '10.3.4.5/32');
  });

  for (const text of [
    '10.3.4.0',
    '10.3.4.0/',
    '10.3.4.0/33',
    'fc00::/129',
    '10.3.4.0/-1',
    '10.3.4.0/24/1',
    '/',
  ]) {
    test(`${text} is refused`, () => assert.throws(() => Prefix.parse(text), ParseError));
  }

  test('a length that does not fit is refused', () => {
    for (const length of [-1, 33, 1.5, Number.NaN]) {
      assert.throws(() => Prefix.of(Ip.parse('10.0.0.0'), length), RangeError);
    }
  });

  test('survives its text, and ends where its size says', () => {
    fc.assert(
      fc.property(anyPrefix, prefix => {
        assert.ok(Prefix.parse(prefix.toString()).equals(prefix));
        assert.equal(prefix.last.toBigInt(), last(prefix));
        assert.equal(JSON.stringify(prefix), `"${prefix}"`);
      }),
    );
  });

  test('keys are equal for equal blocks only', () => {
    fc.assert(fc.property(anyPrefix, anyPrefix, (a, b) => assert.equal(a.key === b.key, a.equals(b))));
    assert.notEqual(Prefix.parse('::/32').key, Prefix.parse('0.0.0.0/32').key);
  });

  test('contains and overlaps are those of intervals of numbers', () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        const same = a.family === b.family;
        assert.equal(a.contains(b), same && first(a) <= first(b) && last(b) <= last(a));
        assert.equal(a.contains(b.ip), same && first(a) <= first(b) && first(b) <= last(a));
        assert.equal(a.overlaps(b), same && first(a) <= last(b) && first(b) <= last(a));
        assert.equal(a.equals(b), same && first(a) === first(b) && a.length === b.length);
        assert.equal(a.compare(b) === 0, a.equals(b));
      }),
      { numRuns: 2000 },
    );
  });

  test('sorting puts a block before those inside it', () => {
    const sorted = ['10.0.1.0/24', '10.0.0.0/24', '10.0.0.0/16', 'fc00::/48', '10.0.0.0/30']
      .map(text => Prefix.parse(text))
      .sort((a, b) => a.compare(b))
      .map(String);
    assert.deepEqual(sorted, ['10.0.0.0/16', '10.0.0.0/24', '10.0.0.0/30', '10.0.1.0/24', 'fc00::/48']);
  });
});

test('an interface address keeps its host bits', () => {
  const { ip, length } = parseInterfaceAddress('10.3.4.5/24');
  assert.equal(`${ip}/${length}`, '10.3.4.5/24');
  assert.throws(() => parseInterfaceAddress('10.3.4.5'), ParseError);
});
