import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex } from '../base/bytes.ts';
import { fc } from '../testing/properties.ts';
import { MemoryLayout } from './memory-layout.ts';

const PAIR = new MemoryLayout('pair', {
  local: 'be32',
  port: 'be16',
  count: 'u16',
  until: 'u64',
  mac: 6,
  kind: 'u8',
  zero: 1,
  link: 'u32',
});

test('fields are one after the other', () => {
  assert.equal(PAIR.size, 28);
  assert.deepEqual(PAIR.at.mac, { offset: 16, size: 6 });
  assert.deepEqual(PAIR.at.link, { offset: 24, size: 4 });
});

test('bytes are in the order that the type names; what is not given is 0', () => {
  const bytes = PAIR.encode({
    local: 0x0a000001,
    port: 0x1234,
    count: 0x1234,
    mac: new Uint8Array(6).fill(7),
  });
  assert.equal(formatHex(bytes), '0a000001123434120000000000000000070707070707000000000000');
});

test('what is encoded is decoded', () => {
  fc.assert(
    fc.property(
      fc.nat(0xffff_ffff),
      fc.nat(0xffff),
      fc.bigInt(0n, 2n ** 64n - 1n),
      fc.uint8Array({ minLength: 6, maxLength: 6 }),
      (local, port, until, mac) => {
        const values = {
          local,
          port,
          count: port,
          until,
          mac,
          kind: port & 0xff,
          zero: Uint8Array.of(0),
          link: local,
        };
        assert.deepEqual(PAIR.decode(PAIR.encode(values)), values);
        const view = PAIR.view(PAIR.encode(values));
        for (const name of Object.keys(values) as (keyof typeof values)[])
          assert.deepEqual(view[name], values[name]);
      },
    ),
  );
});

test('mistakes are errors that name the field', () => {
  assert.throws(() => new MemoryLayout('odd', { kind: 'u8', count: 'u16' }), /odd\.count: u16 at 1/);
  assert.throws(() => PAIR.encode({ mac: new Uint8Array(5) }), /pair\.mac: want 6 bytes, got 5/);
  assert.throws(() => PAIR.encode({ other: 1 } as object), /pair has no field other/);
  assert.throws(() => PAIR.decode(new Uint8Array(27)), { name: 'CodecError' });
  assert.throws(() => PAIR.view(new Uint8Array(27)), { name: 'CodecError' });
});
