import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { ipPacket, tcpPacket, udpPacket } from '../../testing/packets.ts';
import { fc } from '../../testing/properties.ts';
import { decodeFrame, VXLAN_PORTS } from './decode-frame.ts';
import { innerStart, type Layer, layerOf } from './layers.ts';

/** Captured with tcpdump 4.99 on the uplink of a host, Linux 6.18: a ping from one host to a container of another. */
const VXLAN_ECHO = parseHex(`
  a2cf5607019c 7a287947af10 0800
  45000086 4fc70000 40112748 c0a84103 c0a84104
  84a912b5 007203dc
  08000000 00005800
  020000000004 020000000003 0800
  45000054 37c14000 4001828d bcac0300 bcac0402
  0800bd26 1b730001
  fad1006b0000000059550c0000000000 101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637`);

const MACS = 'a2cf5607019c 7a287947af10';
const frame = (type: string, rest: string) => parseHex(`${MACS} ${type} ${rest}`);
const names = (layers: readonly Layer[]) => layers.map(({ layer }) => layer);
const ip = Ip.parse;

/** The layer of this name; the test fails when there is none. */
function the<Name extends Layer['layer']>(layers: readonly Layer[], name: Name) {
  const found = layerOf(layers, name);
  assert.ok(found, `want ${name} in ${JSON.stringify(layers)}`);
  return found;
}

test('a ping in VXLAN is two stacks of layers', () => {
  const layers = decodeFrame(VXLAN_ECHO);
  assert.deepEqual(layers.slice(0, 4), [
    {
      layer: 'ethernet',
      destination: Mac.parse('a2:cf:56:07:01:9c'),
      source: Mac.parse('7a:28:79:47:af:10'),
      type: 0x0800,
    },
    {
      layer: 'ipv4',
      source: ip('192.168.65.3'),
      destination: ip('192.168.65.4'),
      ttl: 64,
      protocol: 17,
      tos: 0,
      id: 0x4fc7,
      headerLength: 20,
      totalLength: 134,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      checksum: 0x2748,
    },
    { layer: 'udp', sourcePort: 33961, destinationPort: 4789, length: 114, checksum: 0x03dc },
    { layer: 'vxlan', vni: 88, flags: 8 },
  ]);
  assert.equal(innerStart(layers), 4);
  const inner = layers.slice(4);
  assert.deepEqual(names(inner), ['ethernet', 'ipv4', 'icmp', 'payload']);
  assert.deepEqual(inner.slice(2), [
    { layer: 'icmp', type: 8, code: 0, checksum: 0xbd26, id: 0x1b73, sequence: 1 },
    { layer: 'payload', length: 56 },
  ]);
});

