import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import type { Layer } from '../../src/inspect/decode/layers.ts';
import { sizesOf } from './packet-layers.ts';
import { packetPicture } from './packet-picture.ts';
import { PALETTES, textWidth } from './svg.ts';
import { layOut } from './topology-layout.ts';
import { type HostPicture, type TopologyPicture, topologyPicture } from './topology-picture.ts';
import { CHINESE } from './words.ts';

const IPV4 = {
  layer: 'ipv4',
  tos: 0,
  id: 1,
  headerLength: 20,
  dontFragment: true,
  moreFragments: false,
  fragmentOffset: 0,
  checksum: 0,
} as const;

const PING: readonly Layer[] = [
  {
    layer: 'ethernet',
    source: Mac.parse('96:7e:bb:1b:33:de'),
    destination: Mac.parse('42:9d:c1:69:ef:70'),
    type: 0x0800,
  },
  {
    ...IPV4,
    source: Ip.parse('192.168.65.3'),
    destination: Ip.parse('192.168.65.4'),
    ttl: 64,
    protocol: 17,
    totalLength: 134,
  },
  { layer: 'udp', sourcePort: 48240, destinationPort: 4789, length: 114, checksum: 0 },
  { layer: 'vxlan', vni: 88, flags: 8 },
  {
    layer: 'ethernet',
    source: Mac.parse('e6:5f:22:c7:da:db'),
    destination: Mac.parse('ca:e7:a8:17:5c:44'),
    type: 0x0800,
  },
  {
    ...IPV4,
    source: Ip.parse('188.172.177.2'),
    destination: Ip.parse('188.172.110.2'),
    ttl: 63,
    protocol: 1,
    totalLength: 84,
  },
  { layer: 'icmp', type: 8, code: 0, checksum: 0, id: 19, sequence: 0 },
  { layer: 'payload', length: 56 },
];

function dockerHost(name: string, base: string, address: string): HostPicture {
  return {
    name,
    lines: [`leases ${base}.0/24`],
    boxes: [
      { name: 'c1', kind: 'container', lines: [`${base}.2`], to: 'docker0' },
      { name: 'c2', kind: 'container', lines: [`${base}.3`], to: 'docker0' },
      { name: 'docker0', kind: 'bridge', lines: [`${base}.1/24`], to: 'flannel.88' },
      { name: 'flannel.88', kind: 'tunnel', lines: ['a rather long line about MTU 1450'], to: 'eth0' },
      { name: 'etcd', kind: 'program', to: 'eth0' },
      { name: 'eth0', kind: 'link', lines: [address] },
    ],
  };
}

const OVERLAY: TopologyPicture = {
  title: 'Two hosts',
  hosts: [
    dockerHost('docker1', '188.172.177', '192.168.65.3'),
    dockerHost('docker2', '188.172.110', '192.168.65.4'),
  ],
  wires: [{ name: 'underlay', lines: ['192.168.65.0/24'], ends: ['docker1/eth0', 'docker2/eth0'] }],
  lines: [
    {
      kind: 'tunnel',
      name: 'VNI 88',
      lines: ['UDP 4789'],
      ends: ['docker1/flannel.88', 'docker2/flannel.88'],
    },
  ],
};

const textsOf = (svg: string) =>
  Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text = '']) => text);

