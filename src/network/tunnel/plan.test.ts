import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VXLAN_OVERHEAD } from '../../backend/vxlan.ts';
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix, parseInterfaceAddress } from '../../base/prefix.ts';
import { RTN_BROADCAST, RTN_LOCAL, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Link, Route } from '../../netlink/route/objects.ts';
import { addressFixture, linkFixture } from '../../testing/network/link-fixtures.ts';
import { fc } from '../../testing/properties.ts';
import { clashesOf } from './clashes.ts';
import type { ClashFacts } from './facts.ts';
import { isPlan, planTunnel } from './plan.ts';
import { isTunnel, readTunnel, type TunnelSpec } from './spec.ts';

const MAC = Mac.parse('02:00:00:00:00:11');

const link = (index: number, name: string, more: Partial<Link> = {}) =>
  linkFixture(index, name, { mtu: 1500, ...more });

const route = (destination: string | undefined, oif: number, more: Partial<Route> = {}): Route => ({
  family: destination?.includes(':') ? 'ipv6' : 'ipv4',
  table: 254,
  protocol: 2,
  scope: 253,
  type: RTN_UNICAST,
  flags: 0,
  oif,
  unknown: [],
  ...(destination !== undefined && { destination: Prefix.parse(destination) }),
  ...more,
});

/** A host with eth0 172.31.0.106/24, and eth1 10.5.0.1/24. */
const HOST: ClashFacts = {
  links: [link(2, 'eth0'), link(3, 'eth1')],
  addresses: [addressFixture(2, '172.31.0.106/24'), addressFixture(3, '10.5.0.1/24')],
  way: route('172.31.0.107/32', 2),
  overDev: [],
  routes: [
    route('172.31.0.0/24', 2),
    route('10.5.0.0/24', 3),
    route(undefined, 2, { gateway: Ip.parse('172.31.0.1') }),
  ],
  ports: [],
};

const vxlan = (index: number, name: string, id: number, more: object = {}) =>
  link(index, name, { info: { kind: 'vxlan', id, port: 4789, group: Ip.parse('172.31.0.9'), ...more } });

function spec(change: object = {}): TunnelSpec {
  const read = readTunnel({
    name: 'vxlan1',
    vni: 1,
    remote: '172.31.0.107',
    port: 4789,
    addresses: ['10.0.0.106/24'],
    learning: true,
    ...change,
  });
  assert.ok(isTunnel(read), JSON.stringify(read));
  return read;
}

/** What the host lacks for it. */
function lacking(change: object, facts: Partial<ClashFacts>): string[] {
  const planned = planTunnel(spec(change), { ...HOST, ...facts }, MAC);
  return isPlan(planned) ? [] : planned.map(({ path, message }) => `${path}: ${message}`);
}

/** The overlay, and a tunnel that has no link just now. */
const PROMISED = {
  vnis: [{ vni: 88, owner: 'the overlay network' }],
  tunnels: [spec({ name: 'waits', vni: 9, addresses: ['10.9.0.1/24'] })],
};

const clashing = (change: object, facts: Partial<ClashFacts> = {}) =>
  clashesOf(spec(change), { ...HOST, ...facts }, PROMISED).map(({ path, message }) => `${path}: ${message}`);

