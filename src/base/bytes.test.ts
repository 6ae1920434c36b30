import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { bytesEqual, formatHex, parseHex, Reader, Writer, written } from './bytes.ts';
import { CodecError } from './errors.ts';

type Field =
  | { readonly kind: 'u8' | 'u16' | 'u16be' | 'u32' | 'u32be' | 'i32'; readonly value: number }
  | { readonly kind: 'u64' | 'u64be'; readonly value: bigint }
  | { readonly kind: 'bytes'; readonly value: Uint8Array };

const field = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constantFrom('u16' as const, 'u16be' as const), value: fc.nat(0xffff) }),
  fc.record({
    kind: fc.constantFrom('u32' as const, 'u32be' as const),
    value: fc.integer({ min: 0, max: 0xffff_ffff }),
  }),
  fc.record({ kind: fc.constant('i32' as const), value: fc.integer() }),
  fc.record({
    kind: fc.constantFrom('u64' as const, 'u64be' as const),
    value: fc.bigInt(0n, (1n << 64n) - 1n),
  }),
  fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 300 }) }),
);

function write(writer: Writer, { kind, value }: Field): void {
  if (value instanceof Uint8Array) writer.bytes(value);
  else if (typeof value === 'bigint') writer[kind as 'u64'](value);
  else writer[kind as 'u32'](value);
}

function read(reader: Reader, { kind, value }: Field): unknown {
  return kind === 'bytes' ? reader.bytes(value.byteLength) : reader[kind]();
}

describe('Reader and Writer', () => {
  test('what was written is read back, whatever the sequence of fields', () => {
    fc.assert(
      fc.property(fc.array(field), fields => {
        const writer = new Writer(1);
        for (const item of fields) write(writer, item);
        const bytes = writer.finish();
        assert.equal(bytes.byteLength, writer.length);
        const reader = new Reader(bytes, 'test');
        for (const item of fields) assert.deepEqual(read(reader, item), item.value);
        assert.equal(reader.remaining, 0);
      }),
    );
  });

  test('a cut of the bytes is an error that names the format, never a short value', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1 }), fc.nat(), (fields, at) => {
        const writer = new Writer();
        for (const item of fields) write(writer, item);
        const bytes = writer.finish();
        fc.pre(bytes.byteLength > 0);
        const reader = new Reader(bytes.subarray(0, at % bytes.byteLength), 'some format');
        assert.throws(
          () => fields.forEach(item => read(reader, item)),
          (error: unknown) =>
            error instanceof CodecError && /^some format: want .* at byte \d+/.test(error.message),
        );
      }),
    );
  });

  test('byte order is in the name', () => {
    assert.equal(
      formatHex(new Writer().u16be(0x0102).u32be(0x03040506).u64be(0x0708n).finish()),
      '01020304050600000000000007' + '08',
    );
    assert.equal(new Reader(parseHex('01 02'), 'test').u16be(), 0x0102);
    const host = new Uint8Array(Uint16Array.of(0x0102).buffer);
    assert.equal(new Reader(host, 'test').u16(), 0x0102);
  });

  test('what is read never aliases the buffer, and a reader over a part stays inside it', () => {
    const bytes = parseHex('00 01 02 03 04 05');
    const reader = new Reader(bytes.subarray(1, 5), 'outer');
    const copy = reader.bytes(2);
    const inner = reader.sub(1, 'inner');
    bytes.fill(0xff);
    assert.deepEqual(copy, parseHex('01 02'));
    assert.equal(inner.u8(), 0xff);
    assert.throws(() => inner.u8(), { message: 'inner: want u8 at byte 1, got 0 bytes left' });
    assert.equal(reader.remaining, 1);
  });

  test('negative lengths are refused', () => {
    assert.throws(() => new Reader(new Uint8Array(4), 'test').bytes(-1), CodecError);
  });

  test('padding is to a multiple and of zeros', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.constantFrom(1, 2, 4, 8), (bytes, size) => {
        const padded = new Writer().bytes(bytes).align(size).finish();
        assert.equal(padded.byteLength, Math.ceil(bytes.byteLength / size) * size);
        assert.ok(padded.subarray(bytes.byteLength).every(byte => byte === 0));
      }),
    );
  });

  test('lengths are patched in place', () => {
    const writer = new Writer().u16(0).u32(0x56789abc).u8(7);
    writer.patchU16(0, 0x1234);
    const reader = new Reader(writer.finish(), 'test');
    assert.deepEqual([reader.u16(), reader.u32(), reader.u8()], [0x1234, 0x56789abc, 7]);
    writer.patchU32(2, 0x11223344);
    assert.deepEqual(writer.finish().subarray(2, 6), new Writer().u32(0x11223344).finish());
  });

  test('what was written last can be taken back', () => {
    const bytes = written(writer => {
      writer.u8(1);
      const { length } = writer;
      writer.u32(2).truncate(length);
      writer.truncate(9);
      writer.u8(3);
    });
    assert.deepEqual(bytes, Uint8Array.of(1, 3));
  });

  test('a finished buffer does not change with the writer', () => {
    const writer = new Writer().u8(1);
    const first = writer.finish();
    writer.u8(2);
    writer.patchU16(0, 0xffff);
    assert.deepEqual(first, Uint8Array.of(1));
  });
});

describe('hex', () => {
  test('survives both directions, with any separator', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('', ' ', '\n'), (bytes, separator) => {
        assert.deepEqual(parseHex(formatHex(bytes, separator)), bytes);
      }),
    );
  });

  test('half a byte and other letters are refused', () => {
    for (const text of ['0', '0g', '0x00']) assert.throws(() => parseHex(text), CodecError);
  });
});

test('bytesEqual compares content', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      assert.equal(bytesEqual(a, b), formatHex(a) === formatHex(b));
      assert.ok(bytesEqual(a, a.slice()));
    }),
  );
});
