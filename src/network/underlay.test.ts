/**
 *     eth0  10.0.0.5/24 (dynamic), fd00::5/64, fe80::5     default route, metric 100
 *     eth1  192.168.65.3/24, 192.168.65.4/24, fd01::3/64   default route, metric 50, IPv4 only
 *     eth2  169.254.7.7/16                                 MTU 0
 *     down  172.16.0.1/24                                  not up
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Family, Ip } from '../base/ip.ts';
import { byFamily, valuesOf } from '../base/per-family.ts';
import { parseInterfaceAddress } from '../base/prefix.ts';
import type { Address, Link, Route } from '../netlink/route/objects.ts';
import type { UnderlayCriteria } from './options.ts';
import { chooseUnderlay, type HostNetwork, isForeignTo } from './underlay.ts';

const link = (index: number, name: string, mtu: number, up = true): Link => ({
  index,
  name,
  type: 1,
  flags: 0,
  up,
  running: up,
  mtu,
});

const PERMANENT = 0x80;
const TEMPORARY = 0x01;
const DEPRECATED = 0x20;

const address = (index: number, text: string, flags = PERMANENT): Address => {
  const parsed = parseInterfaceAddress(text);
  return { ...parsed, index, family: parsed.ip.family, scope: 0, flags, unknown: [] };
};

const defaultRoute = (family: Family, oif: number, priority: number): Route => ({
  family,
  table: 254,
  protocol: 3,
  scope: 0,
  type: 1,
  flags: 0,
  oif,
  priority,
  unknown: [],
});

const host: HostNetwork = {
  links: [
    link(1, 'eth0', 1500),
    { ...link(2, 'eth1', 9000), altNames: ['enp3s0'] },
    link(3, 'eth2', 0),
    link(4, 'down', 1500, false),
  ],
  addresses: [
    address(1, 'fe80::5/64'),
    address(1, '10.0.0.5/24', 0),
    address(1, 'fd00::66/64', TEMPORARY),
    address(1, 'fd00::5/64'),
    address(2, '192.168.65.9/24', PERMANENT | DEPRECATED),
    address(2, '192.168.65.3/24'),
    address(2, '192.168.65.4/24'),
    address(2, 'fd01::3/64'),
    address(3, '169.254.7.7/16'),
    address(4, '172.16.0.1/24'),
  ],
  defaultRoutes: [defaultRoute('ipv4', 1, 100), defaultRoute('ipv4', 2, 50), defaultRoute('ipv6', 1, 1024)],
  defaultVxlanPort: 8472,
};

const none: UnderlayCriteria = { interfaces: [], patterns: [], publicIp: {} };

/** `eth1 192.168.65.3 (public 192.168.65.3) by ...`, or the reason. */
const decide = (criteria: Partial<UnderlayCriteria>, families: Family[] = ['ipv4'], at = host): string => {
  const choice = chooseUnderlay(at, { ...none, ...criteria }, families);
  if (!choice.found) return choice.reason;
  const { link: chosen, ip, publicIp } = choice.underlay;
  const parts = [chosen.name, ...valuesOf(ip)];
  const published = valuesOf(publicIp);
  return `${parts.join(' ')} publishes ${published.join(' ')} by ${choice.chosenBy}`;
};