describe('tunnels', () => {
  test('another port is VXLAN only when it is given, and a datagram without the flag of a VNI is none', () => {
    const moved = VXLAN_ECHO.slice();
    moved.set([0x30, 0x39], 36);
    assert.deepEqual(decodeFrame(moved).at(-1), { layer: 'payload', length: 106 });
    assert.equal(decodeFrame(moved, { vxlanPorts: [12345] }).length, 8);
    const unmarked = VXLAN_ECHO.with(42, 0);
    assert.deepEqual(names(decodeFrame(unmarked)), ['ethernet', 'ipv4', 'udp', 'payload']);
  });

  test("flannel's udp carries a packet without a header between", () => {
    const inner = ipPacket(
      { from: '10.5.1.2', to: '10.5.2.2', protocol: 1 },
      parseHex('0800 0000 0001 0002'),
    );
    const outer = udpPacket({ from: '192.0.2.1', to: '192.0.2.2', ports: [8285, 8285] }, inner);
    const layers = decodeFrame(outer, { linkType: 'ip' });
    assert.deepEqual(names(layers), ['ipv4', 'udp', 'flannel-udp', 'ipv4', 'icmp']);
    assert.equal(innerStart(layers), 3);
    const other = udpPacket({ from: '192.0.2.1', to: '192.0.2.2', ports: [8285, 8285] }, Uint8Array.of(1, 2));
    assert.deepEqual(names(decodeFrame(other, { linkType: 'ip' })), ['ipv4', 'udp', 'payload']);
  });

  test('IP in IP begins a second stack at the second packet', () => {
    const inner = tcpPacket({ from: 'fd00::1', to: 'fd00::2' }, new Uint8Array(3));
    const layers = decodeFrame(ipPacket({ from: '192.0.2.1', to: '192.0.2.2', protocol: 41 }, inner), {
      linkType: 'ip',
    });
    assert.deepEqual(names(layers), ['ipv4', 'ipv6', 'tcp', 'payload']);
    assert.equal(innerStart(layers), 1);
  });

  test('what nests without end is a problem, not a stack overflow', () => {
    let packet: Uint8Array = new Uint8Array();
    for (let depth = 0; depth < 1000; depth++)
      packet = ipPacket({ from: '192.0.2.1', to: '192.0.2.2', protocol: 4 }, packet);
    const layers = decodeFrame(packet, { linkType: 'ip' });
    assert.deepEqual(names(layers), ['ipv4', 'ipv4', 'ipv4', 'ipv4', 'ipv4', 'problem']);
    const tags = decodeFrame(frame('8100', '00018100'.repeat(500)));
    assert.equal(tags.length, 49);
    assert.equal(tags.at(-1)?.layer, 'problem');
  });
});

describe('Ethernet', () => {
  test('ARP, who asks and who is asked for', () => {
    const layers = decodeFrame(
      frame('0806', '0001 0800 06 04 0002 7a287947af10 c0a84103 a2cf5607019c c0a84104'),
    );
    assert.deepEqual(layers[1], {
      layer: 'arp',
      operation: 2,
      senderMac: Mac.parse('7a:28:79:47:af:10'),
      sender: ip('192.168.65.3'),
      targetMac: Mac.parse('a2:cf:56:07:01:9c'),
      target: ip('192.168.65.4'),
    });
    const token = decodeFrame(frame('0806', '0006 0800 06 04 0001'));
    assert.deepEqual(token.at(-1), { layer: 'payload', length: 8 });
  });

  test('tags, the outer one first', () => {
    const layers = decodeFrame(frame('88a8', '6064 8100 0007 0806'));
    assert.deepEqual(layers.slice(1, 3), [
      { layer: 'vlan', id: 100, priority: 3, type: 0x8100 },
      { layer: 'vlan', id: 7, priority: 0, type: 0x0806 },
    ]);
    assert.equal(layers.at(-1)?.layer, 'problem', 'the ARP message is missing');
  });

  test('the padding of a short frame is no content', () => {
    const header = '45000014 00000000 40060000 c0a84103 c0a84104';
    const layers = decodeFrame(frame('0800', `${header} ${'00'.repeat(26)}`));
    assert.match(JSON.stringify(layers.at(-1)), /problem.*0 bytes left/);
  });

  test('another protocol is payload', () => {
    assert.deepEqual(decodeFrame(frame('88cc', '010203')).slice(1), [{ layer: 'payload', length: 3 }]);
  });
});

