import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { type Ring, takeRecords } from './ring-reader.ts';

const SIZE = 64;

/** A ring as the kernel would write it; undefined for a record without room. */
class Writer {
  readonly ring: Ring = {
    consumer: new BigUint64Array(1),
    producer: new BigUint64Array(1),
    data: new Uint8Array(2 * SIZE),
  };

  write(bytes: Uint8Array, flags = 0): boolean {
    const { consumer, producer, data } = this.ring;
    const start = Number(producer[0]);
    const end = start + 8 + Math.ceil(bytes.byteLength / 8) * 8;
    if (end - Number(consumer[0]) > SIZE) return false;
    const record = new Uint8Array(end - start);
    new DataView(record.buffer).setUint32(0, (bytes.byteLength | flags) >>> 0, true);
    record.set(bytes, 8);
    // The same memory twice.
    record.forEach((byte, index) => {
      const at = (start + index) % SIZE;
      data[at] = byte;
      data[at + SIZE] = byte;
    });
    producer[0] = BigInt(end);
    return true;
  }
}

test('records come out as they went in, over the end of the ring too', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      (all, most) => {
        const writer = new Writer();
        const taken: Uint8Array[] = [];
        for (const bytes of all) {
          while (!writer.write(bytes)) taken.push(...takeRecords(writer.ring, most));
        }
        for (
          let more = takeRecords(writer.ring, most);
          more.length > 0;
          more = takeRecords(writer.ring, most)
        ) {
          assert.ok(more.length <= most);
          taken.push(...more);
        }
        assert.deepEqual(taken, all);
      },
    ),
  );
});

test('a record that is thrown away is passed over, one that is not written yet waited for', () => {
  const writer = new Writer();
  writer.write(Uint8Array.of(1), 0x4000_0000);
  writer.write(Uint8Array.of(2));
  writer.write(Uint8Array.of(3), 0x8000_0000);
  assert.deepEqual(takeRecords(writer.ring, 10), [Uint8Array.of(2)]);
  assert.equal(writer.ring.consumer[0], 32n);
  assert.deepEqual(takeRecords(writer.ring, 10), []);
});

test('what no kernel writes is malformed, and ends', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2 * SIZE, maxLength: 2 * SIZE }),
      fc.bigInt(0n, 200n),
      (data, end) => {
        const ring: Ring = { consumer: new BigUint64Array(1), producer: BigUint64Array.of(end), data };
        try {
          takeRecords(ring, 1_000);
        } catch (error) {
          assert.equal((error as Error).name, 'CodecError');
        }
        assert.ok((ring.consumer[0] ?? 0n) <= end + 8n);
      },
    ),
  );
});
