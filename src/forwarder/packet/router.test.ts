/** What a router does to packets: hops, fragments, errors. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { type IpFields, ipPacket, tcpPacket } from '../../testing/packets.ts';
import { fc } from '../../testing/properties.ts';
import { internetChecksum, sumOf } from './checksum.ts';
import { fragmentPacket } from './fragment.ts';
import { ICMP_ERRORS, type IcmpError, mayAnswer, writeIcmpError } from './icmp.ts';
import { DONT_FRAGMENT, FRAGMENT_OFFSET, IpPacket, MORE_FRAGMENTS } from './packet.ts';

const V4 = { from: '10.1.0.2', to: '10.2.0.3', protocol: 17 };
const V6 = { from: 'fd00::1:2', to: 'fd00::2:3', protocol: 17 };
const data = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 7 + 3) & 255);

const AT = 66;
function packetOf(bytes: Uint8Array): IpPacket {
  const memory = new PacketMemory(300_000);
  memory.bytes.set(bytes, AT);
  const packet = new IpPacket(memory);
  assert.ok(packet.read(AT, bytes.length));
  return packet;
}

describe('a packet', () => {
  test('is read from whatever bytes there are, never beyond them', () => {
    const memory = new PacketMemory(70_000);
    const packet = new IpPacket(memory);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0),
        (bytes, first) => {
          if (first !== 0 && bytes.length > 0) bytes[0] = first;
          memory.bytes.set(bytes);
          if (!packet.read(0, bytes.length)) return;
          assert.ok(packet.length <= bytes.length && packet.headerLength <= packet.length);
          mayAnswer(packet);
        },
      ),
    );
  });

  test('counts a hop and keeps its checksum right', () => {
    for (const ttl of [2, 64, 255]) {
      const packet = packetOf(ipPacket({ ...V4, ttl }, data(9)));
      packet.countHop();
      assert.deepEqual([packet.hopLimit, internetChecksum(sumOf(packet.memory, AT, 20))], [ttl - 1, 0]);
      const six = packetOf(ipPacket({ ...V6, ttl }, data(9)));
      six.countHop();
      assert.equal(six.hopLimit, ttl - 1);
    }
  });
});

describe('fragments', () => {
  /** The pieces of a packet, and the packet that a host makes of them. */
  function cut(fields: Partial<IpFields>, length: number, mtu: number) {
    const packet = packetOf(ipPacket({ ...V4, fragment: 0, ...fields }, data(length)));
    const { memory } = packet;
    const places: [number, number][] = [];
    let next = 100_000;
    const count = fragmentPacket(packet, mtu, {
      place: wanted => {
        places.push([next, wanted]);
        next += wanted;
        return next - wanted;
      },
    });
    assert.equal(count, places.length);
    return places.map(([at, size]) => {
      const piece = new IpPacket(memory);
      assert.ok(piece.read(at, size));
      assert.equal(piece.length, size);
      assert.equal(internetChecksum(sumOf(memory, at, piece.headerLength)), 0);
      const start = at + piece.headerLength;
      return {
        fragment: piece.fragment,
        size,
        options: memory.bytes.slice(at + 20, start),
        data: memory.bytes.slice(start, at + size),
      };
    });
  }

  test('fit, and together are the packet', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 68, max: 1500 }), (length, mtu) => {
        const pieces = cut({}, length, mtu);
        const whole = new Uint8Array(length);
        for (const { fragment, size, data: part } of pieces) {
          assert.ok(size <= mtu);
          whole.set(part, (fragment & FRAGMENT_OFFSET) * 8);
        }
        assert.deepEqual(whole, data(length));
        assert.deepEqual(
          pieces.map(({ fragment }) => (fragment & MORE_FRAGMENTS) !== 0),
          pieces.map((_, index) => index < pieces.length - 1),
        );
      }),
    );
  });

  test('of a fragment are fragments of the same packet', () => {
    const pieces = cut({ fragment: MORE_FRAGMENTS | 100 }, 1000, 576);
    assert.deepEqual(
      pieces.map(({ fragment }) => fragment),
      [MORE_FRAGMENTS | 100, MORE_FRAGMENTS | (100 + 552 / 8)],
    );
  });

  test('keep only the options that every fragment has', () => {
    // Loose source route (copied), record route (not), end.
    const options = Uint8Array.of(131, 3, 4, 7, 7, 4, 0, 0, 0, 0, 0, 0);
    const [first, second] = cut({ options }, 1000, 576);
    assert.deepEqual(first?.options, options);
    assert.deepEqual(second?.options, Uint8Array.of(131, 3, 4, 1, 1, 1, 1, 1, 1, 1, 0, 0));
  });
});

describe('ICMP errors', () => {
  const own = { 4: Ip.parse('10.1.0.0').bytes, 6: Ip.parse('fd00::1:0').bytes } as const;
  for (const error of Object.keys(ICMP_ERRORS) as IcmpError[]) {
    for (const fields of [V4, V6]) {
      test(`${error} to ${fields.from}`, () => {
        const packet = packetOf(ipPacket(fields, data(2000)));
        const { memory, version } = packet;
        const to = 50_002;
        const length = writeIcmpError(packet, error, to, own[version], 1300);
        const answer = new IpPacket(memory);
        assert.ok(answer.read(to, length));
        assert.deepEqual(
          [answer.length, answer.protocol],
          [version === 4 ? 576 : 1280, version === 4 ? 1 : 58],
        );
        const size = version === 4 ? 4 : 16;
        assert.deepEqual(memory.bytes.slice(answer.source, answer.source + size), own[version]);
        assert.deepEqual(
          memory.bytes.slice(answer.destination, answer.destination + size),
          Ip.parse(fields.from).bytes,
        );
        const icmp = to + answer.headerLength;
        assert.deepEqual([memory.bytes[icmp], memory.bytes[icmp + 1]], ICMP_ERRORS[error][version]);
        assert.equal(memory.view.getUint16(icmp + 6), 1300);
        const covered = length - answer.headerLength;
        const pseudo = version === 4 ? 0 : answer.pseudoSum(58, covered);
        assert.equal(internetChecksum(pseudo + sumOf(memory, icmp, covered)), 0);
        assert.deepEqual(memory.bytes.slice(icmp + 8, to + length), memory.bytes.slice(AT, AT + covered - 8));
      });
    }
  }

  test('are for those who can use them', () => {
    const may = (fields: Partial<IpFields>, first = 0) => {
      const bytes = ipPacket({ ...V4, ...fields }, Uint8Array.of(first, 0, 0, 0, 0, 0, 0, 0));
      return mayAnswer(packetOf(bytes));
    };
    assert.ok(may({}) && may({ protocol: 1 }, 8) && may({ ...V6, protocol: 58 }, 128));
    assert.ok(mayAnswer(packetOf(tcpPacket(V4, data(3)))));
    assert.ok(!may({ protocol: 1 }, 3) && !may({ protocol: 1 }, 11), 'no error about an error');
    assert.ok(!may({ ...V6, protocol: 58 }, 1));
    assert.ok(!may({ fragment: 5 }) && may({ fragment: MORE_FRAGMENTS }) && may({ fragment: DONT_FRAGMENT }));
    for (const to of ['224.0.0.1', '255.255.255.255']) assert.ok(!may({ to }), to);
    for (const from of ['0.0.0.0', '127.0.0.1', '224.0.0.1']) assert.ok(!may({ from }), from);
    assert.ok(
      !may({ ...V6, to: 'ff02::1' }) && !may({ ...V6, from: '::' }) && !may({ ...V6, from: 'ff02::1' }),
    );
  });
});