describe('a plan', () => {
  test('is one vxlan link with its addresses', () => {
    const planned = planTunnel(spec({ dev: 'eth0' }), HOST, MAC);
    assert.ok(isPlan(planned));
    const { links, addresses, networks } = planned.host;
    assert.deepEqual(links, [
      {
        kind: 'vxlan',
        name: 'vxlan1',
        vni: 1,
        remote: Ip.parse('172.31.0.107'),
        port: 4789,
        learning: true,
        mtu: 1450,
        mac: MAC,
        gbp: false,
        underlayIndex: 2,
      },
    ]);
    assert.deepEqual(addresses, [{ link: 'vxlan1', address: parseInterfaceAddress('10.0.0.106/24') }]);
    assert.deepEqual(networks.map(String), ['10.0.0.0/24']);
  });

  test('without a named link leaves the way to the routes, and has the MTU of the one they choose', () => {
    const small = {
      ...HOST,
      links: [link(2, 'eth0', { mtu: 9000 }), link(3, 'eth1')],
      way: route('172.31.0.107/32', 2, { mtu: 1400 }),
    };
    const planned = planTunnel(spec(), small, MAC);
    assert.ok(isPlan(planned));
    const [made] = planned.host.links;
    assert.ok(made?.kind === 'vxlan');
    assert.deepEqual([made.underlayIndex, made.mtu], [0, 1350]);
  });

  test('fits the underlay exactly, in both families', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 68, max: 9000 }),
        fc.boolean(),
        fc.option(fc.integer({ min: 68, max: 9000 }), { nil: undefined }),
        (mtu, isIpv6, wanted) => {
          const remote = isIpv6 ? 'fd31::107' : '172.31.0.107';
          const facts = {
            ...HOST,
            links: [link(2, 'eth0', { mtu })],
            way: route(`${remote}/${isIpv6 ? 128 : 32}`, 2),
          };
          const planned = planTunnel(
            spec({ remote, ...(wanted !== undefined && { mtu: wanted }) }),
            facts,
            MAC,
          );
          const most = mtu - VXLAN_OVERHEAD[isIpv6 ? 'ipv6' : 'ipv4'];
          if (isPlan(planned))
            assert.ok(planned.mtu <= most && planned.mtu === (wanted ?? most) && planned.mtu >= 68);
          else assert.ok(most < 68 || (wanted !== undefined && wanted > most));
        },
      ),
    );
  });
});

for (const [what, change, facts, expected] of [
  [
    'the remote is here',
    {},
    { way: route('172.31.0.107/32', 1, { type: RTN_LOCAL }) },
    'remote: is an address of this host',
  ],
  [
    'the remote is everybody',
    {},
    { way: route('172.31.0.107/32', 2, { type: RTN_BROADCAST }) },
    'remote: is no address of one host',
  ],
  ['no route', {}, { way: undefined }, 'remote: this host has no route to it'],
  ['no such link', { dev: 'eth9' }, {}, 'dev: this host has no such link'],
  ['a link that is down', { dev: 'eth0' }, { links: [link(2, 'eth0', { up: false })] }, 'dev: is down'],
  ['another way', { dev: 'eth1' }, {}, 'remote: no route leads to it over eth1: it is reached over eth0'],
  ['a second way', { dev: 'eth1' }, { overDev: [route(undefined, 3)] }, undefined],
  [
    'a way for another',
    { dev: 'eth1' },
    { overDev: [route('172.31.9.0/24', 3)] },
    'remote: no route leads to it over eth1: it is reached over eth0',
  ],
  ['a group', { remote: undefined, group: '239.1.1.1', dev: 'eth0' }, { way: undefined }, undefined],
  ['a source that is not here', { local: '172.31.0.9' }, {}, 'local: is no address of this host'],
  ['a source that is', { local: '172.31.0.106' }, {}, undefined],
  ['an MTU too large', { mtu: 1451 }, {}, 'mtu: eth0 carries 1500, which leaves 1450 in the tunnel'],
  [
    'an underlay too small',
    { addresses: ['fd00::1/64'] },
    { links: [link(2, 'eth0', { mtu: 1329 })] },
    'dev: its MTU of 1329 leaves 1279 for the tunnel, which needs 1280',
  ],
  [
    'the tunnel itself as the way',
    {},
    { links: [link(2, 'vxlan1')] },
    'remote: is reached over vxlan1 itself',
  ],
  [
    'no bridge',
    { attach: 'br0', addresses: [] },
    { attachment: { message: 'is not there' } },
    'attach: is not there',
  ],
] as const) {
  test(`${what}: ${expected ?? 'nothing is missing'}`, () => {
    assert.deepEqual(lacking(change, facts as Partial<ClashFacts>), expected === undefined ? [] : [expected]);
  });
}

