import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../base/ip.ts';
import { byFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import { planResolver, type ResolverNetwork } from './resolver-plan.ts';

const linkOf = (index: number, name: string, kind?: string) =>
  ({ index, name, ...(kind && { info: { kind } }) }) as Link;
const addressOf = (index: number, text: string, label?: string) => {
  const [ip = '', length = '32'] = text.split('/');
  return { index, ip: Ip.parse(ip), length: Number(length), ...(label && { label }) } as Address;
};

const LINKS = [
  linkOf(1, 'lo'),
  linkOf(2, 'eth0'),
  linkOf(3, 'tb-blue', 'bridge'),
  linkOf(4, 'docker0', 'bridge'),
];
const ADDRESSES = [addressOf(2, '192.0.2.1/24'), addressOf(3, '10.9.0.1/16'), addressOf(4, '172.17.0.1/16')];

const networkOf = (network: string, more: Partial<ResolverNetwork> = {}): ResolverNetwork => {
  const subnets = byFamily(Prefix.parse('10.9.0.0/16'), Prefix.parse('fd00:9::/64'));
  const gateways = byFamily(Ip.parse('10.9.0.1'), Ip.parse('fd00:9::1'));
  return { network, bridge: `tb-${network}`, gateways, subnets, networks: subnets, dns: true, ...more };
};

const plan = (networks: readonly ResolverNetwork[], links = LINKS, addresses = ADDRESSES) => {
  const { listeners, ...rest } = planResolver(networks, { links, addresses });
  return {
    ...rest,
    listeners: listeners.map(({ link, ip, askers }) => `${link} ${ip} ${askers.join(' ')}`),
  };
};

test('it answers on the bridges of networks and of engines, and on lo, and nowhere else', () => {
  assert.deepEqual(plan([networkOf('blue'), networkOf('red')]).listeners, [
    'lo 169.254.53.53 0.0.0.0/0 ::/0',
    'tb-blue 10.9.0.1 10.9.0.0/16 fd00:9::/64',
    'tb-blue fd00:9::1 10.9.0.0/16 fd00:9::/64',
    'tb-blue 169.254.53.53 10.9.0.0/16 fd00:9::/64',
    'docker0 169.254.53.53 172.17.0.0/16',
  ]);
});

test('a bridge that another program calls as it likes is left alone', () => {
  const links = [linkOf(1, 'lo'), linkOf(2, 'br0', 'bridge'), linkOf(3, 'docker0', 'dummy')];
  assert.deepEqual(plan([], links, []).listeners, ['lo 169.254.53.53 0.0.0.0/0 ::/0']);
});

test('an internal network is answered at the fixed address, and nothing of it is redirected', () => {
  const { listeners, redirect } = plan([networkOf('blue', { gateways: {} })]);
  assert.ok(listeners.includes('tb-blue 169.254.53.53 10.9.0.0/16 fd00:9::/64'));
  assert.deepEqual(redirect?.redirected, []);
});

test('questions to others are led here unless a network does not want it, but for those inside of networks', () => {
  const { redirect } = plan([networkOf('blue', { dns: false }), networkOf('docker0', { bridge: 'docker0' })]);
  assert.deepEqual(
    redirect?.redirected.map(({ bridge }) => bridge),
    ['docker0'],
  );
  assert.deepEqual(redirect?.bridges, ['tb-blue', 'docker0']);
  assert.deepEqual(redirect?.own.map(String), ['10.9.0.0/16', 'fd00:9::/64', '169.254.53.53/32']);
  assert.equal(plan([]).redirect, undefined);
});

test('an address that another link has is left to it', () => {
  assert.equal(plan([]).address, 'missing');
  assert.equal(plan([], LINKS, [addressOf(1, '169.254.53.53', 'lo:tulle')]).address, 'present');
  const taken = plan([networkOf('blue')], LINKS, [addressOf(2, '169.254.53.53/16')]);
  assert.deepEqual(taken.address, { takenBy: 'eth0' });
  assert.ok(taken.listeners.every(text => !text.includes('169.254.53.53')));
});
