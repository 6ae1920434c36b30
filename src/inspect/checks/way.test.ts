import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from '../../../test/support/look-facts.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Route, Rule } from '../../netlink/route/objects.ts';
import { faultOf, type OverlayWay, type WayFacts } from './way.ts';

const NAMES = ['', 'lo', 'eth0', 'flannel.88', 'docker0'];
const main: Rule = { family: 'ipv4', priority: 32766, table: 254, action: 1, unknown: [] };
const route = (destination: string, oif: number): Route => ({
  destination: Prefix.parse(destination),
  family: 'ipv4',
  table: 254,
  protocol: 3,
  scope: 0,
  type: 1,
  flags: 0,
  oif,
  unknown: [],
});
const facts: WayFacts = {
  rules: [main],
  routes: [route('10.3.1.0/24', 4), route('10.3.2.0/24', 3)],
  addresses: [],
  nameOf: index => NAMES[index] ?? '',
  forwards: () => true,
  rpFilter: () => 0,
};
/** A packet of a peer that comes in over the underlay although it is reached by the tunnel. */
const way: OverlayWay = {
  direction: 'in',
  peer: 'docker2',
  packet: { destination: Ip.parse('10.3.1.2'), source: Ip.parse('10.3.2.2'), input: 'eth0' },
  subnetLength: 24,
  expected: ['docker0'],
  answer: { refusal: 'EXDEV' },
};

test('the strict source filter is named only where it is strict and the way back is another', () => {
  const strict = faultOf(way, { ...facts, rpFilter: link => (link === 'eth0' ? 1 : 0) });
  assert.equal(strict?.code, 'STRICT_RP_FILTER');
  assert.deepEqual(strict?.fix, [['sysctl', '-w', 'net.ipv4.conf.eth0.rp_filter=2']]);
  assert.match(strict?.reason('them') ?? '', /eth0 discards them: answers to them leave by flannel.88/);
  const other = [
    faultOf(way, facts),
    faultOf({ ...way, packet: { ...way.packet, input: 'flannel.88' } }, { ...facts, rpFilter: () => 1 }),
  ];
  assert.deepEqual(
    other.map(fault => fault?.code),
    ['ROUTE_REFUSED', 'ROUTE_REFUSED'],
    'what is not known is said as what it is',
  );
});

test('a route is right by its link, and on a link of others by its gateway', () => {
  const out: OverlayWay = {
    ...way,
    direction: 'out',
    expected: ['eth0'],
    gateways: [Ip.parse('192.168.65.4')],
    shared: ['eth0'],
    answer: { route: route('10.3.2.0/24', 2) },
  };
  assert.equal(faultOf(out, facts)?.code, 'ROUTE_CAPTURES', 'without a gateway it leads to no host');
  const by = (gateway: string) =>
    faultOf({ ...out, answer: { route: { ...route('10.3.2.0/24', 2), gateway: Ip.parse(gateway) } } }, facts);
  assert.equal(by('192.168.65.4'), undefined);
  assert.equal(by('192.168.65.9')?.code, 'ROUTE_CAPTURES');
});

test('an address that the host has beside a container is taken away from the link that has it', () => {
  const local = { ...route('10.3.1.2/32', 1), type: 2, table: 255 };
  const remedyOf = (protocol: number) => {
    const entry = { ...local, protocol };
    return faultOf({ ...way, answer: { route: local, entry } }, facts)?.remedy.replace(/ {2}#.*/, '');
  };
  assert.equal(remedyOf(2), 'ip address delete 10.3.1.2 dev lo');
  assert.match(remedyOf(3) ?? '', /^ip route delete local 10\.3\.1\.2 dev lo table local/);
});

test('a route of type throw is what leaves a packet without one', () => {
  const thrown = { ...route('10.3.2.2/32', 0), oif: undefined, type: 9 };
  const out: OverlayWay = {
    ...way,
    direction: 'out',
    packet: { destination: Ip.parse('10.3.2.2') },
    answer: { refusal: 'ENETUNREACH' },
  };
  const { oif: _, ...entry } = thrown;
  const fault = faultOf(out, { ...facts, routes: [route('10.3.2.0/24', 3), entry] });
  assert.deepEqual(
    [fault?.code, fault?.remedy.replace(/ {2}#.*/, '')],
    ['ROUTE_BLACKHOLE', 'ip route delete throw 10.3.2.2'],
  );
  assert.equal(faultOf(out, { ...facts, routes: [] })?.code, 'ROUTE_MISSING');
});

test('the route to containers is made again as the kernel made it with the address of the bridge', () => {
  const missing: OverlayWay = { ...way, answer: { refusal: 'ENETUNREACH' } };
  const remedy = (addresses: WayFacts['addresses']) =>
    faultOf(missing, { ...facts, routes: [], addresses })?.remedy;
  assert.equal(
    remedy([addressOf(4, '10.3.1.1/24')]),
    'ip route add 10.3.1.0/24 dev docker0 proto kernel scope link src 10.3.1.1',
  );
  assert.match(remedy([]) ?? '', /^give the bridge/);
});
