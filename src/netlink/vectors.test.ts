/**
 * Our messages against those of `ip` and `bridge`, and our reading of the kernel's answers, by captured bytes. Encoders
 * differ in order, padding and flags of attributes, so messages are compared by what they decode to.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseVector, protocolOf, type Vector } from '../../test/support/netlink-vector.ts';
import { formatHex, written } from '../base/bytes.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { encodeAnnouncement } from '../testing/netlink/fake-messages.ts';
import { isAnnouncement } from '../testing/netlink/fake-state.ts';
import { NLM_F_ACK, NLM_F_REQUEST } from './constants.ts';
import { formatPayload } from './debug.ts';
import type { Message } from './message.ts';
import type { Change } from './protocol.ts';
import { change } from './route/change.ts';
import { ROUTE_PROTOCOL } from './route/protocol.ts';
import { TC_H_ROOT } from './route/traffic-constants.ts';
import { decodeFilter, decodeQdisc } from './route/traffic-control.ts';
import { decodeKernelEvent } from './route/watch.ts';

const DIRECTORY = join(import.meta.dirname, '../../test/vectors/netlink');

const ip = (text: string) => Ip.parse(text);
const prefix = (text: string) => Prefix.parse(text);
const mac = Mac.parse('02:00:00:00:00:01');
const peerMac = Mac.parse('02:00:00:00:00:02');
const zeroMac = Mac.parse('00:00:00:00:00:00');

/** The veth link of most vectors, and the vxlan link of the others. */
const V0 = 3;
const VX = 2;
const ONLINK = 4;
/** `bridge fdb` says "permanent" with two bits, "static" with two others. */
const PERMANENT = 0xc0;
const STATIC = 0x42;

const vxlan = (info: object): Change => change.addLink({ name: 'vx', info: { kind: 'vxlan', ...info } });
const fdb = { index: VX, mac, destination: ip('192.168.65.4'), state: PERMANENT };
const peerRoute = { destination: prefix('10.3.2.0/24'), protocol: 77 };

/** What `ip` says of an ipip link's outer UDP header when there is none. */
const NO_ENCAP = { encapType: 0, encapFlags: 0, encapSourcePort: 0, encapDestinationPort: 0 };

