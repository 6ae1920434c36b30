/**
 * The four programs of the fast path, packet by packet: what a fast packet looks like, byte for byte, and every packet that
 * takes the normal path, with its reason.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { formatHex } from '../../src/base/bytes.ts';
import type { TestPacket } from '../../src/bpf/test-run.ts';
import { IPV4, PLAIN } from '../../src/fastpath/programs/headers.ts';
import { FLOW_LAYOUT, type Reason } from '../../src/fastpath/programs/layout.ts';
import { needsBpf } from '../support/bpftool.ts';
import {
  containerFrame,
  FastRig,
  frame,
  HOST_END,
  innerPacket,
  MACS,
  type OuterFields,
  type PacketFields,
  tunnelFrame,
  UPLINK,
} from '../support/fast-rig.ts';

const NEXT = -1;
const REDIRECT = 7;
const UDP = 17;
const [FIN, SYN, RST, URG_PSH] = [0x11, 0x02, 0x04, 0x28];
type Changes = Partial<ReturnType<typeof FLOW_LAYOUT.decode>>;

/** Identification and checksum of the outer header, in which a fast packet may differ from one of the kernel. */
const withoutOuterId = (bytes: Uint8Array) => formatHex(bytes.slice().fill(0, 18, 20).fill(0, 24, 26));

/** Of the IP header there. */
function checksumIsRight(bytes: Uint8Array, at: number): boolean {
  const header = new DataView(bytes.buffer, bytes.byteOffset + at, 20);
  let sum = 0;
  for (let word = 0; word < 20; word += 2) sum += header.getUint16(word);
  return ((sum & 0xffff) + (sum >>> 16)) % 0xffff === 0;
}

