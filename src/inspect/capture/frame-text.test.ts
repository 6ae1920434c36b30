import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '../../../test/support/status.ts';
import { parseHex } from '../../base/bytes.ts';
import { Ip } from '../../base/ip.ts';
import { ipPacket, tcpPacket } from '../../testing/packets.ts';
import { decodeFrame } from '../decode/decode-frame.ts';
import { captureLinks } from './capture-links.ts';
import { frameJson, frameLine, frameTree } from './frame-text.ts';
import { knownHostsIn } from './known-hosts.ts';
import { ADDRESS_ITSELF, shortForm } from './short-form.ts';

const VXLAN_ECHO = parseHex(`
  a2cf5607019c 7a287947af10 0800
  45000086 4fc70000 40112748 c0a84103 c0a84104
  84a912b5 007203dc 08000000 00005800
  020000000004 020000000003 0800
  45000054 37c14000 4001828d bcac0300 bcac0402 0800bd26 1b730001 ${'00'.repeat(56)}`);

const seen = (bytes: Uint8Array, length = bytes.length) => ({
  frame: { link: 2, time: 1_790_000_000_123_456_789n, type: 'outgoing', length, bytes } as const,
  link: { index: 2, name: 'eth0', linkType: 'ethernet' } as const,
  layers: decodeFrame(bytes),
});
const OPTIONS = { nameOf: ADDRESS_ITSELF, linkWidth: 5 };
const short = (packet: Uint8Array) => shortForm(decodeFrame(packet, { linkType: 'ip' }), ADDRESS_ITSELF);
const between = { from: '10.0.0.1', to: '10.0.0.2' };

test('a frame is a line, the tunnel first', () => {
  assert.equal(
    frameLine(seen(VXLAN_ECHO), OPTIONS),
    '14:13:20.123 eth0  out 192.168.65.3 > 192.168.65.4 vni 88 | 188.172.3.0 > 188.172.4.2 ICMP echo request 1',
  );
  assert.match(
    frameLine(seen(VXLAN_ECHO.subarray(0, 60), 134), OPTIONS),
    /\(IPv4 packet: .*\) \(60 of 134 bytes\)$/,
  );
});

test('a frame is a tree, what is in the tunnel further in', () => {
  assert.deepEqual(frameTree(seen(VXLAN_ECHO), OPTIONS).split('\n').slice(1), [
    '  ethernet       7a:28:79:47:af:10 > a2:cf:56:07:01:9c, type 0x0800',
    '  ipv4           192.168.65.3 > 192.168.65.4, ttl 64, protocol 17, length 134, id 20423, checksum 0x2748',
    '  udp            33961 > 4789, length 114, checksum 0x03dc',
    '  vxlan          vni 88, flags 0x08',
    '    ethernet       02:00:00:00:00:03 > 02:00:00:00:00:04, type 0x0800',
    '    ipv4           188.172.3.0 > 188.172.4.2, ttl 64, protocol 1, length 84, id 14273, may not be fragmented, checksum 0x828d',
    '    icmp           echo request 1, type 8, code 0, id 7027, checksum 0xbd26',
    '    payload        56 bytes',
  ]);
});

test('a frame is one JSON document', () => {
  const text = frameJson(seen(VXLAN_ECHO));
  assert.doesNotMatch(text, /\n/);
  const { layers, ...rest } = JSON.parse(text) as { layers: { layer: string; source?: string }[] };
  assert.deepEqual(rest, {
    time: '2026-09-21T14:13:20.123456Z',
    link: 'eth0',
    direction: 'out',
    length: 148,
    captured: 148,
  });
  assert.deepEqual(layers[5]?.source, '188.172.3.0');
});

test('every protocol has its words', () => {
  assert.equal(
    short(tcpPacket({ ...between, ports: [5000, 80], flags: 0x18 }, new Uint8Array(7))),
    '10.0.0.1:5000 > 10.0.0.2:80 TCP PSH ACK 7 bytes',
  );
  assert.equal(
    short(tcpPacket({ from: 'fd00::1', to: 'fd00::2', ports: [5000, 80], flags: 2 }, new Uint8Array())),
    '[fd00::1]:5000 > [fd00::2]:80 TCP SYN',
  );
  assert.equal(
    short(ipPacket({ ...between, protocol: 17, fragment: 185 }, new Uint8Array(8))),
    '10.0.0.1 > 10.0.0.2 protocol 17, 8 bytes, last fragment at 1480',
  );
  const quoted = ipPacket({ from: '10.0.0.2', to: '10.0.0.3', protocol: 6 }, new Uint8Array(8));
  assert.equal(
    short(ipPacket({ ...between, protocol: 1 }, Uint8Array.of(3, 4, 0, 0, 0, 0, 5, 120, ...quoted))),
    '10.0.0.1 > 10.0.0.2 ICMP fragmentation needed, mtu 1400, for 10.0.0.2 > 10.0.0.3',
  );
  assert.equal(
    short(ipPacket({ ...between, protocol: 4 }, ipPacket({ ...between, protocol: 47 }, new Uint8Array(4)))),
    '10.0.0.1 > 10.0.0.2 ipip | 10.0.0.1 > 10.0.0.2 protocol 47, 4 bytes',
  );
  const arp = '0806 0001 0800 06 04 0001 020000000003 0a000001 000000000000 0a000002';
  const frame = parseHex(`ffffffffffff 020000000003 8100 0064 ${arp}`);
  assert.equal(shortForm(decodeFrame(frame), ADDRESS_ITSELF), 'vlan 100 ARP who has 10.0.0.2, tell 10.0.0.1');
});

test('hosts that the agent knows have names, which cannot be more than a word', () => {
  const document = status();
  const [peer] = document.peers;
  assert.ok(peer);
  const hosts = knownHostsIn({ ...document, peers: [{ ...peer, hostName: 'a\u001b[2J b' }] });
  assert.deepEqual(hosts.links, ['eth0', 'flannel.88']);
  assert.deepEqual(hosts.vxlanPorts, [4789]);
  assert.equal(hosts.nameOf(Ip.parse('192.168.65.3')), 'docker1');
  assert.equal(hosts.nameOf(Ip.parse('192.168.65.4')), 'a\\u001b[2J\\u0020b');
  assert.equal(hosts.nameOf(Ip.parse('192.168.65.5')), '192.168.65.5');
  assert.deepEqual(hosts.addressesOf('a\u001b[2J b')?.map(String), ['192.168.65.4/32', '188.172.9.0/24']);
});

test('links are found by name, and what cannot be decoded is refused', () => {
  const link = (index: number, name: string, type: number) =>
    ({ index, name, type, flags: 0, up: true, running: true, unknown: [] }) as never;
  const all = [link(1, 'lo', 772), link(2, 'tun0', 65_534), link(3, 'can0', 280)];
  assert.deepEqual(
    captureLinks(all, undefined).map(({ name, linkType }) => `${name} ${linkType}`),
    ['lo ethernet', 'tun0 ip'],
  );
  assert.throws(() => captureLinks(all, ['eth7']), { code: 'NOT_FOUND', hint: 'there are lo, tun0, can0' });
  assert.throws(() => captureLinks(all, ['can0']), { code: 'USAGE', message: /ARPHRD 280/ });
});