/** For every captured request, the change that says the same. */
const OURS: Readonly<Record<string, Change>> = {
  'vxlan-add': change.addLink({
    name: 'flannel.88',
    info: { kind: 'vxlan', id: 88, link: V0, local: ip('192.168.65.3'), port: 4789, learning: false },
  }),
  'vxlan-options': vxlan({
    id: 16777215,
    link: V0,
    group: ip('239.1.1.1'),
    ttl: 9,
    tos: 4,
    df: 1,
    portRange: { low: 1000, high: 2000 },
    port: 4789,
    learning: false,
    proxy: true,
    rsc: true,
    l2miss: true,
    l3miss: true,
    ageing: 77,
    limit: 5,
    udpCsum: false,
    udpZeroCsum6Tx: true,
    udpZeroCsum6Rx: true,
    remcsumTx: true,
    remcsumRx: true,
    gbp: true,
  }),
  'vxlan-external': vxlan({ collectMetadata: true, gpe: true, learning: false, port: 4789 }),
  'vxlan-ttl-inherit': vxlan({
    id: 7,
    local: ip('fd00::1'),
    group: ip('fd00::2'),
    ttlInherit: true,
    label: 0x12345,
    learning: true,
    port: 4789,
  }),
  'vxlan-multicast': vxlan({
    id: 7,
    link: V0,
    group: ip('ff05::100'),
    ttl: 0,
    learning: true,
    limit: 100,
    port: 4789,
    udpZeroCsum6Rx: false,
  }),
  'vxlan-vnifilter': vxlan({ collectMetadata: true, vnifilter: true, learning: false, port: 4789 }),
  'vxlan-change': change.changeLink(4, {
    info: { kind: 'vxlan', ageing: 60, learning: true, local: ip('192.168.65.3') },
  }),
  'ipip-add': change.addLink({
    name: 'flannel.ipip',
    info: {
      kind: 'ipip',
      link: V0,
      local: ip('192.168.65.3'),
      remote: ip('192.168.65.4'),
      ttl: 64,
      tos: 4,
      pmtuDiscovery: true,
      protocol: 0,
      fwmark: 7,
      ...NO_ENCAP,
    },
  }),
  'ipip-gue': change.addLink({
    name: 'ip0',
    info: {
      kind: 'ipip',
      link: 0,
      remote: ip('192.168.65.4'),
      ttl: 0,
      tos: 0,
      pmtuDiscovery: false,
      protocol: 0,
      fwmark: 0,
      ...NO_ENCAP,
      encapType: 2,
      encapFlags: 1,
      encapDestinationPort: 6080,
    },
  }),
  'ipip-external': change.addLink({
    name: 'ip0',
    info: { kind: 'ipip', protocol: 0, collectMetadata: true },
  }),
  'wireguard-add': change.addLink({ name: 'flannel-wg', info: { kind: 'wireguard' } }),
  'veth-master': change.addLink({ name: 'v0', master: 2, info: { kind: 'veth', peer: { name: 'v1' } } }),
  'veth-add': change.addLink({
    name: 'v0',
    mtu: 1400,
    mac,
    info: { kind: 'veth', peer: { name: 'v1', mtu: 1300, mac: peerMac } },
  }),
  'bridge-add': change.addLink({
    name: 'br0',
    info: { kind: 'bridge', forwardDelay: 200, ageingTime: 1000, multicastSnooping: false, stpState: 0 },
  }),
  'bridge-vlan': change.addLink({
    name: 'br0',
    info: { kind: 'bridge', vlanFiltering: true, multicastSnooping: true },
  }),
  'macvlan-passthru': change.addLink({
    name: 'mv0',
    lower: V0,
    info: { kind: 'macvlan', mode: 'passthru', flags: 1 },
  }),
  'macvlan-add': change.addLink({ name: 'mv0', lower: V0, info: { kind: 'macvlan', mode: 'bridge' } }),
  'link-set': change.changeLink(V0, { mac, mtu: 1400, txQueueLength: 500, up: true }),
  'link-master': change.changeLink(V0, { master: 4 }),
  'link-release': change.changeLink(V0, { master: 0 }),
  'link-rename': change.changeLink(V0, { name: 'renamed' }),
  'link-alias': change.changeLink(V0, { alias: 'container-7' }),
  'link-delete': change.deleteLink(V0),
  'address-replace': change.replaceAddress({ index: V0, ip: ip('10.3.1.0'), length: 32 }),
  'address-broadcast': change.replaceAddress({
    index: V0,
    ip: ip('192.168.65.3'),
    length: 24,
    broadcast: ip('192.168.65.255'),
    label: 'v0:1',
    scope: 253,
  }),
  'address-ipv6': change.replaceAddress({ index: V0, ip: ip('fd00::1'), length: 64, flags: 0x02 }),
  'address-delete': change.deleteAddress({ index: V0, ip: ip('10.3.1.0'), length: 32 }),
  'route-onlink': change.replaceRoute({ ...peerRoute, gateway: ip('10.3.2.0'), oif: VX, flags: ONLINK }),
  'route-nexthop': change.replaceRoute({ ...peerRoute, nexthopId: 5 }),
  'route-encap': change.replaceRoute({
    destination: prefix('10.3.2.0/24'),
    oif: VX,
    encap: { id: 88n, destination: ip('192.168.65.4'), ttl: 64 },
  }),
  'route-mtu-table': change.replaceRoute({
    destination: prefix('10.4.0.0/16'),
    oif: VX,
    table: 1000,
    priority: 7,
    mtu: 1300,
  }),
  'route-default': change.replaceRoute({ gateway: ip('192.168.65.1'), preferredSource: ip('192.168.65.3') }),
  'route-ipv6': change.replaceRoute({
    destination: prefix('fd01::/64'),
    gateway: ip('fd01::'),
    oif: VX,
    flags: ONLINK,
    protocol: 77,
  }),
  'route-ipv6-device': change.replaceRoute({ destination: prefix('fd01::/64'), oif: VX }),
  'route-blackhole': change.replaceRoute({ destination: prefix('10.9.0.0/16'), type: 6 }),
  'route-delete': change.deleteRoute({ ...peerRoute, oif: VX }),
  'nexthop-replace': change.replaceNexthop({
    id: 5,
    family: 'ipv4',
    gateway: ip('10.3.2.0'),
    oif: VX,
    flags: ONLINK,
    protocol: 77,
  }),
  'nexthop-blackhole': change.replaceNexthop({ id: 6, family: 'ipv4', blackhole: true }),
  'nexthop-delete': change.deleteNexthop(6),
  'neighbor-replace': change.replaceNeighbor({ index: VX, ip: ip('10.3.2.0'), mac }),
  'neighbor-ipv6': change.replaceNeighbor({ index: VX, ip: ip('fd00::2'), mac }),
  'neighbor-delete': change.deleteNeighbor({ index: VX, ip: ip('10.3.2.0') }),
  'fdb-replace': change.replaceFdb(fdb),
  'fdb-options': change.replaceFdb({ ...fdb, port: 8472, vni: 7 }),
  'fdb-append': change.appendFdb({ ...fdb, mac: zeroMac }),
  'fdb-delete': change.deleteFdb(fdb),
  'fdb-bridge': change.replaceFdb({ index: V0, mac, flags: 4, state: STATIC }),
  'rule-add': change.addRule({
    family: 'ipv4',
    source: prefix('10.0.0.0/8'),
    destination: prefix('172.16.0.0/12'),
    fwmark: 7,
    fwmask: 0xff,
    iifName: 'lo',
    priority: 100,
    table: 1000,
  }),
  'rule-delete': change.deleteRule({
    family: 'ipv6',
    source: prefix('fd00::/8'),
    priority: 100,
    table: 100,
  }),
};

