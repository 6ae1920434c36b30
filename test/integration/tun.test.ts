/**
 *     this process                 namespace
 *     10.9.0.2  --- tun0 --- 10.9.0.1/24
 *
 * An echo request goes in at the left, as bytes; the kernel's answer comes out there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, parseHex } from '../../src/base/bytes.ts';
import { Ip } from '../../src/base/ip.ts';
import { connectRoute } from '../../src/netlink/connect-route.ts';
import { Netns } from '../../src/sys/netns.ts';
import { Tun } from '../../src/sys/tun.ts';
import { needsRoot } from './support.ts';

/** IPv4 10.9.0.2 -> 10.9.0.1, ICMP echo request 7/1 with 4 bytes of payload. */
const REQUEST = parseHex('45000020 00000000 4001 66c9 0a090002 0a090001 0800 3716 0007 0001 54756c6c');

test('packets written to a tun device reach the kernel, and its answers come back', needsRoot, async () => {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns });
  using tun = Tun.open('tun%d', netns);
  assert.equal(tun.name, 'tun0');
  await rtnetlink.links.change('tun0', { up: true });
  const link = await rtnetlink.links.get('tun0');
  assert.ok(link?.info?.kind === 'tun');
  assert.deepEqual(
    [link.info.type, link.info.packetInformation, link.info.persist, link.mac],
    ['tun', false, false, undefined],
  );
  await rtnetlink.addresses.replace({ index: link.index, ip: Ip.parse('10.9.0.1'), length: 24 });

  assert.equal(tun.write(REQUEST), true);
  const reply = await nextIpv4(tun);
  assert.equal(formatHex(reply.subarray(12, 20)), '0a0900010a090002', 'addresses are swapped');
  assert.equal(formatHex(reply.subarray(20, 22)), '0000', 'an echo reply');
  assert.equal(formatHex(reply.subarray(24)), formatHex(REQUEST.subarray(24)));

  assert.throws(() => Tun.open('tun0', netns), { code: 'EBUSY', syscall: 'ioctl' });
  tun[Symbol.dispose]();
  assert.equal(await rtnetlink.links.get('tun0'), undefined);
});

test('a name that cannot be is refused before the kernel sees it', () => {
  for (const name of ['', 'a-name-of-16-ch.']) assert.throws(() => Tun.open(name), RangeError);
});

/** The kernel also sends IPv6 router solicitations of its own. */
async function nextIpv4(tun: Tun): Promise<Uint8Array> {
  const buffer = new Uint8Array(2048);
  for (let packets = 0; packets < 20; packets++) {
    const length = tun.read(buffer);
    if (length === undefined) await tun.readable(AbortSignal.timeout(5000));
    else if ((buffer[0] ?? 0) >> 4 === 4) return buffer.slice(0, length);
  }
  return assert.fail('no answer');
}