/** Every tag is closed by its own, in order. */
function assertWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, closing, name = '', alone] of svg.matchAll(
    /<(\/?)([a-z]+)(?: [a-zA-Z-]+="[^"<]*")*(\/?)>/g,
  )) {
    if (closing) assert.equal(open.pop(), name);
    else if (!alone) open.push(name);
  }
  assert.deepEqual(open, []);
  assert.equal(svg.replaceAll(/<(\/?)([a-z]+)(?: [a-zA-Z-]+="[^"<]*")*(\/?)>/g, '').search(/[<>]/), -1);
}

/** WCAG 2.2, "relative luminance" and "contrast ratio". */
function contrast(one: string, two: string): number {
  const luminance = (colour: string) => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5]
      .map(at => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
      .map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(one), luminance(two)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

test('every text is readable on a light and on a dark page', () => {
  for (const [mode, { page, ink, quiet, roles }] of Object.entries(PALETTES)) {
    for (const text of [ink, quiet]) {
      for (const ground of [page, roles.host.fill]) {
        assert.ok(contrast(text, ground) >= 4.5, `${mode}: ${text} on ${ground}`);
      }
    }
    for (const [role, { fill, line, ink: own }] of Object.entries(roles)) {
      assert.ok(contrast(own, fill) >= 4.5, `${mode} ${role}`);
      // Names of lines stand on the page, or on a host.
      assert.ok(contrast(own, page) >= 4.5, `${mode} ${role} on the page`);
      assert.ok(contrast(line, page) >= 3, `${mode}: the line of ${role}`);
    }
  }
});

describe('a picture of a packet', () => {
  test('has the values, the owners and the sizes of the frame as text', () => {
    const svg = packetPicture({
      title: 'One ping',
      layers: PING,
      owners: { '192.168.65.3': 'docker1', 'ca:e7:a8:17:5c:44': "docker2's flannel.88" },
    });
    assertWellFormed(svg);
    const texts = textsOf(svg);
    for (const text of ['48240', '4789', '88', '188.172.110.2', 'docker1', "docker2's flannel.88", 'VXLAN']) {
      assert.ok(texts.includes(text), text);
    }
    assert.ok(texts.includes("the underlay's: 50 bytes"));
    assert.ok(texts.includes("the overlay's: 98 bytes"));
    assert.equal(
      svg,
      packetPicture({
        title: 'One ping',
        layers: PING,
        owners: { '192.168.65.3': 'docker1', 'ca:e7:a8:17:5c:44': "docker2's flannel.88" },
      }),
    );
  });

  test('says it in Chinese', () => {
    const texts = textsOf(packetPicture({ title: '一个 ping', layers: PING, words: CHINESE }));
    assert.ok(texts.includes('外层（underlay）：50 字节'));
    assert.equal(textWidth('字节'), textWidth('data'));
  });

  test('has sizes that are those of the frame', () => {
    assert.deepEqual(sizesOf(PING), [14, 20, 8, 8, 14, 20, 8, 56]);
    const [ethernet, ip] = PING;
    assert.ok(ethernet && ip?.layer === 'ipv4');
    const tcp = { layer: 'tcp', sourcePort: 1, destinationPort: 80, sequence: 7, flags: ['SYN'] } as const;
    const sizes = sizesOf([ethernet, { ...ip, protocol: 6, totalLength: 60 }, tcp]);
    assert.deepEqual(sizes, [14, 20, 40], 'a header with options has what the packet has left');
    const cut = sizesOf([ethernet, ip, { layer: 'problem', text: 'cut off' }]);
    assert.deepEqual(cut, [14, 20, undefined]);
  });

  test('shows text from outside as text', () => {
    const svg = packetPicture({
      title: 'a < b & "c"\u0000',
      layers: [{ layer: 'problem', text: '<script>' }],
    });
    assertWellFormed(svg);
    assert.match(svg, /<title>a &lt; b &amp; &quot;c&quot;\ufffd<\/title>/);
    assert.equal(textsOf(svg)[0], '&lt;script&gt;');
  });
});

describe('a picture of a topology', () => {
  test('has every name and line as text', () => {
    const svg = topologyPicture(OVERLAY);
    assertWellFormed(svg);
    const texts = textsOf(svg);
    for (const text of [
      'docker2',
      'etcd',
      '188.172.110.1/24',
      'VNI 88, UDP 4789',
      'underlay  192.168.65.0/24',
    ]) {
      assert.ok(texts.includes(text), text);
    }
    assert.equal(svg, topologyPicture(OVERLAY));
  });

  test('has boxes that do not cover each other, inside their hosts, wide enough for their text', () => {
    const { hosts, boxes } = layOut(OVERLAY);
    const areas = [...boxes.values()];
    for (const [index, one] of areas.entries()) {
      for (const other of areas.slice(index + 1)) {
        const apart =
          one.x + one.width <= other.x ||
          other.x + other.width <= one.x ||
          one.y + one.height <= other.y ||
          other.y + other.height <= one.y;
        assert.ok(apart, JSON.stringify([one, other]));
      }
    }
    for (const [host, frame] of hosts) {
      for (const { name, lines = [] } of host.boxes) {
        const box = boxes.get(`${host.name}/${name}`);
        assert.ok(box && box.x > frame.x && box.x + box.width < frame.x + frame.width);
        assert.ok(box.y > frame.y && box.y + box.height < frame.y + frame.height);
        for (const line of lines) assert.ok(textWidth(line, 12) < box.width, line);
      }
    }
  });

  test('has wires beside each other where they do not meet', () => {
    const link = (name: string) => ({ name, kind: 'link' }) as const;
    const hosts = [
      { name: 'near', boxes: [link('eth0')] },
      { name: 'router', boxes: [link('eth0'), link('eth1')] },
      { name: 'far', boxes: [link('eth0')] },
    ];
    const wires = [
      { name: 'a', ends: ['near/eth0', 'router/eth0'] },
      { name: 'b', ends: ['router/eth1', 'far/eth0'] },
    ];
    const across = { name: 'c', ends: ['near/eth0', 'far/eth0'] };
    const heightOf = (svg: string) => Number(/height="(\d+)"/.exec(svg)?.[1]);
    const two = heightOf(topologyPicture({ title: 't', hosts, wires }));
    const three = heightOf(topologyPicture({ title: 't', hosts, wires: [...wires, across] }));
    assert.equal(two, heightOf(topologyPicture({ title: 't', hosts, wires: wires.slice(0, 1) })));
    assert.ok(three > two);
  });

  test('says which name is wrong', () => {
    const host = (boxes: HostPicture['boxes']) => ({ title: 't', hosts: [{ name: 'h', boxes }] });
    const box = (name: string, ...to: string[]) => ({ name, kind: 'bridge', to }) as const;
    assert.throws(() => topologyPicture(host([box('a', 'nobody')])), /h has no nobody to join/);
    assert.throws(() => topologyPicture(host([box('a', 'b'), box('b', 'a')])), / is joined to itself/);
    assert.throws(
      () => topologyPicture(host([box('a', 'x'), box('b', 'y'), box('c', 'x'), box('x'), box('y')])),
      /x would cover y/,
    );
    const wires = [{ name: 'w', ends: ['h/eth9'] }];
    assert.throws(() => topologyPicture({ ...host([box('a')]), wires }), /no h\/eth9 in the picture/);
  });
});
