import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseHex } from '../../src/base/bytes.ts';
import { CodecError } from '../../src/base/errors.ts';
import { decodeFrame, formatLayer } from './packet.ts';

/** Captured with tcpdump 4.99 on the uplink of a host, Linux 6.18: a ping from one host to a container of another. */
const VXLAN_ECHO = parseHex(`
  a2cf5607019c 7a287947af10 0800
  45000086 4fc70000 40112748 c0a84103 c0a84104
  84a912b5 007203dc
  08000000 00005800
  020000000004 020000000003 0800
  45000054 37c14000 4001828d bcac0300 bcac0402
  0800bd26 1b730001
  fad1006b0000000059550c0000000000 101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637`);

const ARP_REQUEST = parseHex(`
  ffffffffffff 7a287947af10 0806
  0001 0800 06 04 0001 7a287947af10 c0a84103 000000000000 c0a84104`);

const MLD_REPORT = parseHex(`
  333300000016 a2cf5607019c 86dd
  60000000 0024 00 01 00000000000000000000000000000000 ff020000000000000000000000000016
  3a000502000001008f006de70000000104000000ff0200000000000000000001ff07019c`);

const words = (bytes: Uint8Array) => decodeFrame(bytes).map(formatLayer);

describe('decodeFrame', () => {
  test('peels a ping in VXLAN down to the echo request', () => {
    assert.deepEqual(words(VXLAN_ECHO), [
      'Ethernet 7a:28:79:47:af:10 > a2:cf:56:07:01:9c type 0x0800',
      'IP 192.168.65.3 > 192.168.65.4 ttl 64',
      'UDP 33961 > 4789',
      'VXLAN vni 88',
      'Ethernet 02:00:00:00:00:03 > 02:00:00:00:00:04 type 0x0800',
      'IP 188.172.3.0 > 188.172.4.2 ttl 64',
      'ICMP type 8 code 0',
      '60 bytes',
    ]);
  });

  test('takes another port for VXLAN only when it is given', () => {
    const moved = VXLAN_ECHO.slice();
    moved.set([0x30, 0x39], 36);
    assert.deepEqual(words(moved).at(-1), '106 bytes');
    assert.equal(decodeFrame(moved, { vxlanPorts: [12345] }).length, 8);
  });

  test('reads ARP and IPv6', () => {
    assert.deepEqual(words(ARP_REQUEST).slice(1), ['ARP who has 192.168.65.4, tell 192.168.65.3']);
    assert.deepEqual(words(MLD_REPORT).slice(1), ['IP :: > ff02::16 ttl 1', '36 bytes']);
  });

  test('does not take the padding of a short frame for content', () => {
    const header = parseHex('45000014 00000000 40060000 c0a84103 c0a84104');
    const frame = new Uint8Array([...ARP_REQUEST.slice(0, 12), 0x08, 0x00, ...header, ...new Uint8Array(26)]);
    assert.deepEqual(words(frame).slice(1), ['IP 192.168.65.3 > 192.168.65.4 ttl 64']);
  });

  test('sees no header in a later fragment', () => {
    const fragment = VXLAN_ECHO.slice(0, 60);
    fragment.set([0x00, 0x10], 20);
    assert.deepEqual(words(fragment).slice(2), ['26 bytes']);
  });

  test('a frame cut anywhere, and any bytes at all, are decoded or refused as malformed', () => {
    for (let length = 0; length < VXLAN_ECHO.length; length++) decodeOrRefuse(VXLAN_ECHO.subarray(0, length));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(VXLAN_ECHO.length - 1), (bytes, at) => {
        decodeOrRefuse(bytes);
        const damaged = VXLAN_ECHO.slice();
        damaged.set(bytes.subarray(0, damaged.length - at), at);
        decodeOrRefuse(damaged);
      }),
    );
  });
});

function decodeOrRefuse(bytes: Uint8Array): void {
  try {
    decodeFrame(bytes).forEach(formatLayer);
  } catch (error) {
    assert.ok(error instanceof CodecError, String(error));
  }
}
