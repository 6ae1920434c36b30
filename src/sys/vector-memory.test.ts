import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { openVectorMemory, scalarMemory, VECTOR } from './vector-memory.ts';

const SIZE = 131_072;

test('vector instructions copy and add up as plain ones do', () => {
  const vectors = openVectorMemory(SIZE);
  const plain = scalarMemory(new ArrayBuffer(SIZE));
  assert.ok(vectors.buffer.byteLength >= SIZE);
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 500, size: 'max' });
  fc.assert(
    fc.property(bytes, fc.nat(70), fc.nat(1000), fc.nat(30), (given, from, to, count) => {
      for (const { buffer } of [vectors, plain]) new Uint8Array(buffer).set(given, from);
      for (const memory of [vectors, plain]) memory.copy(to, from, given.length);
      const part = ({ buffer }: { buffer: ArrayBuffer }) => new Uint8Array(buffer, 0, 2000);
      assert.deepEqual(part(vectors), part(plain));
      assert.equal(vectors.addUp(to, count * VECTOR), plain.addUp(to, count * VECTOR));
    }),
  );
});

test('the largest sum there is fits', () => {
  for (const memory of [openVectorMemory(SIZE), scalarMemory(new ArrayBuffer(SIZE))]) {
    new Uint8Array(memory.buffer).fill(0xff);
    assert.equal(memory.addUp(1, 65_536), 32_768 * 0xffff);
    assert.equal(memory.addUp(7, 0), 0);
  }
});
