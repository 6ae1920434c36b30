import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { fc } from '../../testing/properties.ts';
import { fold, internetChecksum, sumOf, updated } from './checksum.ts';

const memory = new PacketMemory(70_000);

/** RFC 1071 word by word. */
function slowSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2)
    sum += ((bytes[index] ?? 0) << 8) + (bytes[index + 1] ?? 0);
  return fold(sum);
}

/** 0 and 0xffff are the same number. */
const sameSum = (a: number, b: number) => a % 0xffff === b % 0xffff;

test('adds up any bytes at any offset', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(9), (bytes, at) => {
      memory.bytes.fill(0xee);
      memory.bytes.set(bytes, at);
      assert.ok(sameSum(sumOf(memory, at, bytes.length), slowSum(bytes)));
    }),
  );
});

test('64 KiB of ones do not overflow', () => {
  memory.bytes.fill(0xff);
  for (const at of [0, 1, 2, 3]) assert.equal(sumOf(memory, at, 65_535) % 0xffff, 0xff00);
});

test('the example of RFC 1071', () => {
  memory.bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
  assert.equal(sumOf(memory, 0, 8), 0xddf2);
});

test('follows a change of one word', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.nat(0xffff), (bytes, word) => {
      memory.bytes.set(bytes);
      const before = memory.view.getUint16(8);
      const checksum = internetChecksum(sumOf(memory, 0, 20));
      memory.view.setUint16(8, word);
      assert.ok(sameSum(updated(checksum, before, word), internetChecksum(sumOf(memory, 0, 20))));
    }),
  );
});
