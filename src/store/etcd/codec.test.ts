import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { fc } from '../../testing/properties.ts';
import { KeyValueSchema } from '../wire/generated/mvcc_pb.ts';
import { decodeHeader, decodeKeyValue, encodeKey, prefixRange } from './codec.ts';

test('the range of a prefix holds the keys that begin with it and no others', () => {
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(text, text, fc.boolean(), (prefix, other, joined) => {
      const key = joined ? prefix + other : other;
      const { key: start, rangeEnd = new Uint8Array() } = prefixRange(prefix);
      const bytes = encodeKey(key);
      const inside = Buffer.compare(bytes, start) >= 0 && Buffer.compare(bytes, rangeEnd) < 0;
      const begins = Buffer.compare(bytes.subarray(0, start.length), start) === 0;
      assert.equal(inside, begins);
    }),
  );
});

test('the empty prefix is everything, in the words of etcd', () => {
  assert.deepEqual(prefixRange(''), { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) });
});

test('a decoded value shares the bytes of its message, and a key that is no text is still a string', () => {
  const message = create(KeyValueSchema, { key: Uint8Array.of(0x61, 0xff), value: Uint8Array.of(1, 2) });
  const kv = decodeKeyValue(message, 'range');
  assert.equal(kv.value, message.value);
  assert.equal(kv.key, 'a\ufffd');
});

test('a response without a sensible header is refused', () => {
  assert.throws(() => decodeHeader(undefined, 'range'), { name: 'StoreError', code: 'PROTOCOL' });
});
