import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Underlay } from '../../backend/backend.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredPeer } from '../../dataplane/desired.ts';
import type {
  Segment,
  SegmentEndpoint,
  SegmentMember,
  SegmentSnapshot,
} from '../../subnet/segment/segment.ts';
import { gatewayMac } from '../../subnet/segment/segment-mac.ts';
import { fc } from '../../testing/properties.ts';
import { segmentLinks, tunnelMac } from './segment-names.ts';
import { type HostSegmentPlan, isHostSegmentPlan, planHostSegment } from './segment-plan.ts';

const BLUE: Segment = {
  name: 'blue',
  id: '00112233445566aa',
  vni: 16777215,
  port: 4789,
  subnets: { ipv4: Prefix.parse('10.88.0.0/16') },
  gateways: { ipv4: Ip.parse('10.88.0.1') },
  internal: false,
  rangeLengths: { ipv4: 24 },
  docker: false,
  floodLimit: 1000,
  created: new Date(0),
  createRevision: 1n,
};

const underlay = (mtu = 1500): Underlay => ({
  link: { index: 2, name: 'eth0', mtu },
  ip: { ipv4: Ip.parse('192.168.65.1') },
  publicIp: { ipv4: Ip.parse('192.168.65.1') },
});

const stored = { storeLease: 1n, createRevision: 2n, modRevision: 3n };
const hostIp = (n: number) => Ip.parse(`192.168.65.${n}`);

function snapshotOf({
  segment = BLUE,
  members = [1, 2, 3],
  endpoints = [],
}: {
  readonly segment?: Segment;
  readonly members?: readonly number[];
  /** Container and host. */
  readonly endpoints?: readonly (readonly [number, number])[];
}): SegmentSnapshot {
  const member = (n: number): SegmentMember => ({ hostId: `h${n}`, addresses: { ipv4: hostIp(n) } });
  const endpoint = ([c, n]: readonly [number, number]): SegmentEndpoint => ({
    hostId: `h${n}`,
    ip: Ip.parse(`10.88.${c >> 8}.${c & 255}`),
    mac: Mac.fromKey(0x02_00_00_00_00_00 + c),
    container: `c${c}`,
  });
  return {
    segment,
    members: new Map(members.map(n => [`h${n}`, { ...member(n), ...stored }])),
    endpoints: new Map(endpoints.map(endpoint).map(one => [one.ip.key, { ...one, ...stored }])),
    refused: [],
    ranges: new Map(),
  };
}

function planned(snapshot: SegmentSnapshot, on = underlay()): HostSegmentPlan {
  const plan = planHostSegment(snapshot, on, 'h1');
  assert.ok(isHostSegmentPlan(plan));
  return plan;
}

const linesOf = (peers: readonly DesiredPeer[]) =>
  peers.flatMap(({ key, paths }) =>
    paths.flatMap(({ link, entries }) =>
      entries.map(entry => {
        const what = entry.kind === 'fdb' ? `${entry.mac} dst ${entry.destination}` : '';
        const which = entry.kind === 'bridge-fdb' ? `${entry.mac}` : '';
        const neighbor = entry.kind === 'neighbor' ? `${entry.ip} ${entry.mac}` : '';
        return `${key}: ${link} ${entry.kind} ${what}${which}${neighbor}`;
      }),
    ),
  );