describe('IP', () => {
  test('only the first fragment has the header of the next layer', () => {
    const fields = { from: '10.0.0.1', to: '10.0.0.2', protocol: 17, id: 7 };
    const first = decodeFrame(
      ipPacket({ ...fields, fragment: 0x2000 }, parseHex('0001 0002 0100 0000 aabb')),
      {
        linkType: 'ip',
      },
    );
    assert.deepEqual(names(first), ['ipv4', 'udp', 'payload']);
    assert.equal(the(first, 'ipv4').moreFragments, true);
    const last = decodeFrame(ipPacket({ ...fields, fragment: 185 }, new Uint8Array(9)), { linkType: 'ip' });
    assert.deepEqual(names(last), ['ipv4', 'payload']);
    assert.deepEqual(
      [the(last, 'ipv4').fragmentOffset, the(last, 'ipv4').moreFragments, the(last, 'ipv4').id],
      [1480, false, 7],
    );
  });

  test('options of IPv4 are passed over', () => {
    const packet = tcpPacket(
      { from: '10.0.0.1', to: '10.0.0.2', options: parseHex('94040000') },
      new Uint8Array(),
    );
    assert.deepEqual(names(decodeFrame(packet, { linkType: 'ip' })), ['ipv4', 'tcp']);
  });

  test('extension headers of IPv6 are passed through, a later fragment ends them', () => {
    const head = (next: string, length: string) =>
      `60012345 ${length} ${next} 40 ${'fd'.padEnd(31, '0')}1 ${'fd'.padEnd(31, '0')}2`;
    const udp = '0035 1234 0008 0000';
    const whole = parseHex(`${head('00', '0020')} 2b00050200000000 3c00000000000000 1100000000000000 ${udp}`);
    const layers = decodeFrame(whole, { linkType: 'ip' });
    assert.deepEqual(names(layers), ['ipv6', ...Array<string>(3).fill('ipv6-extension'), 'udp']);
    assert.deepEqual(
      layers.flatMap(item => (item.layer === 'ipv6-extension' ? [item.kind] : [])),
      ['hop-by-hop', 'routing', 'destination'],
    );
    assert.equal(the(layers, 'ipv6').flowLabel, 0x12345);
    const later = parseHex(`${head('2c', '0010')} 1100 05a9 0000002a ${udp}`);
    assert.deepEqual(decodeFrame(later, { linkType: 'ip' }).slice(1), [
      {
        layer: 'ipv6-extension',
        kind: 'fragment',
        nextHeader: 17,
        fragment: { id: 42, offset: 1448, more: true },
      },
      { layer: 'payload', length: 8 },
    ]);
  });

  test('a packet of more than 64 KiB, which says no length, reaches to the end', () => {
    const packet = tcpPacket({ from: '10.0.0.1', to: '10.0.0.2' }, new Uint8Array(10));
    packet.set([0, 0], 2);
    assert.deepEqual(decodeFrame(packet, { linkType: 'ip' }).at(-1), { layer: 'payload', length: 10 });
  });

  test('impossible headers are problems', () => {
    for (const [bytes, want] of [
      ['4400001400000000400600000a0000010a000002', /version 4, at least 5 words/],
      ['4500000a00000000400600000a0000010a000002', /length of at least 20/],
      ['30', /version 4 or 6/],
      ['60', /u32be at byte 0/],
    ] as const) {
      const last = decodeFrame(parseHex(bytes), { linkType: 'ip' }).at(-1);
      assert.ok(last?.layer === 'problem');
      assert.match(last.text, want);
    }
  });
});