for (const [what, change, facts, expected] of [
  ['nothing', {}, {}, undefined],
  [
    'a name',
    {},
    { links: [...HOST.links, link(4, 'vxlan1')] },
    'name: this host has a link of this name, which its agent has not made',
  ],
  [
    'another name of a link',
    {},
    { links: [link(2, 'eth0', { altNames: ['vxlan1'] })] },
    'name: this host has a link of this name, which its agent has not made',
  ],
  [
    'the VNI on the same port',
    {},
    { links: [vxlan(4, 'x', 1)] },
    'vni: the link x has it on UDP port 4789 already',
  ],
  ['the VNI on another port', {}, { links: [vxlan(4, 'x', 1, { port: 8472 })] }, undefined],
  ['the VNI over IPv6', {}, { links: [vxlan(4, 'x', 1, { group: Ip.parse('fd31::9') })] }, undefined],
  [
    'the VNI of the overlay',
    { vni: 88 },
    {},
    'vni: is that of the overlay network: one of its packets and one of the tunnel would look the same',
  ],
  [
    'the VNI of a network, on another port',
    { vni: 7 },
    { links: [vxlan(4, 'tv-blue', 7, { port: 8472 })] },
    'vni: is that of the network of tv-blue: one of its packets and one of the tunnel would look the same',
  ],
  [
    'a port of a program',
    {},
    { ports: [{ address: Ip.parse('127.0.0.1'), port: 4789 }] },
    'port: a program of this host has this UDP port, at 127.0.0.1',
  ],
  [
    'a port of both families',
    {},
    { ports: [{ address: Ip.parse('::'), port: 4789 }] },
    'port: a program of this host has this UDP port, at ::',
  ],
  ['a port of the other family', {}, { ports: [{ address: Ip.parse('fd31::106'), port: 4789 }] }, undefined],
  [
    'a port of another tunnel',
    {},
    { links: [vxlan(4, 'x', 2)], ports: [{ address: Ip.parse('0.0.0.0'), port: 4789 }] },
    undefined,
  ],
  [
    'a port in another form',
    {},
    { links: [vxlan(4, 'x', 0, { collectMetadata: true })] },
    'port: the link x has this UDP port in another form (external, gbp or gpe)',
  ],
  ['an address', { addresses: ['10.5.0.1/24'] }, {}, 'addresses: eth1 has this address already'],
  ['a block', { addresses: ['10.5.0.9/24'] }, {}, 'addresses: 10.5.0.0/24 is reached over eth1 already'],
  [
    'a larger block',
    { addresses: ['10.5.0.9/16'] },
    {},
    'addresses: 10.5.0.0/24 is reached over eth1 already',
  ],
  [
    'a part of a wire',
    { addresses: ['10.5.0.130/25'] },
    {},
    'addresses: 10.5.0.0/24 is reached over eth1 already',
  ],
  [
    'a part of what a router has',
    { addresses: ['10.7.0.1/24'] },
    { routes: [route('10.0.0.0/8', 2, { gateway: Ip.parse('172.31.0.1') })] },
    undefined,
  ],
  ['the VNI of a tunnel that waits', { vni: 9 }, {}, 'vni: the tunnel waits has it on UDP port 4789 already'],
  [
    'the block of one',
    { addresses: ['10.9.0.200/28'] },
    {},
    'addresses: the tunnel waits has addresses of this block already',
  ],
  ['everything, by default', { addresses: ['10.7.0.1/24'] }, {}, undefined],
] as const) {
  test(`what is taken: ${what}: ${expected === undefined ? 'no clash' : 'refused'}`, () => {
    assert.deepEqual(
      clashing(change, facts as Partial<ClashFacts>),
      expected === undefined ? [] : [expected],
    );
  });
}