describe('a segment', () => {
  test('floods nothing to this host, also under an id that it had before', () => {
    const before = { hostId: 'former', addresses: { ipv4: hostIp(1) }, ...stored };
    const { floods, peers } = planned({ ...snapshotOf({}), members: new Map([['former', before]]) });
    assert.deepEqual([floods, peers], [[], []]);
  });

  test('floods to the other members, and knows where endpoints are', () => {
    const { peers, floods } = planned(
      snapshotOf({
        endpoints: [
          [10, 1],
          [20, 2],
        ],
      }),
    );
    assert.deepEqual(floods.map(String), ['192.168.65.2', '192.168.65.3']);
    assert.deepEqual(linesOf(peers), [
      'member h2: tv-blue fdb 00:00:00:00:00:00 dst 192.168.65.2',
      'member h3: tv-blue fdb 00:00:00:00:00:00 dst 192.168.65.3',
      'endpoint 10.88.0.10: tb-blue neighbor 10.88.0.10 02:00:00:00:00:0a',
      'endpoint 10.88.0.20: tv-blue fdb 02:00:00:00:00:14 dst 192.168.65.2',
      'endpoint 10.88.0.20: tv-blue bridge-fdb 02:00:00:00:00:14',
      'endpoint 10.88.0.20: tb-blue neighbor 10.88.0.20 02:00:00:00:00:14',
    ]);
  });

  test('has nothing for an endpoint of a host that is not known to be a member', () => {
    const { peers } = planned(snapshotOf({ members: [1], endpoints: [[20, 2]] }));
    assert.deepEqual(linesOf(peers), []);
  });

  test('has the same gateway on every host, and a tunnel link of each host', () => {
    const { host } = planned(snapshotOf({}));
    const [bridge, tunnel] = host.links;
    assert.ok(bridge?.kind === 'bridge' && tunnel?.kind === 'vxlan');
    assert.equal(`${bridge.mac}`, `${gatewayMac(BLUE)}`);
    assert.ok(bridge.mac?.isUnicast);
    assert.notEqual(`${tunnelMac(BLUE, 'h1')}`, `${tunnelMac(BLUE, 'h2')}`);
    assert.deepEqual([tunnel.vni, tunnel.master, bridge.mtu, tunnel.mtu], [16777215, 'tb-blue', 1450, 1450]);
    assert.deepEqual(
      host.addresses.map(({ link, address }) => `${link} ${address.ip}/${address.length}`),
      ['tb-blue 10.88.0.1/16'],
    );
    const settings = host.sysctls.map(({ path, value }) => `${path} ${value}`);
    assert.ok(settings.includes('net/ipv4/conf/tb-blue/forwarding 1'));
    assert.ok(settings.includes('net/ipv6/conf/tv-blue/disable_ipv6 1'));
  });

  test('without a way out gives the host no address, and is not forwarded for', () => {
    const { host } = planned(snapshotOf({ segment: { ...BLUE, gateways: {}, internal: true } }));
    assert.deepEqual(host.addresses, []);
    assert.deepEqual(
      host.sysctls.find(({ path }) => path.endsWith('forwarding')),
      { link: 'tb-blue', path: 'net/ipv4/conf/tb-blue/forwarding', value: '0' },
    );
  });

  test('has the MTU that was given, or what the underlay leaves; more than that is a problem', () => {
    const withMtu = (mtu: number) => snapshotOf({ segment: { ...BLUE, mtu } });
    assert.equal(planned(withMtu(1400)).mtu, 1400);
    const { mtu, problems } = planned(withMtu(1460));
    assert.equal(mtu, 1450);
    assert.deepEqual(
      problems.map(({ path, value, message }) => [path, value, message].join(' ')),
      ['mtu 1460 is more than the 1450 that eth0 leaves with its MTU of 1500'],
    );
    assert.deepEqual(planHostSegment(snapshotOf({}), underlay(100), 'h1'), {
      obstacle: {
        path: 'MTU of eth0',
        value: 100,
        message: 'leaves 50 bytes for packets of the network, which needs 68',
        hint: 'raise it',
      },
    });
  });

  test('over IPv6 takes the addresses of that family, and names members that have none', () => {
    const on = { ...underlay(), ip: { ipv6: Ip.parse('fd00::1') }, publicIp: { ipv6: Ip.parse('fd00::1') } };
    const { mtu, floods, problems } = planned(snapshotOf({ members: [2] }), on);
    assert.deepEqual([mtu, floods], [1430, []]);
    assert.match(problems[0]?.message ?? '', /^has no IPv6 address/);
  });
});

test('links of all names fit into the kernel, and differ', () => {
  assert.deepEqual(segmentLinks({ name: 'twelve-chars' }), {
    bridge: 'tb-twelve-chars',
    tunnel: 'tv-twelve-chars',
  });
  const names = fc.stringMatching(/^[a-z0-9][a-z0-9_.-]{0,30}[a-z0-9]$/);
  fc.assert(
    fc.property(names, names, (one, other) => {
      const [a, b] = [segmentLinks({ name: one }), segmentLinks({ name: other })];
      assert.ok(a.bridge.length < 16 && a.tunnel.length < 16);
      assert.equal(a.bridge === b.bridge, one === other);
    }),
  );
});

test('every endpoint of a known host has one way, whatever there is', () => {
  const numbers = fc.integer({ min: 1, max: 6 });
  fc.assert(
    fc.property(
      fc.uniqueArray(numbers),
      fc.uniqueArray(fc.tuple(fc.integer({ min: 2, max: 60_000 }), numbers), { selector: ([c]) => c }),
      (members, endpoints) => {
        const { peers, floods } = planned(snapshotOf({ members, endpoints }));
        assert.equal(new Set(peers.map(({ key }) => key)).size, peers.length);
        assert.equal(floods.length, members.filter(n => n !== 1).length);
        for (const [c, n] of endpoints) {
          const ip = `10.88.${c >> 8}.${c & 255}`;
          const peer = peers.find(({ key }) => key === `endpoint ${ip}`);
          const kinds = peer?.paths.flatMap(({ entries }) => entries.map(({ kind }) => kind));
          const expected = n === 1 ? ['neighbor'] : ['fdb', 'bridge-fdb', 'neighbor'];
          assert.deepEqual(kinds, n === 1 || members.includes(n) ? expected : undefined);
        }
      },
    ),
  );
});
