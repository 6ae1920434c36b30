import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { readAll } from './read-all.ts';

test('a stream is what its pieces are together, unless it is too long', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 8 })), fc.nat(40), async (chunks, limit) => {
      const whole = Buffer.concat(chunks);
      const read = await readAll(Readable.from(chunks), limit);
      assert.deepEqual(read, whole.byteLength > limit ? undefined : whole);
    }),
  );
});

test('nothing is read beyond the limit', async () => {
  let given = 0;
  const endless = async function* () {
    for (;;) {
      given++;
      yield Uint8Array.of(1, 2, 3);
    }
  };
  assert.equal(await readAll(endless(), 7), undefined);
  assert.equal(given, 3);
});

test('a stream that fails is no shorter stream', async () => {
  const broken = async function* () {
    yield Uint8Array.of(1);
    throw new Error('cut off');
  };
  await assert.rejects(readAll(broken(), 10), /cut off/);
});
