import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseHex } from '../../src/base/bytes.ts';
import { treeOf } from '../../src/inspect/capture/tree.ts';
import { decodeFrame } from '../../src/inspect/decode/decode-frame.ts';
import { capturedLayers } from './captured-layers.ts';
import { labPicture } from './lab-picture.ts';
import { topologyPicture } from './topology-picture.ts';

/** Outer Ethernet, IPv4 and UDP to 4789, VXLAN 88, inner Ethernet. */
const TUNNEL = parseHex(
  '429dc169ef70 967ebb1b33de 0800 45000086 0aa10000 40116c6e c0a84103 c0a84104 bc7012b5 007203dc 08000000 00005800' +
    'cae7a8175c44 e65f22c7dadb',
);
/** IPv4 and an echo request with data of two bytes. */
const ECHO = parseHex('0800 4500001e ad774000 3f01f5d3 bcacb102 bcac6e02 08004411 00130000 6162');
/** ARP, who has 10.0.0.2. */
const ARP = parseHex('0806 0001 0800 0604 0001 e65f22c7dadb 0a000001 000000000000 0a000002');
/** IPv4 and TCP with SYN. */
const SYN = parseHex(
  '0800 45000028 00010000 40060000 bcacb102 bcac6e02 c0000050 00000007 00000000 5002fa00 00000000',
);

const frame = (inner: Uint8Array) => Uint8Array.from([...TUNNEL, ...inner]);

describe('layers of a capture', () => {
  for (const [name, bytes] of Object.entries({ ECHO, ARP, SYN })) {
    test(`are what was printed: ${name}`, () => {
      const layers = decodeFrame(frame(bytes));
      const lines = ['18:41:23.882 eth0 in  a > b', ...treeOf(layers, String)];
      const read = capturedLayers([...lines, ...lines].join('\n'));
      assert.equal(read.length, 2);
      assert.deepEqual(treeOf(read[0] ?? [], String), treeOf(layers, String));
      assert.deepEqual(
        read[1]?.map(({ layer }) => layer),
        layers.map(({ layer }) => layer),
      );
    });
  }

  test('need addresses', () => {
    const text = '18:41:23.882 eth0 in  a > b\n  ipv4  docker1 > docker2, ttl 64';
    assert.throws(() => capturedLayers(text), /docker1/);
  });
});

describe('a picture of a lab', () => {
  const links = (address: string) => [{ segment: 'underlay', address }];
  const topology = {
    segments: { underlay: { subnet: '10.1.0.0/24', mtu: 1400 }, unused: {} },
    hosts: {
      vm1: { links: links('10.1.0.1'), containers: ['c1'], bridge: '188.172.50.1/24' },
      vm2: { links: links('10.1.0.2') },
    },
  };

  test('has what the topology says', () => {
    const { hosts, wires } = labPicture(topology, { title: 't' });
    const shown = hosts.map(({ boxes }) => boxes.map(({ name, lines = [], to }) => [name, ...lines, to]));
    assert.deepEqual(shown, [
      [
        ['c1', 'docker0'],
        ['docker0', '188.172.50.1/24', 'eth0'],
        ['eth0', '10.1.0.1/24', 'MTU 1400', undefined],
      ],
      [['eth0', '10.1.0.2/24', 'MTU 1400', undefined]],
    ]);
    assert.deepEqual(wires, [
      { name: 'underlay', lines: ['10.1.0.0/24', 'MTU 1400'], ends: ['vm1/eth0', 'vm2/eth0'] },
    ]);
  });

  test('has what the experiment makes, in its place', () => {
    const vxlan = { name: 'vxlan1', kind: 'tunnel', to: 'eth0' } as const;
    const bridge = { name: 'docker0', kind: 'bridge', to: 'vxlan1' } as const;
    const picture = labPicture(topology, {
      title: 't',
      made: { vm1: { lines: ['a note'], boxes: [bridge, vxlan] }, vm2: { boxes: [vxlan] } },
      lines: [{ kind: 'tunnel', name: 'VNI 1', ends: ['vm1/vxlan1', 'vm2/vxlan1'] }],
    });
    assert.deepEqual(
      picture.hosts[0]?.boxes.map(({ name }) => name),
      ['docker0', 'vxlan1', 'c1', 'eth0'],
    );
    assert.match(topologyPicture(picture), />a note<.*>VNI 1</s);
    assert.throws(() => labPicture(topology, { title: 't', made: { vm3: {} } }), /has no host vm3/);
  });
});
