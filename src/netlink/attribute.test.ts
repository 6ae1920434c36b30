import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatHex, parseHex, Reader, Writer } from '../base/bytes.ts';
import { Ip } from '../base/ip.ts';
import { fc } from '../testing/properties.ts';
import { attributes, many, one } from './attribute.ts';
import { bool, bytes, flag, ip, mac, nested, text, u8, u16be, u32, u64be } from './attribute-types.ts';

const table = attributes({
  small: one(1, u8),
  port: one(2, u16be),
  index: one(3, u32),
  id: one(4, u64be),
  on: one(5, bool),
  set: one(6, flag),
  name: one(7, text),
  blob: one(8, bytes),
  address: one(9, ip),
  mac: one(10, mac),
  inner: one(11, nested(attributes({ mtu: one(2, u32), names: many(3, text) }))),
});

const decode = (hex: string) => table.fromBytes(parseHex(hex), 'test');

const cases: readonly { readonly name: string; readonly hex: string; readonly value: object }[] = [
  { name: 'nothing', hex: '', value: {} },
  { name: 'a byte, padded', hex: '0500 0100 07 000000', value: { small: 7 } },
  { name: 'a zero, which is a value', hex: '0500 0100 00 000000', value: { small: 0 } },
  { name: 'network order', hex: '0600 0200 12b5 0000', value: { port: 4789 } },
  { name: 'host order', hex: '0800 0300 01020000', value: { index: 513 } },
  { name: '64 bits', hex: '0c00 0400 0000000000000058', value: { id: 88n } },
  { name: 'false is encoded', hex: '0500 0500 00 000000', value: { on: false } },
  { name: 'a flag is there', hex: '0400 0600', value: { set: true } },
  { name: 'text ends with NUL', hex: '0700 0700 6c6f00 00', value: { name: 'lo' } },
  {
    name: 'attributes in attributes',
    hex: '1c00 0b80 0800 0200 14050000 0600 0300 6100 0000 0600 0300 6200 0000',
    value: { inner: { mtu: 1300, names: ['a', 'b'], unknown: [] } },
  },
];

describe('a table', () => {
  for (const { name, hex, value } of cases) {
    test(`reads and writes ${name}`, () => {
      assert.deepEqual(decode(hex), { ...value, unknown: [] });
      assert.equal(formatHex(table.toBytes(value)), formatHex(parseHex(hex)));
    });
  }

  test('reads what others leave away or add', () => {
    assert.deepEqual(decode('0600 0700 6c6f 0000').name, 'lo', 'text without NUL');
    assert.deepEqual(decode('0500 0600 00 000000').set, false, 'a flag with a byte');
    assert.deepEqual(decode('0500 0600 01 000000').set, true);
    assert.deepEqual(decode('0500 0100 07').small, 7, 'no padding at the end');
    assert.deepEqual(decode('0800 0380 01000000').index, 1, 'marked as nested without being it');
    assert.deepEqual(decode('0500 0100 07 000000 0500 0100 08 000000').small, 8, 'the last one counts');
  });

  test('says what is wrong, and where', () => {
    const malformed = (hex: string, message: RegExp) => {
      assert.throws(() => decode(hex), { code: 'MALFORMED', message }, hex);
    };
    malformed('0300 0100', /want a length of 4 to 4 at byte 0, got 3/);
    malformed('0900 0100 07 000000', /want a length of 4 to 8 at byte 0, got 9/);
    malformed('0500 0100 07 000000 0400', /at byte 8/);
    malformed('0600 0100 0700 0000', /want 1 bytes at byte 4, got 2/);
    malformed('0c00 0b80 0900 0200 00000000', /want a length of 4 to 8 at byte 4, got 9/);
  });

  test('keeps what it has no name for, and forms a name does not fit', () => {
    const hex = '0600 e7c3 0102 0000 0500 e703 09 000000 0800 0a00 7f000001';
    const { unknown, ...rest } = decode(hex);
    assert.deepEqual(rest, {});
    assert.deepEqual(
      unknown.map(({ type, payload }) => `${type} ${formatHex(payload)}`),
      ['50151 0102', '999 09', '10 7f000001'],
    );
    assert.equal(formatHex(table.toBytes({ unknown })), formatHex(parseHex(hex)));
  });

  test('refuses to write an attribute whose length does not fit', () => {
    assert.throws(() => table.toBytes({ blob: new Uint8Array(65532) }), RangeError);
    assert.equal(table.toBytes({ blob: new Uint8Array(65531) }).length, 65536);
  });
});

test('what a table writes it reads, and shares no memory with it', () => {
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
  const u32s = fc.integer({ min: 0, max: 0xffff_ffff });
  const names = fc.stringMatching(/^[a-zä-ü0-9.@-]{0,20}$/);
  const values = fc.record({
    small: optional(fc.nat(0xff)),
    port: optional(fc.nat(0xffff)),
    index: optional(u32s),
    id: optional(fc.bigInt(0n, (1n << 64n) - 1n)),
    on: optional(fc.boolean()),
    set: optional(fc.constant(true)),
    name: optional(names),
    blob: optional(fc.uint8Array({ maxLength: 40 })),
    inner: optional(
      fc
        .record({ mtu: u32s, names: fc.array(names, { minLength: 1 }), unknown: fc.constant([]) })
        .map(inner => ({ ...inner })),
    ),
    unknown: fc.array(
      fc
        .record({ type: fc.integer({ min: 100, max: 0xffff }), payload: fc.uint8Array({ maxLength: 20 }) })
        .map(attribute => ({ ...attribute })),
    ),
  });
  fc.assert(
    fc.property(values, value => {
      // Types whose low bits are those of a named attribute have a name.
      const unknown = value.unknown.filter(({ type }) => (type & 0x3fff) > 11);
      const written = table.toBytes({ ...value, unknown });
      const read = table.fromBytes(written, 'test');
      written.fill(0xff);
      const present = Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));
      assert.deepEqual(read, { ...present, unknown });
    }),
  );
});

test('the length of an address decides its family', () => {
  const writer = new Writer();
  table.encode(writer, { address: Ip.parse('fd00::1') });
  const reader = new Reader(writer.finish(), 'test');
  assert.equal(`${table.decode(reader, writer.length).address}`, 'fd00::1');
});
