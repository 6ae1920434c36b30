import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, written } from '../../base/bytes.ts';
import { ADDRESS_BITS, Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { fc } from '../../testing/properties.ts';
import { elementsOf } from './elements.ts';

const ipv4 = fc.nat(0xffffffff).map(key => Ip.fromKey(key));
const ipv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(key => Ip.fromKey(key));
const address = fc.oneof(ipv4, ipv6);
const block = fc
  .tuple(address, fc.nat(128))
  .map(([ip, length]) => Prefix.of(ip, Math.min(length, ADDRESS_BITS[ip.family])));

/** What the kernel compares of a packet: the outer source, and the beginning of the inner one. */
const keyOf = (outer: Ip, inner: Ip, bits: number) =>
  formatHex(
    written(writer =>
      writer
        .bytes(outer.bytes)
        .bytes(inner.bytes.subarray(0, bits / 8))
        .align(4),
    ),
  );

test('a source is accepted from an address exactly if it is in a block of that host', () => {
  fc.assert(
    fc.property(address, address, block, address, fc.nat(), (one, other, owned, outside, host) => {
      const elements = elementsOf({ addresses: [one], blocks: [owned] });
      const accepts = (outer: Ip, inner: Ip) =>
        elements.some(
          ({ blocks, key }) =>
            blocks !== undefined &&
            blocks.outer === outer.family &&
            blocks.inner === inner.family &&
            formatHex(key) === keyOf(outer, inner, blocks.bits),
        );
      const inside = owned.ip.plus(BigInt(host) % owned.size);
      assert.ok(accepts(one, inside));
      assert.equal(accepts(one, outside), owned.contains(outside));
      if (!other.equals(one)) assert.ok(!accepts(other, inside));
      assert.ok(elements.length <= 1 + 256, `${elements.length} elements`);
    }),
  );
});

test('elements are written as nft reads them', () => {
  const addresses = [Ip.parse('192.168.65.4'), Ip.parse('fd00:65::4')];
  const blocks = [Prefix.parse('10.77.2.0/24'), Prefix.parse('fd00:77:0:2::/64')];
  assert.deepEqual(
    elementsOf({ addresses, blocks }).map(({ set, text }) => `${set} ${text}`),
    [
      'senders-ip 192.168.65.4',
      'blocks-ip-ip-24 192.168.65.4 . 0x0a4d02',
      'blocks-ip-ip6-64 192.168.65.4 . 0xfd00007700000002',
      'senders-ip6 fd00:65::4',
      'blocks-ip6-ip-24 fd00:65::4 . 0x0a4d02',
      'blocks-ip6-ip6-64 fd00:65::4 . 0xfd00007700000002',
    ],
  );
});
