import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runFilter } from '../../../test/support/filter-machine.ts';
import type { Flow } from '../../api/inspection.ts';
import { written } from '../../base/bytes.ts';
import { LINK_TYPE } from '../../sys/socket-filter.ts';
import { ipPacket, tcpPacket, udpPacket } from '../../testing/packets.ts';
import { fc } from '../../testing/properties.ts';
import { decodeFrame } from '../decode/decode-frame.ts';
import { flowFilter } from './flow-filter.ts';
import { flowPacket, neighborPacket } from './flow-packet.ts';
import { watchedFlow } from './watched-flow.ts';

const PORTS = { vxlanPorts: [8472, 4789], flannelPorts: [8285] };
const FLOWS: readonly Flow[] = [
  { from: '10.5.1.2', to: '10.5.2.2', protocol: 'icmp', id: 4711 },
  { from: 'fd00:5:1::2', to: 'fd00:5:2::2', protocol: 'icmp', id: 4711 },
  { from: '10.5.1.2', to: '10.5.2.2', protocol: 'tcp', fromPort: 40_000, toPort: 80 },
  { from: 'fd00:5:1::2', to: 'fd00:5:2::2', protocol: 'udp', fromPort: 40_000, toPort: 8472 },
  { from: '10.5.1.2', to: '10.5.2.2', protocol: 'udp', toPort: 53 },
  { from: '10.5.1.2', to: '10.5.2.2', protocol: 'icmp' },
];

/** Few values each, those of the flows more often than others, so that many packets belong to the flow that is asked for. */
const often = <T>(ours: readonly T[], others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...ours) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
const v4 = often(['10.5.1.2', '10.5.2.2'], ['192.168.65.3']);
const v6 = often(['fd00:5:1::2', 'fd00:5:2::2'], ['fd00:5:1::3']);
const port = fc.constantFrom(40_000, 40_000, 80, 53, 8472, 4789, 8285);
const number = often([4711], [4712]);
const anyBytes = fc.uint8Array({ maxLength: 24 });

type Bytes = fc.Arbitrary<Uint8Array>;

const joined = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

const echo = (isV6: boolean): Bytes =>
  fc
    .tuple(fc.constantFrom(...(isV6 ? [128, 128, 129, 129, 127, 133] : [8, 8, 0, 0, 13])), number, anyBytes)
    .map(([type, id, rest]) =>
      joined(
        written(w => w.u8(type).u8(0).u16be(0).u16be(id).u16be(1)),
        rest,
      ),
    );

const ethernet = (packet: Uint8Array, tags: readonly number[]): Uint8Array =>
  written(writer => {
    writer.bytes(new Uint8Array(12).fill(2));
    for (const tag of tags) writer.u16be(tag).u16be(7);
    writer.u16be((packet[0] ?? 0) >>> 4 === 6 ? 0x86dd : 0x0800).bytes(packet);
  });
const tags = fc.array(fc.constantFrom(0x8100, 0x88a8), { maxLength: 2 });
const framed = (packet: Bytes): Bytes =>
  fc.tuple(packet, tags).map(([bytes, tagged]) => ethernet(bytes, tagged));

/** With options, in pieces, with the header of a fragment. */
function ip(isV6: boolean, protocol: number, data: Bytes): Bytes {
  const ends = isV6 ? fc.tuple(v6, v6) : fc.tuple(v4, v4);
  const fragment = fc.constantFrom(0x4000, 0x4000, 0x4000, 0x4000, 0x2000, 0x2010);
  const options = fc.constantFrom(new Uint8Array(), new Uint8Array(8));
  return fc.tuple(ends, data, fragment, options).map(([[from, to], bytes, piece, words]) => {
    if (!isV6) return ipPacket({ from, to, protocol, fragment: piece, options: words }, bytes);
    if (piece === 0x4000) return ipPacket({ from, to, protocol }, bytes);
    const head = written(w =>
      w
        .u8(protocol)
        .u8(0)
        .u16be(piece === 0x2000 ? 1 : 0x11)
        .u32be(99),
    );
    return ipPacket({ from, to, protocol: 44 }, joined(head, bytes));
  });
}

