import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { CodecError, ParseError } from './errors.ts';
import { Mac } from './mac.ts';

const bytes = fc.uint8Array({ minLength: 6, maxLength: 6 });

test('every MAC survives text, bytes and key', () => {
  fc.assert(
    fc.property(bytes, value => {
      const mac = Mac.fromBytes(value);
      assert.ok(Mac.parse(mac.toString()).equals(mac));
      assert.ok(Mac.parse(mac.toString().toUpperCase()).equals(mac));
      assert.deepEqual(mac.bytes, value);
      assert.ok(Mac.fromKey(mac.key).equals(mac));
      assert.equal(JSON.stringify(mac), `"${mac}"`);
    }),
  );
});

test('what is no MAC is refused', () => {
  for (const text of [
    '',
    'c6:d2:32:6f:8f',
    'c6:d2:32:6f:8f:44:00',
    'c6-d2-32-6f-8f-44',
    'c6:d2:32:6f:8f:4g',
    'c6d2326f8f44',
  ]) {
    assert.throws(() => Mac.parse(text), ParseError, text);
  }
  assert.throws(() => Mac.fromBytes(new Uint8Array(5)), CodecError);
  for (const key of [-1, 2 ** 48, 1.5, Number.NaN]) assert.throws(() => Mac.fromKey(key), RangeError);
});

test('a random MAC is unicast and locally administered, and otherwise as random as its source', () => {
  fc.assert(
    fc.property(bytes, value => {
      const mac = Mac.random(count => value.subarray(0, count));
      assert.equal((mac.bytes[0] ?? 0) & 0b11, 0b10);
      assert.ok(mac.isUnicast);
      assert.deepEqual(mac.bytes.subarray(1), value.subarray(1));
    }),
  );
});

test('group addresses and all zeros are nobody', () => {
  assert.equal(Mac.parse('ff:ff:ff:ff:ff:ff').isUnicast, false);
  assert.equal(Mac.parse('01:00:5e:00:00:01').isUnicast, false);
  assert.equal(Mac.parse('00:00:00:00:00:00').isUnicast, false);
  assert.equal(Mac.parse('00:00:00:00:00:01').isUnicast, true);
});

test('does not alias the bytes it came from or gives away', () => {
  const source = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const mac = Mac.fromBytes(source);
  source[5] = 9;
  mac.bytes[5] = 9;
  assert.equal(mac.toString(), '02:00:00:00:00:01');
});
