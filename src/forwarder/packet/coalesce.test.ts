import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatHex } from '../../base/bytes.ts';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { ipPacket, type TcpFields, tcpPacket, udpPacket } from '../../testing/packets.ts';
import { fc } from '../../testing/properties.ts';
import { Coalescer, type PacketSink } from './coalesce.ts';
import { IpPacket } from './packet.ts';
import { completeChecksum, segmentTcp } from './segment.ts';

/** Puts packets through a coalescer and its result through the segmenter; what comes out, and how many came between. */
function roundTrip(packets: readonly Uint8Array[]): { bytes: Uint8Array[]; writes: number } {
  const memory = new PacketMemory(2 << 20);
  const input = memory.reserve(70_000);
  const output = memory.reserve(70_000);
  const [packet, whole] = [new IpPacket(memory), new IpPacket(memory)];
  const bytes: Uint8Array[] = [];
  let writes = 0;
  const sink: PacketSink = {
    write: (at, length) => {
      writes++;
      bytes.push(memory.bytes.slice(at, at + length));
    },
    writeSegments: (at, length, version, tcp, headers, size) => {
      writes++;
      assert.ok(whole.read(at, length));
      assert.deepEqual([whole.length, whole.version], [length, version]);
      const places: [number, number][] = [];
      let next = output;
      const count = segmentTcp(whole, tcp, size, {
        place: wanted => {
          places.push([next, wanted]);
          next += wanted;
          return next - wanted;
        },
      });
      assert.equal(count, Math.ceil((length - headers) / size));
      for (const [start, wanted] of places) bytes.push(memory.bytes.slice(start, start + wanted));
    },
  };
  const coalescer = new Coalescer(memory, sink);
  for (const given of packets) {
    memory.bytes.set(given, input + 13);
    assert.ok(packet.read(input + 13, given.length));
    coalescer.add(packet);
    memory.bytes.fill(0xee, input, input + 2000);
  }
  coalescer.flush();
  return { bytes, writes };
}

const hex = (packets: readonly Uint8Array[]) => packets.map(bytes => formatHex(bytes));

const V4 = { from: '10.1.0.2', to: '10.2.0.3' };
const V6 = { from: 'fd00::1:2', to: 'fd00::2:3' };
const data = (length: number, seed = 7) =>
  Uint8Array.from({ length }, (_, index) => (index * seed + 3) & 255);

/** Segments that follow one another. */
function stream(
  fields: TcpFields,
  lengths: readonly number[],
  change: (index: number) => Partial<TcpFields> = () => ({}),
) {
  let sequence = fields.sequence ?? 1000;
  return lengths.map((length, index) => {
    const made = tcpPacket(
      { ...fields, sequence, id: ((fields.id ?? 0xfffe) + index) & 0xffff, ...change(index) },
      data(length, index + 1),
    );
    sequence += length;
    return made;
  });
}

