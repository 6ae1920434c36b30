/** What reaches a forwarder: packets in datagrams of anybody, and packets of the kernel. */
import assert from 'node:assert/strict';
import { Coalescer, type PacketSink } from '../../src/forwarder/packet/coalesce.ts';
import { fragmentPacket } from '../../src/forwarder/packet/fragment.ts';
import { mayAnswer, writeIcmpError } from '../../src/forwarder/packet/icmp.ts';
import { IpPacket } from '../../src/forwarder/packet/packet.ts';
import { segmentTcp } from '../../src/forwarder/packet/segment.ts';
import { PacketMemory } from '../../src/sys/packet-memory.ts';
import { ipPacket, tcpPacket, udpPacket } from '../../src/testing/packets.ts';
import type { FuzzTarget } from './fuzz.ts';

const V4 = { from: '10.1.0.2', to: '10.2.0.3' };
const V6 = { from: 'fd00::1:2', to: 'fd00::2:3' };
const data = new Uint8Array(100).fill(7);

const packets = [
  ...[V4, V6].flatMap(of => [tcpPacket(of, data), udpPacket(of, data)]),
  ipPacket({ ...V4, protocol: 1, options: Uint8Array.of(131, 3, 4, 0), fragment: 0 }, data),
];

const memory = new PacketMemory(4 << 20);
const input = memory.reserve(70_000);
const output = memory.reserve(1 << 20);
const packet = new IpPacket(memory);
const end = output + (1 << 20);

/** Writes what comes next to one another, and never beyond its room. */
function placing() {
  let next = output;
  return {
    place(length: number): number {
      assert.ok(length > 0 && next + length <= end, `${length} bytes`);
      next += length;
      return next - length;
    },
  };
}

let delivered = 0;
const sink: PacketSink = {
  write: (_, length) => (delivered += length),
  writeSegments: (_, length) => (delivered += length),
};
const coalescer = new Coalescer(memory, sink);

function read(bytes: Uint8Array): boolean {
  memory.bytes.set(bytes, input);
  return packet.read(input, bytes.length);
}

const own = { 4: new Uint8Array(4), 6: new Uint8Array(16) };

export const forwarderTargets: readonly FuzzTarget[] = [
  {
    name: 'packets from peers',
    seeds: packets,
    accepts(bytes) {
      if (!read(bytes)) return false;
      delivered = 0;
      const { length } = packet;
      coalescer.add(packet);
      coalescer.flush();
      assert.equal(delivered, length);
      return true;
    },
  },
  {
    name: 'packets from the kernel',
    seeds: packets,
    accepts(bytes) {
      if (!read(bytes)) return false;
      const size = 1 + (bytes[0] ?? 0);
      segmentTcp(packet, packet.headerLength, size, placing());
      if (packet.version === 4 && packet.length > packet.headerLength) fragmentPacket(packet, 576, placing());
      if (mayAnswer(packet)) writeIcmpError(packet, 'tooBig', output, own[packet.version], 576);
      return true;
    },
  },
];
