/** Outbox and inbox on the loopback interface: what is placed arrives, packet by packet. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { formatHex } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { close, getsockname } from '../../sys/libc.ts';
import { EAGAIN } from '../../sys/packet-calls.ts';
import { PacketMemory } from '../../sys/packet-memory.ts';
import { openUdpSocket } from '../../sys/udp-socket.ts';
import { fc } from '../../testing/properties.ts';
import { Counters } from './counters.ts';
import type { Engine } from './engine.ts';
import { INBOX_MEMORY, Inbox } from './inbox.ts';
import { OUTBOX_MEMORY, Outbox } from './outbox.ts';
import { RouteTable } from './route-table.ts';
import { Routes } from './routes.ts';

const PEERS = [1, 2] as const;
/** A header of two bytes, which says the slot, and a trailer of one. */
const marking: Engine = {
  headroom: 2,
  tailroom: 1,
  seal: (memory, slot, at, length) => {
    memory.view.setUint16(at - 2, slot);
    memory.bytes[at + length] = 0xff;
  },
  open: (_, at) => at + 2,
};

/** Milliseconds that a datagram may take over loopback: where much is received ksoftirqd delivers it, when it gets a turn. */
const PATIENCE = 20_000;
const cell = new Int32Array(new SharedArrayBuffer(4));

/** Does it again and again until it is so; nothing else of this process runs meanwhile. */
function repeat(work: () => void, isSo: () => boolean): void {
  const begin = performance.now();
  for (work(); !isSo() && performance.now() - begin < PATIENCE; work()) Atomics.wait(cell, 0, 0, 1);
}

for (const loopback of ['127.0.0.1', '::1']) {
  describe(`over ${loopback}`, () => {
    const ip = Ip.parse(loopback);
    const memory = new PacketMemory(OUTBOX_MEMORY + 2 * INBOX_MEMORY);
    const counters = new Counters(8);
    const sender = openUdpSocket(ip, 0);
    const receivers = PEERS.map(() => openUdpSocket(ip, 0, { gro: true }));
    after(() => [sender, ...receivers].forEach(close));
    const portOf = (fd: number) => new DataView(getsockname(fd, 28).buffer).getUint16(2);
    const table = new RouteTable();
    for (const [index, fd] of receivers.entries())
      table.set({ subnet: Prefix.parse(`10.${index}.0.0/16`), remote: ip, port: portOf(fd) });
    const routes = new Routes(table.data(), 1400);
    const outbox = new Outbox(memory, sender, marking, counters);
    const inboxes = receivers.map(fd => new Inbox(memory, fd));

    /** All datagrams that have come to a peer. */
    function received(inbox: Inbox): string[] {
      const found: string[] = [];
      for (let count = inbox.receive(); count !== -EAGAIN; count = inbox.receive()) {
        assert.ok(count > 0, `errno ${-count}`);
        for (let index = 0; index < count; index++) {
          assert.ok(!inbox.isTruncated(index));
          const [start, size] = [inbox.at(index), inbox.datagramSize(index)];
          const end = start + inbox.length(index);
          for (let at = start; at < end; at += size)
            found.push(formatHex(memory.bytes.subarray(at, Math.min(at + size, end))));
        }
      }
      return found;
    }

    test('packets of any lengths to any peers arrive as datagrams of their own, in order', () => {
      const packet = fc.record({
        slot: fc.constantFrom(...PEERS),
        length: fc.constantFrom(1, 2, 700, 1400, 1400, 1400, 1400, 9000),
      });
      let value = 0;
      fc.assert(
        fc.property(fc.array(packet, { maxLength: 120, size: 'max' }), packets => {
          const sent = PEERS.map(() => [0, 0]);
          const before = PEERS.map(slot => counters.read(slot));
          const expected = PEERS.map((): string[] => []);
          const got = PEERS.map((): string[] => []);
          const take = () =>
            repeat(
              () => inboxes.forEach((inbox, index) => void got[index]?.push(...received(inbox))),
              () => got.every((all, index) => all.length >= (expected[index]?.length ?? 0)),
            );
          for (const { slot, length } of packets) {
            value = (value + 1) & 0xff;
            const bytes = new Uint8Array(length).fill(value);
            outbox.address(slot, routes);
            memory.bytes.set(bytes, outbox.place(length));
            expected[slot - 1]?.push(`000${slot}${formatHex(bytes)}ff`);
            const count = sent[slot - 1] as number[];
            sent[slot - 1] = [(count[0] ?? 0) + 1, (count[1] ?? 0) + length];
            if (!outbox.isFull) continue;
            outbox.flush();
            take();
          }
          outbox.flush();
          take();
          assert.ok(!outbox.isBlocked);
          assert.deepEqual(got, expected);
          for (const [index, slot] of PEERS.entries()) {
            const { sentPackets, sentBytes } = counters.read(slot);
            assert.deepEqual(
              [sentPackets - (before[index]?.sentPackets ?? 0), sentBytes - (before[index]?.sentBytes ?? 0)],
              sent[index],
            );
          }
        }),
        { numRuns: 30 },
      );
    });

    test('what the kernel refuses is counted, and what follows is sent', () => {
      const nowhere = ip.family === 'ipv4' ? '255.255.255.255' : '::ffff:1.2.3.4';
      const other = new RouteTable();
      other.set({ subnet: Prefix.parse('10.0.0.0/16'), remote: Ip.parse(nowhere), port: 9 });
      other.set({ subnet: Prefix.parse('10.1.0.0/16'), remote: ip, port: portOf(receivers[1] as number) });
      const lost = counters.read(1).drops.sendFailed ?? 0;
      for (const slot of [1, 1, 2]) {
        outbox.address(slot, new Routes(other.data(), 1400));
        outbox.place(3);
      }
      outbox.flush();
      assert.equal(counters.read(1).drops.sendFailed, lost + 2);
      const found: string[] = [];
      repeat(
        () => found.push(...received(inboxes[1] as Inbox)),
        () => found.length > 0,
      );
      assert.equal(found.length, 1);
    });
  });
}