describe('segments are put together and taken apart again', () => {
  for (const addresses of [V4, V6]) {
    test(`a stream over ${addresses.from}`, () => {
      const packets = stream(
        { ...addresses, sequence: 0xffff_fc00, tcpOptions: data(12) },
        [1001, 1001, 1001, 500],
      );
      const { bytes, writes } = roundTrip(packets);
      assert.deepEqual(hex(bytes), hex(packets));
      assert.equal(writes, 1);
    });
  }

  test('up to the largest packet there is', () => {
    const { bytes, writes } = roundTrip(
      stream(
        V4,
        Array.from({ length: 100 }, () => 1400),
      ),
    );
    assert.equal(bytes.length, 100);
    assert.equal(writes, Math.ceil(100 / Math.floor((65_535 - 40) / 1400)));
  });

  const separate: readonly [string, (index: number) => Partial<TcpFields>][] = [
    ['another window', index => ({ window: 512 + index })],
    ['another acknowledgement', index => ({ acknowledgement: 1 + index })],
    ['other options', index => ({ tcpOptions: data(12, index + 1) })],
    ['another TTL', index => ({ ttl: 64 - index })],
    ['another class of service', index => ({ tos: index * 4 })],
    ['a gap', index => ({ sequence: 1000 + index * 101 })],
    ['an id out of order', index => ({ id: 9 - index })],
    ['other flags', index => ({ flags: index === 0 ? 0x10 : 0x50 })],
    ['another flow', index => ({ ports: [40_000 + index, 80] })],
    ['an end', () => ({ flags: 0x11 })],
    ['a push before', () => ({ flags: 0x18 })],
    ['options of IPv4', () => ({ options: data(4) })],
    ['a fragment', () => ({ fragment: 0x2000 })],
  ];
  for (const [what, change] of separate) {
    test(`but not with ${what}`, () => {
      const packets = stream(V4, [100, 100], change);
      const { bytes, writes } = roundTrip(packets);
      assert.equal(writes, 2);
      assert.deepEqual(hex(bytes).sort(), hex(packets).sort());
    });
  }

  test('but not with a wrong checksum, which stays wrong', () => {
    for (const wrong of [10, 36, 60]) {
      const packets = stream(V4, [100, 100]);
      const second = packets[1] as Uint8Array;
      second[wrong] = (second[wrong] ?? 0) ^ 0x40;
      const { bytes, writes } = roundTrip(packets);
      assert.equal(writes, 2);
      assert.deepEqual(hex(bytes), hex(packets));
    }
  });

  test('a push ends a packet', () => {
    const packets = stream(V4, [100, 100, 100], index => ({ flags: index === 1 ? 0x18 : 0x10 }));
    const { bytes, writes } = roundTrip(packets);
    assert.deepEqual([hex(bytes), writes], [hex(packets), 2]);
  });

  test('whatever comes, every packet comes out as it was, in the order of its flow', () => {
    const packet = fc.record({
      flow: fc.nat(2),
      v6: fc.boolean(),
      length: fc.constantFrom(0, 1, 99, 100, 100, 100),
      odd: fc.constantFrom(
        ...Array.from({ length: 12 }, () => 'none'),
        'flags',
        'window',
        'gap',
        'broken',
        'udp',
        'tos',
      ),
      flags: fc.constantFrom(0x10, 0x10, 0x10, 0x18, 0x11, 0x12),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 40 }), plan => {
        const next = new Map<string, { sequence: number; id: number }>();
        const packets = plan.map(({ flow, v6, length, odd, flags }) => {
          const key = `${flow} ${v6}`;
          const state = next.get(key) ?? { sequence: 0xffff_ff00, id: 0xfff0 };
          const fields = {
            ...(v6 ? V6 : V4),
            ports: [1000 + flow, 80] as const,
            sequence: state.sequence + (odd === 'gap' ? 7 : 0),
            id: state.id,
            flags: odd === 'flags' ? 0x10 : flags,
            window: odd === 'window' ? 1 : 512,
            tos: odd === 'tos' ? 4 : 0,
          };
          next.set(key, { sequence: state.sequence + length, id: (state.id + 1) & 0xffff });
          const made = odd === 'udp' ? udpPacket(fields, data(length)) : tcpPacket(fields, data(length));
          if (odd === 'broken') made[made.length - 1] = (made.at(-1) ?? 0) ^ 1;
          return made;
        });
        const { bytes } = roundTrip(packets);
        const flowsOf = (all: readonly Uint8Array[]) =>
          Object.entries(
            Object.groupBy(hex(all), text =>
              text.startsWith('4')
                ? `4${text.slice(18, 20)}${text.slice(40, 44)}`
                : `6${text.slice(12, 14)}${text.slice(80, 84)}`,
            ),
          ).sort(([one], [other]) => one.localeCompare(other));
        assert.deepEqual(flowsOf(bytes), flowsOf(packets));
      }),
      { numRuns: 300 },
    );
  });
});

test('segmenting refuses headers that do not fit', () => {
  const memory = new PacketMemory(4096);
  const packet = new IpPacket(memory);
  const bytes = ipPacket({ ...V4, protocol: 6 }, data(19));
  memory.bytes.set(bytes, 64);
  assert.ok(packet.read(64, bytes.length));
  const sink = { place: () => assert.fail('nothing to write') };
  assert.equal(segmentTcp(packet, 20, 100, sink), 0);
  assert.equal(segmentTcp(packet, 4000, 100, sink), 0);
  assert.equal(segmentTcp(packet, 20, 0, sink), 0);
});

test('a checksum that the kernel has begun is completed', () => {
  const memory = new PacketMemory(4096);
  const packet = new IpPacket(memory);
  for (const addresses of [V4, V6]) {
    const whole = udpPacket(addresses, data(33));
    memory.bytes.set(whole, 2);
    assert.ok(packet.read(2, whole.length));
    const start = packet.headerLength;
    const partial = packet.pseudoSum(17, whole.length - start);
    memory.view.setUint16(2 + start + 6, partial % 0xffff);
    assert.ok(completeChecksum(packet, start, 6));
    assert.equal(formatHex(memory.bytes.slice(2, 2 + whole.length)), formatHex(whole));
    assert.equal(completeChecksum(packet, whole.length - 1, 0), false);
  }
});