const vectors = new Map<string, Vector>(
  readdirSync(DIRECTORY).map(file => [
    file.replace(/\.txt$/, ''),
    parseVector(readFileSync(join(DIRECTORY, file), 'utf8')),
  ]),
);

/** Values whose contents `deepEqual` would not see, as texts. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, part: unknown) => {
      // A flag is false by being absent, but newer kernels say so.
      if (key === 'ttlInherit' && part === false) return undefined;
      if (part instanceof Uint8Array) return formatHex(part);
      return typeof part === 'bigint' ? `${part}` : part;
    }),
  );
}

const meaning = ({ type, flags, payload }: Pick<Message, 'type' | 'flags' | 'payload'>) => ({
  type,
  flags: flags & ~(NLM_F_REQUEST | NLM_F_ACK),
  decoded: plain(ROUTE_PROTOCOL.decode({ type, flags, payload, sequence: 0, port: 0 })),
});

describe('a captured message decodes as it is written down', () => {
  for (const [name, vector] of vectors) {
    test(name, () => {
      for (const { message, decoded } of vector.messages)
        assert.equal(formatPayload(protocolOf(vector), message), decoded);
    });
  }
});

function requestOf(ours: Change): Pick<Message, 'type' | 'flags' | 'payload'> {
  return { type: ours.type, flags: ours.flags, payload: written(writer => ours.write(writer)) };
}

describe('our request says what theirs says', () => {
  for (const [name, { command, messages }] of vectors) {
    if (name.startsWith('reply-')) continue;
    test(command, () => {
      const [theirs] = messages;
      const ours = OURS[name];
      assert.ok(theirs !== undefined && ours !== undefined, `there is a change for ${name}`);
      assert.deepEqual(meaning(requestOf(ours)), meaning(theirs.message));
    });
  }
});

test('queues and filters of links are read', () => {
  const replyOf = (name: string) => {
    const reply = vectors.get(name)?.messages.at(-1);
    assert.ok(reply !== undefined);
    return reply.message.payload;
  };
  const queue = decodeQdisc(replyOf('reply-qdisc'));
  assert.deepEqual([queue?.kind, queue?.parent, queue?.drops], ['tbf', TC_H_ROOT, 0]);
  const filter = decodeFilter(replyOf('reply-filter'));
  assert.deepEqual([filter?.kind, filter?.priority, filter?.protocol], ['u32', 7, 0x0800]);
});

describe('an object from the kernel survives our encoder', () => {
  for (const [name, { command, messages }] of vectors) {
    if (protocolOf({ command }) !== ROUTE_PROTOCOL) continue;
    const replies = messages.filter(({ direction }) => direction === 'reply');
    // Queues and filters are only listed.
    if (replies.length === 0 || command.startsWith('tc ')) continue;
    test(name, () => {
      for (const { message } of replies) {
        const event = decodeKernelEvent(message);
        assert.ok(event !== undefined && isAnnouncement(event));
        const again = decodeKernelEvent({ ...message, ...encodeAnnouncement(event) });
        assert.deepEqual(plain(again), plain(event));
      }
    });
  }
});
