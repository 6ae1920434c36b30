import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeOf, linkOf, memberOf } from '../../../test/support/look-facts.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { RT_TABLE_MAIN, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Link, Route } from '../../netlink/route/objects.ts';
import { judgeRoutes } from './container-route.ts';

const destination = Ip.parse('10.3.2.2');
/** Of a container whose only network is that of the host's bridge. */
const PLAIN = {
  family: 'ipv4',
  rules: [],
  gateways: [Ip.parse('10.3.1.1')],
  stations: [],
  isProxied: false,
  subnets: [Prefix.parse('10.3.1.0/24')],
  isStrict: false,
} as const;

/** Codes for a container on eth0 whose route to other hosts leaves by the first of these links. */
function codesFor(first: Link, ...more: readonly Link[]): string[] {
  const home = bridgeOf('docker0', 7, ['10.3.1.1/24']);
  const member = memberOf({
    name: 'c1',
    outer: linkOf('veth1', 8, { master: 7 }),
    home,
    addresses: ['10.3.1.2/24'],
  });
  const container = { ...member.container, allLinks: [...member.container.allLinks, first, ...more] };
  const route: Route = {
    family: 'ipv4',
    destination: Prefix.parse('10.3.0.0/16'),
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    protocol: 3,
    scope: 253,
    flags: 0,
    oif: first.index,
    unknown: [],
  };
  const causes = judgeRoutes({
    ...PLAIN,
    member: { ...member, container },
    nameOf: index => `link${index}`,
    routes: [route],
    ways: [{ destination, lookup: { route } }],
  });
  return causes.map(({ code }) => code);
}

const veth = { kind: 'veth' } as const;

test('a route to another network of the container is meant so', () => {
  assert.deepEqual(codesFor(linkOf('eth1', 3, { info: veth, lower: 9, netnsId: 0 })), []);
  assert.deepEqual(
    codesFor(linkOf('br0', 3, { info: { kind: 'bridge' } }), linkOf('eth1', 4, { master: 3 })),
    [],
  );
});

test('a route to a link that nobody is behind is not', () => {
  const wrong = ['CONTAINER_ROUTE'];
  assert.deepEqual(codesFor(linkOf('dummy0', 3, { info: { kind: 'other', name: 'dummy' } })), wrong);
  assert.deepEqual(codesFor(linkOf('br0', 3, { info: { kind: 'bridge' } })), wrong, 'a bridge without ports');
  const pair = [linkOf('a', 3, { info: veth, lower: 4 }), linkOf('b', 4, { info: veth, lower: 3 })] as const;
  assert.deepEqual(codesFor(...pair), wrong, 'a pair with both ends in the container');
});

test('a default route that leads nowhere is undone by the right one, not only taken away', () => {
  const home = bridgeOf('docker0', 7, ['10.3.1.1/24']);
  const outer = linkOf('veth1', 8, { master: 7 });
  const member = memberOf({ name: 'c1', outer, home, addresses: ['10.3.1.2/24'] });
  const route: Route = {
    family: 'ipv4',
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    protocol: 3,
    scope: 253,
    flags: 0,
    oif: 1,
    unknown: [],
  };
  const [cause] = judgeRoutes({
    ...PLAIN,
    member,
    nameOf: () => 'lo',
    routes: [route],
    ways: [{ destination, lookup: { route } }],
  });
  assert.equal(
    cause?.remedy,
    'nsenter --net=/run/netns/c1 ip route del default dev lo; nsenter --net=/run/netns/c1 ip route replace default via 10.3.1.1 dev eth0',
  );
});