describe('the interface', () => {
  const cases: readonly {
    readonly name: string;
    readonly criteria: Partial<UnderlayCriteria>;
    readonly families?: Family[];
    readonly want: string;
  }[] = [
    {
      name: 'default route with the lowest metric',
      criteria: {},
      want: 'eth1 192.168.65.3 publishes 192.168.65.3 by default route',
    },
    {
      name: 'two families need one device with both default routes',
      criteria: {},
      families: ['ipv4', 'ipv6'],
      want: 'eth0 10.0.0.5 fd00::5 publishes 10.0.0.5 fd00::5 by default route',
    },
    {
      name: 'IPv6 only',
      criteria: {},
      families: ['ipv6'],
      want: 'eth0 fd00::5 publishes fd00::5 by default route',
    },
    {
      name: 'by name',
      criteria: { interfaces: ['eth0'] },
      want: 'eth0 10.0.0.5 publishes 10.0.0.5 by --iface=eth0',
    },
    {
      name: 'by alternative name',
      criteria: { interfaces: ['enp3s0'] },
      want: 'eth1 192.168.65.3 publishes 192.168.65.3 by --iface=enp3s0',
    },
    {
      name: 'by address, which is then used',
      criteria: { interfaces: ['192.168.65.4'] },
      want: 'eth1 192.168.65.4 publishes 192.168.65.4 by --iface=192.168.65.4',
    },
    {
      name: 'by address, with two families',
      criteria: { interfaces: ['192.168.65.4'] },
      families: ['ipv4', 'ipv6'],
      want: 'eth1 192.168.65.4 fd01::3 publishes 192.168.65.4 fd01::3 by --iface=192.168.65.4',
    },
    {
      name: 'the first that works',
      criteria: { interfaces: ['nope', 'down', 'eth0'] },
      want: 'eth0 10.0.0.5 publishes 10.0.0.5 by --iface=eth0',
    },
    {
      name: 'pattern on addresses',
      criteria: { patterns: [/^192\.168\.65\.4$/] },
      want: 'eth1 192.168.65.4 publishes 192.168.65.4 by --iface-regex=^192\\.168\\.65\\.4$',
    },
    {
      name: 'pattern on names',
      criteria: { patterns: [/^eth[01]$/] },
      want: 'eth0 10.0.0.5 publishes 10.0.0.5 by --iface-regex=^eth[01]$',
    },
    {
      name: 'patterns come after names',
      criteria: { patterns: [/eth1/], interfaces: ['nope'] },
      want: 'eth1 192.168.65.3 publishes 192.168.65.3 by --iface-regex=eth1',
    },
    {
      name: 'public address of an interface selects it',
      criteria: { publicIp: byFamily(Ip.parse('10.0.0.5')) },
      want: 'eth0 10.0.0.5 publishes 10.0.0.5 by address 10.0.0.5',
    },
    {
      name: 'public address that no interface has',
      criteria: { publicIp: byFamily(Ip.parse('203.0.113.7')) },
      want: 'eth1 192.168.65.3 publishes 203.0.113.7 by default route',
    },
    {
      name: 'public address of the named interface is the one that is used',
      criteria: { interfaces: ['eth1'], publicIp: byFamily(Ip.parse('192.168.65.4')) },
      want: 'eth1 192.168.65.4 publishes 192.168.65.4 by --iface=eth1',
    },
    {
      name: 'public address of another interface than the named one is only published',
      criteria: { interfaces: ['eth0'], publicIp: byFamily(Ip.parse('192.168.65.3')) },
      want: 'eth0 10.0.0.5 publishes 192.168.65.3 by --iface=eth0',
    },
    {
      name: 'interfaces that cannot be used, each with its reason',
      criteria: { interfaces: ['nope', 'eth2', 'down'] },
      want:
        'no usable underlay interface: --iface=nope: no such interface; --iface=eth2: eth2 has no MTU; ' +
        '--iface=down: down is down',
    },
    {
      name: 'an address family that is missing',
      criteria: { interfaces: ['eth2', 'down', 'eth1'] },
      families: ['ipv4', 'ipv6'],
      want: 'eth1 192.168.65.3 fd01::3 publishes 192.168.65.3 fd01::3 by --iface=eth1',
    },
  ];
  for (const { name, criteria, families, want } of cases) {
    test(name, () => assert.equal(decide(criteria, families), want));
  }

  test('the route to an address gives device and source', () => {
    const route = { ...defaultRoute('ipv4', 2, 0), preferredSource: Ip.parse('192.168.65.4') };
    assert.equal(
      decide({ canReach: Ip.parse('192.168.65.77') }, ['ipv4'], { ...host, reach: route }),
      'eth1 192.168.65.4 publishes 192.168.65.4 by --iface-can-reach=192.168.65.77',
    );
  });

  test('no default route at all', () => {
    assert.equal(
      decide({}, ['ipv4'], { ...host, defaultRoutes: [] }),
      'no usable underlay interface: default route: there is none',
    );
    assert.equal(
      decide({}, ['ipv4', 'ipv6'], { ...host, defaultRoutes: [defaultRoute('ipv4', 1, 0)] }),
      'no usable underlay interface: default route: no link has one of each family',
    );
  });

  test('a default route over several links counts for each of them, the first one first', () => {
    const { oif: _none, ...shared } = defaultRoute('ipv4', 0, 0);
    const hop = (index: number) => [8, 0, 0, 0, index, 0, 0, 0];
    const unknown = [{ type: 9, payload: Uint8Array.of(...hop(1), ...hop(2)) }];
    assert.equal(
      decide({}, ['ipv4'], { ...host, defaultRoutes: [{ ...shared, unknown }] }),
      'eth0 10.0.0.5 publishes 10.0.0.5 by default route',
    );
  });

  test('an interface that has another name now is reported', () => {
    const renamed = {
      ...host,
      links: host.links.map(each => ({ ...each, name: each.name.replace('eth0', 'lan') })),
    };
    const choice = chooseUnderlay(renamed, { ...none, interfaces: ['eth0'] }, ['ipv4'], inUse('10.0.0.5'));
    assert.match(choice.found ? '' : choice.hint, /^eth0 was renamed to lan; name it with --iface/);
  });
});

