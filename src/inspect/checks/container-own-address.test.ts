import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Route } from '../../netlink/route/objects.ts';
import { judgeOwnAddress } from './container-own-address.ts';

const ip = Ip.parse('10.3.1.2');
const member = memberOf({ name: 'c1', outer: linkOf('veth1', 8), addresses: ['10.3.1.2/24'] });
const local: Route = {
  family: 'ipv4',
  destination: Prefix.parse('10.3.1.2/32'),
  table: 255,
  type: 2,
  protocol: 2,
  scope: 254,
  flags: 0,
  oif: 2,
  unknown: [],
};
const connected: Route = { ...local, destination: Prefix.parse('10.3.1.0/24'), table: 254, type: 1 };
const judged = (route: Route, routes: readonly Route[]) =>
  judgeOwnAddress({ member, nameOf: () => 'eth0', routes, own: { ip, route } }).map(
    ({ code, remedy }) => `${code} ${remedy.replace(/^.*c1 /, '')}`,
  );

test('a container takes packets for its own address by an entry of the table local, and a rule that leads there', () => {
  assert.deepEqual(judged(local, [local, connected]), []);
  assert.deepEqual(judged(connected, [local, connected]), ['CONTAINER_RULE ip rule add lookup local pref 0']);
  assert.deepEqual(judged(connected, [connected]), [
    'CONTAINER_ROUTE ip route add local 10.3.1.2 dev eth0 table local',
  ]);
});
