import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { pointsOf } from './points.ts';

const ETHERNET = 1;
const LOOPBACK = 772;
const NONE = 65_534;

let index = 0;
const link = (name: string, kind?: string, more: Partial<Link> = {}): Link =>
  ({
    index: ++index,
    name,
    type: ETHERNET,
    ...(kind === undefined ? {} : { info: { kind } }),
    ...more,
  }) as Link;

test('links are what they are to a packet, whatever they are called', () => {
  const bridge = link('docker0', 'bridge');
  const bond = link('bond0', 'bond');
  const links = [
    link('lo', undefined, { type: LOOPBACK }),
    link('eth0'),
    bridge,
    bond,
    link('eth1', undefined, { master: bond.index }),
    link('eth2', undefined, { master: bridge.index }),
    link('veth-c1', 'veth', { master: bridge.index }),
    link('veth-lost', 'veth'),
    link('uplink', 'veth'),
    link('eth0.5', 'vlan'),
    link('flannel.1', 'vxlan'),
    link('flannel0', 'tun', { type: NONE }),
    link('dummy0', 'dummy'),
  ];
  const at = (name: string) => links.find(one => one.name === name)?.index ?? 0;
  const addresses = [
    { index: at('eth0'), ip: Ip.parse('192.0.2.1') },
    { index: at('bond0'), ip: Ip.parse('192.0.2.2') },
    { index: at('uplink'), ip: Ip.parse('192.0.2.3') },
    { index: at('eth0.5'), ip: Ip.parse('192.0.2.4') },
    { index: at('veth-lost'), ip: Ip.parse('fe80::1') },
  ];
  const points = [...pointsOf(links, addresses).values()].map(({ name, point }) => `${name} ${point}`);
  assert.deepEqual(points, [
    'lo other',
    'eth0 uplink',
    'docker0 bridge',
    'bond0 uplink',
    'eth1 uplink',
    'eth2 uplink',
    'veth-c1 port',
    'veth-lost port',
    'uplink uplink',
    'eth0.5 uplink',
    'flannel.1 tunnel',
    'flannel0 tunnel',
    'dummy0 other',
  ]);
});