test('a link-local address, which peers refuse, is used only when another one is published', () => {
  const at = { ...host, links: [link(3, 'eth2', 1500)] };
  assert.equal(
    decide({ interfaces: ['eth2'] }, ['ipv4'], at),
    'no usable underlay interface: --iface=eth2: eth2 has no usable IPv4 address',
  );
  assert.equal(
    decide({ interfaces: ['eth2'], publicIp: byFamily(Ip.parse('203.0.113.7')) }, ['ipv4'], at),
    'eth2 169.254.7.7 publishes 203.0.113.7 by --iface=eth2',
  );
});

const inUse = (text: string) => {
  const ip = byFamily(Ip.parse(text));
  return { link: { index: 1, name: 'eth0', mtu: 1500 }, ip, publicIp: ip };
};

describe('the address in use', () => {
  const choose = (criteria: Partial<UnderlayCriteria>, address: string, at = host) => {
    const used = inUse(address);
    const choice = chooseUnderlay(at, { ...none, ...criteria }, [Ip.parse(address).family], used);
    return choice.found ? valuesOf(choice.underlay.ip).join() : choice.reason;
  };

  test('stays when others, also better ones, are beside it', () => {
    assert.equal(choose({ interfaces: ['eth1'] }, '192.168.65.4'), '192.168.65.4');
    assert.equal(choose({ interfaces: ['eth0'] }, 'fd00::66'), 'fd00::66');
    assert.equal(choose({ patterns: [/^192/] }, '192.168.65.4'), '192.168.65.4');
  });

  test('gives way when it is gone, deprecated, or not the one that was asked for', () => {
    assert.equal(choose({ interfaces: ['eth1'] }, '192.168.65.77'), '192.168.65.3');
    assert.equal(choose({ interfaces: ['eth1'] }, '192.168.65.9'), '192.168.65.3');
    assert.equal(choose({ interfaces: ['192.168.65.3'] }, '192.168.65.4'), '192.168.65.3');
  });
});

test('an address that a socket has kept is foreign when no interface has it any more', () => {
  const isForeign = isForeignTo(host);
  const kept = ['10.0.0.5', 'fd00::5', 'fe80::5%eth0', '127.0.0.2', '::1', 'no address'];
  assert.deepEqual(kept.filter(isForeign), []);
  assert.deepEqual(['10.0.0.6', 'fd00::6', 'fe80::6%eth0'].filter(isForeign), [
    '10.0.0.6',
    'fd00::6',
    'fe80::6%eth0',
  ]);
});
