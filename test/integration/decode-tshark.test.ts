/** Our decoder and Wireshark's, on frames that no scenario has: what other hosts and routers may send. */
import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseHex } from '../../src/base/bytes.ts';
import type { LinkType } from '../../src/inspect/decode/decode-frame.ts';
import { CaptureFile } from '../../src/inspect/pcapng/capture-file.ts';
import { ipPacket, tcpPacket, udpPacket } from '../../src/testing/packets.ts';
import { agreementOn, agreementText } from '../support/agreement.ts';
import { needsTshark } from '../support/tshark.ts';

const MACS = 'a2cf5607019c 7a287947af10';
const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const V6 = { from: 'fd00::1', to: 'fd00::2' };
const INNER = { from: '10.5.1.2', to: '10.5.2.2' };
const INNER_V6 = { from: 'fd05::1', to: 'fd05::2' };
const NONE = new Uint8Array();
const V4_HEADER = 20;
const V6_HEADER = 40;

const joined = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const ethernet = (type: string, ...data: Uint8Array[]) => joined(parseHex(`${MACS}${type}`), ...data);
const ofV4 = (packet: Uint8Array) => ethernet('0800', packet);
const ofV6 = (packet: Uint8Array) => ethernet('86dd', packet);

const ARP = parseHex('0001 0800 06 04 0001 7a287947af10 c0000201 000000000000 c0000202');
const ECHO = ipPacket({ ...INNER, protocol: 1 }, parseHex('0800 1234 0007 0001 61626364'));
const ECHO_V6 = ipPacket({ ...INNER_V6, protocol: 58 }, parseHex('8000 1234 0007 0001 61626364'));
const UDP = udpPacket(INNER, parseHex('0102030405'));
const TCP = tcpPacket({ ...INNER, sequence: 7 }, parseHex('68656c6c6f'));
const TCP_V6 = tcpPacket({ ...INNER_V6, sequence: 7 }, parseHex('68656c6c6f'));

const icmp = (hex: string, quoted: Uint8Array = NONE) =>
  ofV4(ipPacket({ ...V4, protocol: 1 }, joined(parseHex(hex), quoted)));
const icmpv6 = (hex: string, quoted: Uint8Array = NONE) =>
  ofV6(ipPacket({ ...V6, protocol: 58, ttl: 255 }, joined(parseHex(hex), quoted)));
const udpV4 = (port: number, data: Uint8Array) => ofV4(udpPacket({ ...V4, ports: [40_000, port] }, data));
const udpV6 = (port: number, data: Uint8Array) => ofV6(udpPacket({ ...V6, ports: [40_000, port] }, data));
const extensions = (first: number, hex: string, data: Uint8Array) =>
  ofV6(ipPacket({ ...V6, protocol: first }, joined(parseHex(hex), data)));

/** The ninth flag, AE, is in the byte before the others. */
const withAe = (packet: Uint8Array) => Uint8Array.from(packet).fill(0x51, V4_HEADER + 12, V4_HEADER + 13);

const TARGET = 'fd000000000000000000000000000003';
const OWN_MAC = '0101 7a287947af10';
const VXLAN = '08000000 ffffff00';
/** Bytes of a quoted segment that every ICMP error has. */
const LEAST_QUOTED = V4_HEADER + 8;

