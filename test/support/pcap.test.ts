import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseHex } from '../../src/base/bytes.ts';
import { CodecError } from '../../src/base/errors.ts';
import { decodePcap } from './pcap.ts';

/** As tcpdump 4.99 writes it on x86. */
const HEADER = parseHex('d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000');
const PACKET = parseHex('80000000 20a10700 03000000 05000000 aabbcc');

const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap(part => [...part]));

describe('decodePcap', () => {
  test('reads packets, whole or cut short', () => {
    const [frame, ...more] = decodePcap(join(HEADER, PACKET));
    assert.deepEqual(more, []);
    assert.deepEqual(frame, { time: 128.5, length: 5, bytes: parseHex('aabbcc') });
  });

  test('reads the other byte order and nanoseconds', () => {
    const header = parseHex('a1b23c4d 0002 0004 00000000 00000000 00040000 00000001');
    const packet = parseHex('00000080 1dcd6500 00000001 00000001 ff');
    assert.deepEqual(decodePcap(join(header, packet)), [{ time: 128.5, length: 1, bytes: parseHex('ff') }]);
  });

  test('leaves out a packet that is still being written', () => {
    assert.equal(decodePcap(join(HEADER, PACKET, PACKET.slice(0, 17))).length, 1);
    assert.equal(decodePcap(HEADER).length, 0);
  });

  test('refuses what is no capture of Ethernet frames', () => {
    const raw = HEADER.slice();
    raw[20] = 101;
    for (const file of [new Uint8Array(), parseHex('00'.repeat(24)), raw]) {
      assert.throws(() => decodePcap(file), CodecError);
    }
  });

  test('any bytes after the header are packets or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        try {
          for (const frame of decodePcap(join(HEADER, bytes))) assert.ok(frame.bytes.length <= bytes.length);
        } catch (error) {
          assert.ok(error instanceof CodecError, String(error));
        }
      }),
    );
  });
});