describe('ICMP', () => {
  const message = (hex: string) =>
    decodeFrame(ipPacket({ from: '10.0.0.1', to: '10.0.0.2', protocol: 1 }, parseHex(hex)), {
      linkType: 'ip',
    });
  const messageV6 = (hex: string) =>
    decodeFrame(ipPacket({ from: 'fd00::1', to: 'fd00::2', protocol: 58 }, parseHex(hex)), {
      linkType: 'ip',
    });

  test('an error quotes a packet, cut after its ports', () => {
    const quoted = '45000054 37c14000 40060000 0a000002 0a000003 9c40 0050 00000007';
    const { mtu, quoted: layers = [] } = the(message(`0304 0000 0000 0578 ${quoted}`), 'icmp');
    assert.equal(mtu, 1400);
    assert.deepEqual(names(layers), ['ipv4', 'tcp']);
    assert.deepEqual(layers[1], { layer: 'tcp', sourcePort: 40000, destinationPort: 80, sequence: 7 });
    assert.deepEqual(names(the(message('0b00 0000 00000000 4500'), 'icmp').quoted ?? []), []);
    const redirect = the(message(`0501 0000 0a000009 ${quoted}`), 'icmp');
    assert.equal(String(redirect.gateway), '10.0.0.9');
  });

  test('neighbor discovery: the target and its address', () => {
    const target = 'fd000000000000000000000000000003';
    const asked = the(messageV6(`8700 0000 00000000 ${target} 0101 7a287947af10`), 'icmpv6');
    assert.deepEqual([String(asked.target), String(asked.mac)], ['fd00::3', '7a:28:79:47:af:10']);
    const router = the(
      messageV6(`8600 0000 40000708 00000000 00000000 0501 000005dc0000 0101 7a287947af10`),
      'icmpv6',
    );
    assert.equal(String(router.mac), '7a:28:79:47:af:10');
    assert.equal(router.target, undefined);
  });

  test('packet too big says what fits', () => {
    const { mtu } = the(messageV6('0200 0000 00000500 6000'), 'icmpv6');
    assert.equal(mtu, 1280);
    assert.equal(the(messageV6('8100 0000 0007 0001'), 'icmpv6').id, 7);
  });
});

test('TCP: flags, and the largest segment of a SYN behind other options', () => {
  const options = parseHex('0101 0402 0204 0582');
  const packet = tcpPacket(
    { from: '10.0.0.1', to: '10.0.0.2', flags: 0x12, sequence: 5, acknowledgement: 6, tcpOptions: options },
    new Uint8Array(),
  );
  const { flags, mss, sequence, acknowledgement, window } = the(
    decodeFrame(packet, { linkType: 'ip' }),
    'tcp',
  );
  assert.deepEqual([flags, mss, sequence, acknowledgement, window], [['SYN', 'ACK'], 1410, 5, 6, 512]);
  // The ninth flag is the lowest bit of the byte with the length of the header.
  const negotiating = Uint8Array.from(packet).fill(0x71, 32, 33);
  assert.deepEqual(the(decodeFrame(negotiating, { linkType: 'ip' }), 'tcp').flags, ['SYN', 'ACK', 'AE']);
});

describe('properties', () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const address = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );

  test('any bytes give layers, and every beginning of a good frame too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('ethernet', 'ip'), (bytes, linkType) => {
        decodeFrame(bytes, { linkType });
      }),
    );
    const whole = names(decodeFrame(VXLAN_ECHO));
    for (let length = 0; length < VXLAN_ECHO.length; length++) {
      const layers = names(decodeFrame(VXLAN_ECHO.subarray(0, length)));
      const known = layers.filter(name => name !== 'problem' && name !== 'payload');
      assert.deepEqual(known, whole.slice(0, known.length), `cut to ${length} bytes`);
    }
  });

  test('what is written is read: UDP and TCP of both families', () => {
    fc.assert(
      fc.property(
        address,
        fc.tuple(u16, u16),
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        (bytes, ports, data) => {
          // A tunnel's port has other layers in it.
          fc.pre(![...VXLAN_PORTS, 8285].includes(ports[1]));
          const from = String(Ip.fromBytes(bytes));
          const fields = { from, to: from, ports };
          const family = bytes.length === 4 ? 'ipv4' : 'ipv6';
          for (const [name, packet] of [
            ['udp', udpPacket(fields, data)],
            ['tcp', tcpPacket(fields, data)],
          ] as const) {
            const layers = decodeFrame(packet, { linkType: 'ip' });
            assert.deepEqual(names(layers), [family, name, 'payload']);
            const { source, destination } = the(layers, family);
            const { sourcePort, destinationPort } = the(layers, name);
            assert.deepEqual(
              [`${source}`, `${destination}`, sourcePort, destinationPort],
              [from, from, ...ports],
            );
            assert.equal(the(layers, 'payload').length, data.length);
          }
        },
      ),
    );
  });
});