const FRAMES: Readonly<Record<string, Uint8Array>> = {
  'a tag': ethernet('8100 6064 0806', ARP),
  'two tags': ethernet('8100 e0c8 8100 0fff 0800', UDP),
  'a tag of a service, and one in it': ethernet('88a8 e0c8 8100 2fff 0800', UDP),
  'a frame with a length': ethernet('0007 4242 03 00000000'),
  'padded ARP': ethernet('0806', ARP, new Uint8Array(18)),
  'padded TCP': ofV4(joined(tcpPacket(V4, NONE), new Uint8Array(6))),
  'padded UDP': ofV4(joined(udpPacket(V4, parseHex('01')), new Uint8Array(17))),
  'an unknown type': ethernet('88b5', parseHex('010203')),
  'options of IPv4': ofV4(tcpPacket({ ...V4, options: parseHex('94040000'), tos: 0xb8 }, NONE)),
  'a first fragment': ofV4(
    ipPacket({ ...V4, protocol: 17, id: 9, fragment: 0x2000 }, parseHex('9c40 1f90 0200 0000 aabb')),
  ),
  'a last fragment': ofV4(ipPacket({ ...V4, protocol: 17, id: 9, fragment: 185 }, parseHex('aabbcc'))),
  'class and flow of IPv6': ofV6(
    tcpPacket({ ...V6, tos: 0xb8 }, NONE)
      .with(1, 0x8a)
      .with(2, 0xbc)
      .with(3, 0xde),
  ),
  'a reset': ofV4(tcpPacket({ ...V4, flags: 0x04 }, NONE)),
  'every flag of TCP': ofV4(withAe(tcpPacket({ ...V4, flags: 0xff }, NONE))),
  'options of TCP': ofV6(
    tcpPacket(
      { ...V6, flags: 0x02, tcpOptions: parseHex('0402 080a 00000001 00000000 01 030307 0204 05a0 0101') },
      NONE,
    ),
  ),
  'three extension headers': extensions(
    0,
    '2b00 0502 00000000 3c00 fd00 00000000 1100 0104 00000000',
    UDP.subarray(V4_HEADER),
  ),
  'a first fragment of IPv6': extensions(44, '1100 0001 0000002a', parseHex('9c40 1f90 0200 0000 aabb')),
  'a later fragment of IPv6': extensions(44, '1100 05a9 0000002a', parseHex('aabbcc')),
  'an authentication header': extensions(
    51,
    '3a04 0000 00000001 00000002 000000000000000000000000',
    ECHO_V6.subarray(V6_HEADER),
  ),
  'no next header': ofV6(ipPacket({ ...V6, protocol: 59 }, NONE)),
  'a redirect': icmp('0501 0000 c0000209', UDP),
  'time exceeded, with the least of TCP': icmp('0b00 0000 00000000', TCP.subarray(0, LEAST_QUOTED)),
  'fragmentation needed, with a whole segment': icmp('0304 0000 0000 0578', TCP),
  'an error about an error': icmp('0301 0000 00000000', ECHO),
  'too big': icmpv6('0200 0000 00000500', TCP_V6),
  'no route': icmpv6('0100 0000 00000000', ECHO_V6),
  'a router solicitation': icmpv6(`8500 0000 00000000 ${OWN_MAC}`),
  'a router advertisement': icmpv6(`8600 0000 40000708 00000000 00000000 0501 0000 000005dc ${OWN_MAC}`),
  'a neighbor solicitation': icmpv6(`8700 0000 00000000 ${TARGET} ${OWN_MAC}`),
  'whether an address is taken': icmpv6(`8700 0000 00000000 ${TARGET} 0e01 010203040506`),
  'a neighbor advertisement': icmpv6(`8800 0000 60000000 ${TARGET} 0201 7a287947af10`),
  'a redirect of IPv6': icmpv6(`8900 0000 00000000 ${TARGET} ${TARGET} 0201 7a287947af10`),
  'IPv4 in IPv4': ofV4(ipPacket({ ...V4, protocol: 4 }, TCP)),
  'IPv6 in IPv4': ofV4(ipPacket({ ...V4, protocol: 41 }, TCP_V6)),
  'IPv4 in IPv6': ofV6(ipPacket({ ...V6, protocol: 4 }, UDP)),
  'IPv6 in IPv6': ofV6(ipPacket({ ...V6, protocol: 41 }, ECHO_V6)),
  'the largest VNI': udpV4(4789, joined(parseHex(VXLAN), ofV4(ECHO))),
  'VXLAN over IPv6, at the port of Linux': udpV6(8472, joined(parseHex(VXLAN), ofV6(TCP_V6))),
  'a tag in VXLAN': udpV4(4789, joined(parseHex(VXLAN), ethernet('8100 0007 0806', ARP))),
  'VXLAN in VXLAN': udpV4(
    4789,
    joined(parseHex(VXLAN), udpV4(4789, joined(parseHex('08000000 00000100'), ofV4(ECHO)))),
  ),
  'an error about VXLAN': icmp(
    '0304 0000 0000 0578',
    udpPacket({ ...V4, ports: [40_000, 4789] }, joined(parseHex(VXLAN), ofV4(ECHO))),
  ),
  'a packet of IPv6 in flannel-udp': udpV4(8285, TCP_V6),
  'a fragment in flannel-udp': udpV4(
    8285,
    ipPacket({ ...INNER, protocol: 17, id: 9, fragment: 185 }, parseHex('aabbcc')),
  ),
};

/** Whose ends were cut off: bytes on the wire, bytes in the file. */
const CUT: Readonly<Record<string, readonly [Uint8Array, number]>> = {
  'cut off in the data of TCP': [ofV4(tcpPacket(V4, new Uint8Array(100))), 70],
  'cut off in the data of an echo in VXLAN': [udpV4(4789, joined(parseHex(VXLAN), ofV4(ECHO))), 94],
};

/** As a TUN device has them. */
const PACKETS: Readonly<Record<string, Uint8Array>> = {
  'a packet of IPv4': TCP,
  'a packet of IPv6': ECHO_V6,
};

test('our decoder agrees with tshark on frames that are rare', needsTshark, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-tshark-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'rare.pcapng');
  const kinds: readonly [LinkType, Readonly<Record<string, Uint8Array>>][] = [
    ['ethernet', FRAMES],
    ['ip', PACKETS],
  ];
  {
    const interfaces = kinds.map(([linkType]) => ({ name: linkType, linkType, snapshot: 65_536 }));
    using file = CaptureFile.create(path, interfaces);
    for (const [number, [, frames]] of kinds.entries())
      for (const [comment, bytes] of Object.entries(frames))
        file.add({ interface: number, time: 1n, bytes, length: bytes.byteLength, direction: 'in', comment });
    for (const [comment, [whole, length]] of Object.entries(CUT)) {
      const bytes = whole.slice(0, length);
      file.add({ interface: 0, time: 1n, bytes, length: whole.byteLength, direction: 'in', comment });
    }
    file.flush();
  }
  t.diagnostic(agreementText(await agreementOn(path)));
});