const vxlan = (frame: Uint8Array, flags = 8): Uint8Array =>
  joined(Uint8Array.of(flags, 0, 0, 0, 0, 0, 88, 0), frame);

function udpWith(isV6: boolean, payload: Bytes): Bytes {
  const ends = isV6 ? fc.tuple(v6, v6) : fc.tuple(v4, v4);
  return fc
    .tuple(ends, port, port, payload)
    .map(([[from, to], one, other, data]) => udpPacket({ from, to, ports: [one, other] }, data));
}

function tcpWith(isV6: boolean): Bytes {
  const ends = isV6 ? fc.tuple(v6, v6) : fc.tuple(v4, v4);
  return fc
    .tuple(ends, port, port, anyBytes)
    .map(([[from, to], one, other, data]) => tcpPacket({ from, to, ports: [one, other] }, data));
}

const family = (make: (isV6: boolean) => Bytes): Bytes => fc.oneof(make(false), make(true));
const plain: Bytes = fc.oneof(
  family(isV6 => ip(isV6, isV6 ? 58 : 1, echo(isV6))),
  family(isV6 => udpWith(isV6, anyBytes)),
  family(tcpWith),
);
const error = (quoted: Bytes): Bytes =>
  family(isV6 =>
    ip(
      isV6,
      isV6 ? 58 : 1,
      fc
        .tuple(fc.constantFrom(...(isV6 ? [1, 2, 3, 4] : [3, 11, 12, 5])), fc.nat(4), quoted)
        .map(([type, code, packet]) =>
          joined(
            written(w => w.u8(type).u8(code).u16be(0).u32be(1400)),
            packet,
          ),
        ),
    ),
  );
const tunnelled = (inside: Bytes): Bytes =>
  fc.oneof(
    family(isV6 =>
      udpWith(
        isV6,
        framed(inside).map(frame => vxlan(frame)),
      ),
    ),
    // Without the flag of a VNI it is none.
    family(isV6 =>
      udpWith(
        isV6,
        framed(inside).map(frame => vxlan(frame, 0)),
      ),
    ),
    family(isV6 => udpWith(isV6, inside)),
    family(isV6 =>
      ip(
        isV6,
        4,
        inside.filter(packet => (packet[0] ?? 0) >>> 4 === 4),
      ),
    ),
  );
const packets: Bytes = fc.oneof(
  plain,
  error(plain),
  tunnelled(plain),
  tunnelled(error(plain)),
  error(tunnelled(plain)),
);

const filterOf = (flow: Flow) => flowFilter(watchedFlow(flow), PORTS);
const ETHERNET = { [LINK_TYPE]: 1 };
const TUN = { [LINK_TYPE]: 65_534 };

