import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex, written } from '../../base/bytes.ts';
import { ParseError } from '../../base/errors.ts';
import { Prefix } from '../../base/prefix.ts';
import { ipPacket, tcpPacket, udpPacket } from '../../testing/packets.ts';
import { fc } from '../../testing/properties.ts';
import { decodeFrame } from '../decode/decode-frame.ts';
import { parseFilter } from './filter.ts';

const ETHERNET = '020000000004 020000000003 0800';
const ethernet = (packet: Uint8Array) => written(writer => writer.bytes(parseHex(ETHERNET)).bytes(packet));
const vxlan = (vni: number, inner: Uint8Array) =>
  ethernet(
    udpPacket(
      { from: '192.0.2.1', to: '192.0.2.2', ports: [40_000, 4789] },
      written(writer =>
        writer
          .u32be(0x0800_0000)
          .u32be(vni << 8)
          .bytes(inner),
      ),
    ),
  );

const ping = ipPacket({ from: '10.5.1.2', to: '10.5.2.2', protocol: 1 }, parseHex('0800000000010002'));
const FRAMES = {
  tunnelled: vxlan(88, ethernet(ping)),
  other: vxlan(
    7,
    ethernet(tcpPacket({ from: '10.5.1.2', to: '10.5.3.2', ports: [5000, 80] }, new Uint8Array())),
  ),
  plain: ethernet(tcpPacket({ from: '192.0.2.2', to: '192.0.2.1', ports: [80, 5001] }, new Uint8Array())),
  arp: parseHex(
    'ffffffffffff 020000000003 0806 0001 0800 06 04 0001 020000000003 c0000201 000000000000 c0000202',
  ),
};
type FrameName = keyof typeof FRAMES;
const ALL: readonly FrameName[] = ['tunnelled', 'other', 'plain', 'arp'];

const addressesOf = (name: string) =>
  name === 'docker2' ? ['192.0.2.2/32', '10.5.2.0/24'].map(Prefix.parse) : undefined;

const passes = (text: string) => {
  const test = parseFilter(text, addressesOf);
  return ALL.filter(name => test(decodeFrame(FRAMES[name])));
};

const CASES: Readonly<Record<string, readonly FrameName[]>> = {
  icmp: ['tunnelled'],
  tcp: ['other', 'plain'],
  'inner tcp': ['other'],
  'outer tcp': ['plain'],
  'outer udp': ['tunnelled', 'other'],
  arp: ['arp'],
  ip: ['tunnelled', 'other', 'plain'],
  ipv6: [],
  'vni 88': ['tunnelled'],
  vxlan: ['tunnelled', 'other'],
  'not vxlan': ['plain', 'arp'],
  'port 80': ['other', 'plain'],
  'inner port 80': ['other'],
  'port 4789': ['tunnelled', 'other'],
  'host 10.5.2.2': ['tunnelled'],
  'host 192.0.2.2': ALL,
  'from 192.0.2.2': ['plain'],
  'to 192.0.2.2': ['tunnelled', 'other', 'arp'],
  'inner from 10.5.1.0/24': ['tunnelled', 'other'],
  'outer from 10.5.1.0/24': [],
  'inner host docker2': ['tunnelled'],
  'mac 02:00:00:00:00:04': ['tunnelled', 'other', 'plain'],
  'icmp or arp': ['tunnelled', 'arp'],
  // "and" binds closer than "or", and "not" closer than both.
  'arp or tcp and vni 7': ['other', 'arp'],
  '(arp or tcp) and vni 7': ['other'],
  'not arp and not vxlan': ['plain'],
  'not (arp or vxlan)': ['plain'],
};

for (const [text, wanted] of Object.entries(CASES))
  test(`${text}: ${wanted.join(', ') || 'none'}`, () => assert.deepEqual(passes(text), wanted));

describe('what is no filter is refused with the reason', () => {
  const REFUSED: Readonly<Record<string, RegExp>> = {
    '': /empty/,
    pings: /"pings" is no test/,
    'vni 16777216': /from 0 to 16777215/,
    'port 0': /from 1 to 65535/,
    'port http': /not "http"/,
    'host 10.5.1': /"10.5.1" is no address, and no host/,
    'host 10.5.1.0/33': /10\.5\.1\.0\/33/,
    'host docker9': /"docker9" is no address/,
    'mac 02:00': /MAC address/,
    'inner not arp': /"not" is no test/,
    'arp tcp': /want "and" or "or" before "tcp"/,
    '(arp': /a \) is missing at its end/,
    'arp)': /before "\)"/,
    'arp and': /a test is missing at its end/,
    host: /an address is missing at its end/,
    [`${'not '.repeat(5000)}arp`]: /more than 200 words/,
  };
  for (const [text, reason] of Object.entries(REFUSED)) {
    test(text.slice(0, 40), () => {
      assert.throws(
        () => passes(text),
        (error: unknown) => error instanceof ParseError && reason.test(error.message),
      );
    });
  }
});

test('any text is a filter or refused', () => {
  const words = fc.constantFrom(
    'not',
    'and',
    'or',
    '(',
    ')',
    'inner',
    'outer',
    'host',
    '10.0.0.1',
    'port',
    '80',
    'arp',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words, { maxLength: 12 }).map(list => list.join(' ')),
      ),
      text => {
        try {
          passes(text);
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
        }
      },
    ),
  );
});
