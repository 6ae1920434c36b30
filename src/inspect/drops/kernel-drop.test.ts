import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex, written } from '../../base/bytes.ts';
import { layerOf } from '../decode/layers.ts';
import { SNAPSHOT } from './drop-program.ts';
import { DropReasons } from './drop-reasons.ts';
import { decodeDrop, layersOfDrop } from './kernel-drop.ts';

const REASONS = new DropReasons(
  new Map([
    [0, 'SKB_NOT_DROPPED_YET'],
    [1, 'SKB_CONSUMED'],
    [2, 'SKB_DROP_REASON_NOT_SPECIFIED'],
    [3, 'SKB_DROP_REASON_NO_SOCKET'],
    [9, 'SKB_DROP_REASON_TCP_OLD_DATA'],
    [-65_536, 'SKB_DROP_REASON_SUBSYS_MASK'],
  ]),
);

const ECHO = '45000020 37c14000 4001828d bcac0300 bcac0402 0800bd26 1b730001 01020304';
const IN_VXLAN = `45000052 4fc70000 40112748 c0a84103 c0a84104 84a912b5 003e03dc 08000000 00005800
  020000000004 020000000003 0800 ${ECHO}`;

interface Event {
  readonly protocol?: number;
  readonly tail?: number;
  readonly link?: number;
  readonly name?: string;
  readonly packet?: string;
}

/** As the program writes it: the packet is behind its memory's first 80 bytes. */
const eventOf = ({ protocol = 0x0800, tail, link = 4, name = 'eth0', packet = ECHO }: Event) =>
  written(writer => {
    const bytes = parseHex(packet);
    writer.u64(5_000_000_000n).u64(0xffffffff81000000n).u32(3).u32(4_026_531_833).u32(link).u32(32);
    writer
      .u16be(protocol)
      .u16(80)
      .u32(tail ?? 80 + bytes.byteLength);
    writer.bytes(new TextEncoder().encode(name)).zeros(16 - name.length);
    // Behind the packet is other memory of the kernel.
    writer.bytes(bytes).bytes(new Uint8Array(SNAPSHOT - bytes.byteLength).fill(0xaa));
  });

const drop = (event: Event = {}) => decodeDrop(eventOf(event), REASONS, 1_000);

describe('an event of the program', () => {
  test('has reason, place, link, time and the packet without what is behind it', () => {
    assert.deepEqual(drop(), {
      reason: 'NO_SOCKET',
      location: 0xffffffff81000000n,
      netns: 4_026_531_833,
      link: { index: 4, name: 'eth0' },
      protocol: 0x0800,
      packet: parseHex(ECHO),
      length: 32,
      time: 6_000,
    });
  });

  test('may have no link, or only its index', () => {
    assert.equal(drop({ link: 0, name: '' }).link, undefined);
    assert.deepEqual(drop({ name: '' }).link, { index: 4 });
  });

  test('of a packet that ends before its network header has no bytes', () => {
    assert.equal(drop({ tail: 0 }).packet.byteLength, 0);
    assert.equal(drop({ tail: 0xffff_ffff }).packet.byteLength, SNAPSHOT);
  });

  test('of another size is malformed', () => {
    assert.throws(() => decodeDrop(eventOf({}).subarray(1), REASONS, 0), { name: 'CodecError' });
  });
});

describe('the layers of a dropped packet', () => {
  test('are those of the packet in the tunnel too', () => {
    const layers = layersOfDrop(drop({ packet: IN_VXLAN }));
    assert.equal(layerOf(layers, 'vxlan')?.vni, 88);
    assert.equal(layerOf(layers, 'icmp')?.id, 0x1b73);
    // The port of a tunnel is known to who asks.
    assert.equal(layerOf(layersOfDrop(drop({ packet: IN_VXLAN }), { vxlanPorts: [1] }), 'vxlan'), undefined);
  });

  test('of ARP are without Ethernet, whose header is before the network header', () => {
    const request = '0001 0800 0604 0001 020000000003 c0a84103 000000000000 c0a84104';
    const layers = layersOfDrop(drop({ protocol: 0x0806, packet: request }));
    assert.deepEqual(
      layers.map(({ layer }) => layer),
      ['arp'],
    );
    assert.equal(`${layerOf(layers, 'arp')?.target}`, '192.168.65.4');
  });

  test('are none where the protocol is not known', () => {
    assert.deepEqual(layersOfDrop(drop({ protocol: 0 })), []);
  });
});

describe('reasons', () => {
  test('of consumed packets and of healthy connections are hidden', () => {
    assert.deepEqual(REASONS.hidden, [0, 1, 9]);
    assert.equal(REASONS.unnamed, 2);
  });

  test('have names, also where the kernel has none', () => {
    assert.deepEqual(
      [3, 8, 0x2_0005].map(number => REASONS.nameOf(number)),
      ['NO_SOCKET', 'REASON_8', 'SUBSYSTEM_2'],
    );
    assert.equal(REASONS.size, 10);
  });
});