describe('the filter in the kernel and the decoder', () => {
  const filters = FLOWS.map(flow => ({ flow: watchedFlow(flow), filter: filterOf(flow) }));
  const flows = fc.nat(FLOWS.length - 1);
  const known = (index: number) => filters[index] as (typeof filters)[number];
  const isOfFlow = (frame: Uint8Array, flow: ReturnType<typeof watchedFlow>, linkType: 'ethernet' | 'ip') => {
    const layers = decodeFrame(frame, { linkType, ...PORTS });
    return flowPacket(layers, flow) !== undefined || neighborPacket(layers) !== undefined;
  };

  test('agree on frames of all kinds', () => {
    let [passed, dropped] = [0, 0];
    fc.assert(
      fc.property(flows, packets, tags, (index, packet, tagged) => {
        const { flow, filter } = known(index);
        const frame = ethernet(packet, tagged);
        const wanted = isOfFlow(frame, flow, 'ethernet');
        assert.equal(runFilter(filter, frame, ETHERNET) > 0, wanted);
        assert.equal(runFilter(filter, packet, TUN) > 0, isOfFlow(packet, flow, 'ip'));
        if (wanted) passed++;
        else dropped++;
      }),
      { numRuns: 5000 },
    );
    assert.ok(
      passed > 100 && dropped > 100,
      `the frames say something: ${passed} passed, ${dropped} dropped`,
    );
  });

  test('of damaged frames none that is recognized is dropped', () => {
    const damage = fc.tuple(fc.nat(120), fc.nat(255));
    fc.assert(
      fc.property(flows, framed(packets), damage, fc.nat(200), (index, frame, [at, byte], length) => {
        const { flow, filter } = known(index);
        const damaged = frame.slice(0, Math.max(length, 34));
        if (at < damaged.length) damaged[at] = byte;
        if (isOfFlow(damaged, flow, 'ethernet')) assert.ok(runFilter(filter, damaged, ETHERNET) > 0);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('a flow', () => {
  const recognized = (flow: Flow, packet: Uint8Array) =>
    flowPacket(decodeFrame(packet, { linkType: 'ip', ...PORTS }), watchedFlow(flow));
  const [ping, , web] = FLOWS as [Flow, Flow, Flow];
  const echoed = (from: string, to: string, type: number, id = 4711) =>
    ipPacket(
      { from, to, protocol: 1 },
      written(w => w.u8(type).u8(0).u16be(0).u16be(id).u16be(1)),
    );

  test('is known again with an address that was translated, and not by a stranger', () => {
    assert.deepEqual(recognized(ping, echoed('10.5.1.2', '10.5.2.2', 8)), {
      packet: 'request',
      encapsulated: false,
    });
    assert.deepEqual(recognized(ping, echoed('192.168.65.3', '10.5.2.2', 8)), {
      packet: 'request',
      encapsulated: false,
      translated: '192.168.65.3 -> 10.5.2.2',
    });
    assert.equal(recognized(ping, echoed('10.5.2.2', '192.168.65.3', 0))?.packet, 'reply');
    assert.equal(recognized(ping, echoed('10.5.1.2', '10.5.2.2', 8, 4712)), undefined);
    assert.equal(recognized(ping, echoed('10.5.7.7', '10.5.8.8', 8)), undefined);
  });

  test('of ports: another client of the same server is none of it', () => {
    const segment = (from: string, to: string, ports: [number, number]) =>
      recognized(web, tcpPacket({ from, to, ports }, new Uint8Array()))?.packet;
    assert.equal(segment('10.5.1.2', '10.5.2.2', [40_000, 80]), 'request');
    assert.equal(segment('10.5.1.2', '172.17.0.2', [40_000, 8080]), 'request');
    assert.equal(segment('10.5.2.2', '192.168.65.3', [80, 40_000]), 'reply');
    assert.equal(segment('10.5.1.3', '10.5.2.2', [40_001, 80]), undefined);
    assert.equal(segment('10.5.1.2', '10.5.2.2', [40_001, 80]), undefined);
  });

  test('has errors, which say what and from where', () => {
    const quoted = echoed('10.5.1.2', '10.5.2.2', 8);
    const about = (code: number, packet: Uint8Array) =>
      ipPacket(
        { from: '192.168.65.4', to: '192.168.65.3', protocol: 1 },
        joined(
          written(w => w.u8(3).u8(code).u16be(0).u32be(1400)),
          packet,
        ),
      );
    const outer = udpPacket(
      { from: '192.168.65.3', to: '192.168.65.4', ports: [5555, 8472] },
      vxlan(ethernet(quoted, [])),
    );
    assert.deepEqual(recognized(ping, about(4, quoted)), {
      packet: 'error',
      encapsulated: false,
      error: 'fragmentation needed, mtu 1400, from 192.168.65.4',
    });
    assert.equal(recognized(ping, about(3, outer))?.error, 'port unreachable, from 192.168.65.4');
  });

  test('that no packet can belong to is refused', () => {
    const refused = (flow: Flow) => assert.throws(() => watchedFlow(flow), { name: 'ParseError' });
    refused({ ...ping, to: 'fd00::1' });
    refused({ ...ping, fromPort: 1 });
    refused({ ...web, id: 1 });
    refused({ ...web, from: 'docker1' });
  });
});