describe('the fast path, packet by packet', needsBpf, () => {
  let rig: FastRig;
  before(async () => {
    rig = await FastRig.open();
  });
  after(() => rig[Symbol.dispose]());
  beforeEach(() => rig.clear());

  for (const protocol of [6, UDP]) {
    const name = protocol === UDP ? 'UDP' : 'TCP';

    test(`${name} out: a fast packet is the kernel's, byte for byte`, () => {
      rig.prove({ protocol });
      for (const tos of [0, 1, 2]) {
        const { verdict, bytes } = rig.run('transmit', containerFrame('out', { protocol, tos }));
        assert.equal(verdict, REDIRECT);
        assert.equal(withoutOuterId(bytes), withoutOuterId(tunnelFrame('out', { protocol, tos }, { tos })));
        assert.ok(checksumIsRight(bytes, 14));
      }
      const { sentPackets, sentBytes, deliveredPackets } = rig.entry(protocol) ?? assert.fail();
      assert.deepEqual([sentPackets, deliveredPackets], [3n, 0n]);
      assert.equal(sentBytes, BigInt(3 * innerPacket('out', { protocol }).length));
    });

    test(`${name} in: a fast packet is the kernel's, byte for byte`, () => {
      rig.prove({ protocol });
      const { verdict, bytes } = rig.run('receive', tunnelFrame('in', { protocol, tos: 1 }));
      assert.equal(verdict, REDIRECT);
      assert.equal(formatHex(bytes), formatHex(containerFrame('in', { protocol, tos: 1, ttl: 62 })));
      assert.equal(rig.entry(protocol)?.deliveredPackets, 1n);
    });
  }

  test('congestion at the container is no congestion of the tunnel (RFC 6040)', () => {
    rig.prove();
    const { bytes } = rig.run('transmit', containerFrame('out', { tos: 3 }));
    assert.equal(withoutOuterId(bytes), withoutOuterId(tunnelFrame('out', { tos: 3 }, { tos: 2 })));
    assert.ok(checksumIsRight(bytes, 14));
  });

  test('a checksum that becomes 0 with its TTL is right too', () => {
    rig.prove();
    for (let id = 0; id < 0x10000; id += 97) {
      const { bytes } = rig.run('transmit', containerFrame('out', { id }));
      assert.ok(checksumIsRight(bytes, 64), `id ${id}`);
    }
  });

  test('an identification is in no two packets of a flow', () => {
    rig.prove();
    const ids = Array.from({ length: 100 }, () => {
      const { bytes } = rig.run('transmit', containerFrame('out'));
      return formatHex(bytes.slice(18, 20));
    });
    assert.equal(new Set(ids).size, 100);
  });

  test('on an L2 network nothing is taken off the TTL', () => {
    rig.run('sent', tunnelFrame('out', { ttl: 64 }));
    for (let count = 0; count < 8; count++) {
      rig.run('transmit', containerFrame('out'));
      rig.run('sent', tunnelFrame('out', { ttl: 64 }));
      rig.run('receive', tunnelFrame('in', { ttl: 64 }));
      rig.run('delivered', containerFrame('in'));
    }
    rig.set({ cleared: 1 });
    const out = rig.run('transmit', containerFrame('out'));
    assert.equal(withoutOuterId(out.bytes), withoutOuterId(tunnelFrame('out', { ttl: 64 })));
    const { bytes } = rig.run('receive', tunnelFrame('in', { ttl: 64 }));
    assert.equal(formatHex(bytes), formatHex(containerFrame('in')));
  });

  test('a TTL that a rule sets goes out only where it was proven', () => {
    rig.prove();
    const out = () => rig.run('transmit', containerFrame('out', { ttl: 62 }));
    assert.equal(out().verdict, NEXT);
    rig.run('sent', tunnelFrame('out', { ttl: 64 }));
    assert.equal(out().verdict, NEXT, 'what a rule made of it proves nothing');
    rig.run('sent', tunnelFrame('out', { ttl: 61 }));
    assert.equal(withoutOuterId(out().bytes), withoutOuterId(tunnelFrame('out', { ttl: 61 })));
  });

  test('a fast packet has the priority of the proven ones, and `sent` takes its mark away', () => {
    rig.run('sent', tunnelFrame('out'));
    rig.prove();
    rig.set({ priority: 6 });
    const { mark, priority, bytes } = rig.run('transmit', containerFrame('out'));
    assert.equal(priority, 6);
    const before = rig.entry();
    const behind = rig.run('sent', bytes, { mark });
    assert.deepEqual([behind.verdict, behind.mark], [NEXT, 0]);
    assert.deepEqual(rig.entry(), before);
  });

  /** Packets from the container that take the normal path; `notes` are those that may prove the flow again. */
  const OUT: readonly [
    name: string,
    reason: Reason | undefined,
    packet: Uint8Array,
    more?: { readonly entry?: Changes; readonly fields?: TestPacket['fields']; readonly notes?: true },
  ][] = [
    ['ARP', undefined, frame(MACS.gateway, MACS.container, new Uint8Array(60), 0x0806)],
    ['IPv6', undefined, frame(MACS.gateway, MACS.container, new Uint8Array(60), 0x86dd)],
    ['ICMP', undefined, containerFrame('out', { protocol: 1 })],
    ['another flow', undefined, containerFrame('out', { ports: [40_001, 80] })],
    ['a fragment', 'fragment or options', containerFrame('out', { fragment: 0x2000 })],
    ['the last fragment', 'fragment or options', containerFrame('out', { fragment: 0x0010 })],
    ['IP options', 'fragment or options', containerFrame('out', { options: Uint8Array.of(1, 1, 1, 0) })],
    ['padding', 'length', Buffer.concat([containerFrame('out'), Buffer.alloc(4)])],
    ['the last hop', 'TTL', containerFrame('out', { ttl: 1 }), { notes: true }],
    ['another TTL than what was proven has', 'TTL', containerFrame('out', { ttl: 63 }), { notes: true }],
    ['a mark', 'mark or VLAN', containerFrame('out'), { fields: { mark: 5 } }],
    ['SYN', 'TCP flags', containerFrame('out', { flags: SYN })],
    ['FIN', 'TCP flags', containerFrame('out', { flags: FIN })],
    ['RST', 'TCP flags', containerFrame('out', { flags: RST })],
    ['no ACK', 'TCP flags', containerFrame('out', { flags: URG_PSH })],
    [
      'rules that have changed',
      'generation',
      containerFrame('out'),
      { entry: { generation: 6n }, notes: true },
    ],
    ['too few seen out', 'unproven', containerFrame('out'), { entry: { sentSeen: 7 }, notes: true }],
    ['too few seen in', 'unproven', containerFrame('out'), { entry: { deliveredSeen: 7 }, notes: true }],
    ['conntrack not told', 'unproven', containerFrame('out'), { entry: { cleared: 0 }, notes: true }],
    ['an old proof', 'expired', containerFrame('out'), { entry: { sentUntil: 1n }, notes: true }],
    ['another interface', 'other link', containerFrame('out'), { fields: { ifindex: UPLINK }, notes: true }],
    [
      'another gateway',
      'other addresses',
      frame(MACS.peer, MACS.container, innerPacket('out')),
      { notes: true },
    ],
    [
      'another container with this address',
      'other addresses',
      frame(MACS.gateway, MACS.peer, innerPacket('out')),
      { notes: true },
    ],
    ['another DSCP', 'DSCP', containerFrame('out', { tos: 0x20 }), { notes: true }],
    ['a longer packet', 'too long', containerFrame('out', { payload: 101 }), { notes: true }],
    [
      'longer segments',
      'too long',
      containerFrame('out', { payload: 3000 }),
      { fields: { gsoSize: 101, gsoSegs: 30 }, notes: true },
    ],
    [
      'a kind of segments that nobody cuts',
      'no room',
      containerFrame('out'),
      { fields: { gsoSize: 100, gsoSegs: 1 } },
    ],
  ];

  for (const [name, reason, packet, { entry = {}, fields = {}, notes } = {}] of OUT)
    test(`out, the normal path: ${name}`, () => {
      rig.prove();
      rig.set(entry);
      goesTheNormalWay('transmit', reason, packet, fields);
      const left = rig.entry();
      if (reason === 'TCP flags') return assert.equal(left, undefined);
      assert.equal(left?.sentPendingTtl, notes ? packet[PLAIN.ip + IPV4.ttl.offset] : 0);
    });

  test('out, the normal path: segments of UDP', () => {
    rig.prove({ protocol: UDP });
    const fields = { gsoSize: 50, gsoSegs: 2 };
    goesTheNormalWay('transmit', 'UDP segments', containerFrame('out', { protocol: UDP }), fields);
  });

  const IN: readonly [
    name: string,
    reason: Reason | undefined,
    fields: PacketFields,
    more?: {
      readonly outer?: OuterFields;
      readonly entry?: Changes;
      readonly fields?: TestPacket['fields'];
      readonly notes?: true;
    },
  ][] = [
    ['another port', undefined, {}, { outer: { port: 4790 } }],
    ['another VNI', undefined, {}, { outer: { vni: 5 } }],
    ['an extension of VXLAN', undefined, {}, { outer: { flags: 0x8800_0000 } }],
    ['the reserved byte of VXLAN', undefined, {}, { outer: { reserved: 1 } }],
    ['an outer fragment', undefined, {}, { outer: { fragment: 0x2000 } }],
    ['outer options', undefined, {}, { outer: { options: Uint8Array.of(1, 1, 1, 0) } }],
    ['outer TCP', undefined, {}, { outer: { protocol: 6 } }],
    ['inner ARP', undefined, {}, { outer: { innerType: 0x0806 } }],
    ['inner ICMP', undefined, { protocol: 1 }],
    ['another flow', undefined, { ports: [80, 40_001] }],
    ['a fragment', 'fragment or options', { fragment: 0x2000 }],
    ['options', 'fragment or options', { options: Uint8Array.of(1, 1, 1, 0) }],
    ['padding', 'length', {}, { outer: { padding: 4 } }],
    ['the last hop', 'TTL', { ttl: 1 }, { notes: true }],
    ['another TTL than what was proven has', 'TTL', { ttl: 62 }, { notes: true }],
    ['a mark', 'mark or VLAN', {}, { fields: { mark: 5 } }],
    ['SYN', 'TCP flags', { flags: SYN }],
    ['FIN', 'TCP flags', { flags: FIN }],
    ['RST', 'TCP flags', { flags: RST }],
    ['no ACK', 'TCP flags', { flags: URG_PSH }],
    ['congestion of the tunnel', 'congestion', {}, { outer: { tos: 3 } }],
    ['another outer sender', 'other addresses', {}, { outer: { from: '192.0.2.3' } }],
    ['SYN of another outer sender', 'other addresses', { flags: SYN }, { outer: { from: '192.0.2.3' } }],
    ['FIN of another inner sender', 'other addresses', { flags: FIN }, { outer: { innerFrom: MACS.peer } }],
    ['RST at another uplink', 'other link', { flags: RST }, { fields: { ifindex: HOST_END } }],
    ['another inner sender', 'other addresses', {}, { outer: { innerFrom: MACS.peer } }],
    ['another uplink', 'other link', {}, { fields: { ifindex: HOST_END } }],
    ['rules that have changed', 'generation', {}, { entry: { generation: 6n }, notes: true }],
    ['too few seen', 'unproven', {}, { entry: { deliveredSeen: 7 }, notes: true }],
    ['an old proof', 'expired', {}, { entry: { deliveredUntil: 1n }, notes: true }],
    ['another DSCP', 'DSCP', { tos: 0x20 }, { notes: true }],
    ['a longer packet', 'too long', { payload: 101 }, { notes: true }],
    [
      'longer segments',
      'too long',
      { payload: 1000 },
      { fields: { gsoSize: 101, gsoSegs: 10 }, notes: true },
    ],
    // A test's packet has segments of no kind, which nobody cuts: all else was right.
    ['as long segments', 'no room', { payload: 1000 }, { fields: { gsoSize: 100, gsoSegs: 10 } }],
  ];

  for (const [name, reason, packet, { outer = {}, entry = {}, fields = {}, notes } = {}] of IN)
    test(`in, the normal path: ${name}`, () => {
      rig.prove();
      rig.set(entry);
      goesTheNormalWay('receive', reason, tunnelFrame('in', packet, outer), fields);
      const left = rig.entry();
      if (reason === 'TCP flags') return assert.equal(left, undefined);
      assert.equal(left?.deliveredPendingTtl, notes ? (packet.ttl ?? 63) : 0);
    });

  test('in, the normal path: a frame for another link, which listens to all', () => {
    rig.prove();
    const packet = tunnelFrame('in');
    packet.set([2, 0, 0, 0, 0, 0x77]);
    goesTheNormalWay('receive', undefined, packet);
  });

  test('in, the normal path: segments of UDP', () => {
    rig.prove({ protocol: UDP });
    const fields = { gsoSize: 50, gsoSegs: 2 };
    goesTheNormalWay('receive', 'UDP segments', tunnelFrame('in', { protocol: UDP }), fields);
  });

  function goesTheNormalWay(
    role: 'transmit' | 'receive',
    reason: Reason | undefined,
    packet: Uint8Array,
    fields?: TestPacket['fields'],
  ): void {
    const reasons = rig.reasonsOf(() => {
      const { verdict, bytes, mark } = rig.run(role, packet, fields);
      assert.equal(verdict, NEXT);
      assert.equal(formatHex(bytes), formatHex(packet));
      assert.equal(mark, fields?.mark ?? 0);
    });
    assert.deepEqual(reasons, reason === undefined ? [] : [reason]);
  }
});
