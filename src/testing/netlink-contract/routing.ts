/** Addresses, routes, next hops and rules, and how they depend on each other. */

import assert from 'node:assert/strict';
import { IFA_F_NODAD } from '../../netlink/route/constants.ts';
import { addLink, addVxlan, ip, mac, type NetlinkCase, ONLINK, prefix, TULLE } from './tools.ts';

export const routingCases: readonly NetlinkCase[] = [
  {
    name: 'an address brings its network, and takes it along',
    async run({ rtnetlink, show }) {
      const index = await addVxlan(rtnetlink);
      const address = { index, ip: ip('10.8.1.3'), length: 24 };
      await rtnetlink.addresses.replace(address);
      await rtnetlink.addresses.replace(address);
      assert.equal(show('ip route'), '10.8.1.0/24 dev flannel.88 proto kernel scope link src 10.8.1.3');
      const [found, ...more] = await rtnetlink.addresses.list({ index, family: 'ipv4' });
      assert.deepEqual([`${found?.ip}`, found?.length, found?.label], ['10.8.1.3', 24, 'flannel.88']);
      assert.deepEqual(more, []);
      await rtnetlink.addresses.delete(address);
      assert.equal(show('ip route'), '');
      await assert.rejects(rtnetlink.addresses.delete(address), { code: 'EADDRNOTAVAIL' });
    },
  },
  {
    name: 'an IPv6 address is listed as such',
    async run({ rtnetlink }) {
      const index = await addVxlan(rtnetlink);
      await rtnetlink.addresses.replace({ index, ip: ip('fd00::1'), length: 64 });
      const addresses = await rtnetlink.addresses.list({ family: 'ipv6' });
      const found = addresses.find(address => address.index === index && address.scope === 0);
      assert.deepEqual([`${found?.ip}`, found?.length, found?.family], ['fd00::1', 64, 'ipv6']);
    },
  },
  {
    name: 'the addresses of a link that is gone are none',
    async run({ rtnetlink: { addresses, neighbors, fdb, routes } }) {
      assert.deepEqual(await addresses.list({ index: 4711 }), []);
      assert.deepEqual(await neighbors.list({ index: 4711 }), []);
      assert.deepEqual(await fdb.list(4711), []);
      assert.deepEqual(await routes.list({ oif: 4711 }), []);
      assert.deepEqual(await routes.list({ table: 4711 }), []);
    },
  },
  {
    name: 'an onlink route needs no way to its gateway',
    async run({ rtnetlink: rt, show }) {
      const oif = await addVxlan(rt);
      const route = { destination: prefix('10.3.2.0/24'), gateway: ip('10.3.2.0'), oif, protocol: TULLE };
      await assert.rejects(rt.routes.replace(route), {
        code: 'ENETUNREACH',
        message:
          'replace route 10.3.2.0/24 via 10.3.2.0: Nexthop has invalid gateway [network is unreachable] (ENETUNREACH)',
      });
      await rt.routes.replace({ ...route, flags: ONLINK });
      assert.equal(show('ip route'), '10.3.2.0/24 via 10.3.2.0 dev flannel.88 proto 77 onlink');
      await rt.routes.delete({ destination: prefix('10.3.2.0/24'), protocol: TULLE });
      assert.equal(show('ip route'), '');
      await assert.rejects(rt.routes.delete({ destination: prefix('10.3.2.0/24') }), { code: 'ESRCH' });
    },
  },
  {
    name: 'a route is replaced by another one to the same destination',
    async run({ rtnetlink: rt, show }) {
      const oif = await addVxlan(rt);
      const destination = prefix('10.3.2.0/24');
      await rt.routes.replace({ destination, oif, protocol: TULLE });
      await rt.routes.replace({ destination, gateway: ip('10.3.2.0'), oif, flags: ONLINK, mtu: 1300 });
      assert.equal(show('ip route'), '10.3.2.0/24 via 10.3.2.0 dev flannel.88 onlink mtu 1300');
      const [found] = await rt.routes.list({ oif, table: 254 });
      assert.deepEqual([found?.mtu, found?.protocol, found?.flags], [1300, 3, ONLINK]);
    },
  },
  {
    name: 'lists of routes are filtered by family, table, protocol and link',
    async run({ rtnetlink: rt }) {
      const oif = await addVxlan(rt);
      await rt.routes.replace({ destination: prefix('10.1.0.0/16'), oif, protocol: TULLE });
      await rt.routes.replace({ destination: prefix('10.2.0.0/16'), oif });
      await rt.routes.replace({ destination: prefix('10.3.0.0/16'), oif, table: 1000, protocol: TULLE });
      await rt.routes.replace({ destination: prefix('10.4.0.0/16'), oif: 1, protocol: TULLE });
      await rt.routes.replace({ destination: prefix('fd01::/64'), oif, protocol: TULLE });
      const list = async (filter: Parameters<typeof rt.routes.list>[0]) =>
        (await rt.routes.list(filter)).map(route => `${route.destination}`).sort();
      assert.deepEqual(await list({ protocol: TULLE }), [
        '10.1.0.0/16',
        '10.3.0.0/16',
        '10.4.0.0/16',
        'fd01::/64',
      ]);
      assert.deepEqual(await list({ protocol: TULLE, family: 'ipv6' }), ['fd01::/64']);
      assert.deepEqual(await list({ protocol: TULLE, oif, family: 'ipv4' }), ['10.1.0.0/16', '10.3.0.0/16']);
      assert.deepEqual(await list({ table: 1000 }), ['10.3.0.0/16']);
    },
  },
  {
    name: 'a default route has no destination',
    async run({ rtnetlink: rt, show }) {
      const oif = await addVxlan(rt);
      await rt.routes.replace({ family: 'ipv4', oif, priority: 5 });
      assert.equal(show('ip route'), 'default dev flannel.88 scope link metric 5');
      const [found] = await rt.routes.list({ oif, table: 254, family: 'ipv4' });
      assert.deepEqual([found?.destination, found?.priority], [undefined, 5]);
    },
  },
  {
    name: 'a route through a lightweight tunnel names its far end',
    async run({ rtnetlink: rt, show }) {
      const oif = await addLink(rt, {
        name: 'vx',
        info: { kind: 'vxlan', collectMetadata: true, port: 4789, id: 0 },
        up: true,
      });
      const encap = { id: 88n, destination: ip('192.168.65.4'), ttl: 64 };
      await rt.routes.replace({ destination: prefix('10.3.2.0/24'), oif, encap });
      const [found] = await rt.routes.list({ oif, table: 254, family: 'ipv4' });
      assert.deepEqual(
        [found?.encap?.id, `${found?.encap?.destination}`, found?.encap?.ttl],
        [88n, '192.168.65.4', 64],
      );
      assert.match(
        show('ip route'),
        /^10\.3\.2\.0\/24 encap ip id 88 .*dst 192\.168\.65\.4 .*dev vx scope link$/,
      );
    },
  },
  {
    name: 'a route through a next hop follows it, and dies with it',
    async run({ rtnetlink: rt, show }) {
      const oif = await addVxlan(rt);
      const nexthop = { id: 5, family: 'ipv4', oif, flags: ONLINK, protocol: TULLE } as const;
      const route = { destination: prefix('10.3.2.0/24'), nexthopId: 5, protocol: TULLE };
      await assert.rejects(rt.routes.replace(route), {
        code: 'EINVAL',
        message: /Nexthop id does not exist/,
      });
      await rt.nexthops.replace({ ...nexthop, gateway: ip('10.3.2.0') });
      await rt.routes.replace(route);
      assert.equal(show('ip nexthop'), 'id 5 via 10.3.2.0 dev flannel.88 scope link proto 77 onlink');
      assert.equal(show('ip route'), '10.3.2.0/24 nhid 5 via 10.3.2.0 dev flannel.88 proto 77 onlink');

      await rt.nexthops.replace({ ...nexthop, gateway: ip('10.3.9.0') });
      assert.equal(show('ip route'), '10.3.2.0/24 nhid 5 via 10.3.9.0 dev flannel.88 proto 77 onlink');
      const [found] = await rt.nexthops.list();
      assert.deepEqual(
        [found?.id, `${found?.gateway}`, found?.oif, found?.flags],
        [5, '10.3.9.0', oif, ONLINK],
      );

      await rt.nexthops.delete(5);
      assert.deepEqual([show('ip nexthop'), show('ip route')], ['', '']);
      await assert.rejects(rt.nexthops.delete(5), { code: 'ENOENT' });
    },
  },
  {
    name: 'IPv6 has routes, next hops and neighbors of its own',
    async run({ rtnetlink: rt }) {
      const oif = await addVxlan(rt);
      const gateway = ip('fd00:0:0:2::');
      await rt.neighbors.replace({ index: oif, ip: gateway, mac: mac('02:00:00:00:00:01') });
      await rt.nexthops.replace({ id: 6, family: 'ipv6', gateway, oif, flags: ONLINK, protocol: TULLE });
      await rt.routes.replace({ destination: prefix('fd00:0:0:2::/64'), nexthopId: 6, protocol: TULLE });
      await rt.routes.replace({ destination: prefix('fd00:0:0:2::/64'), nexthopId: 6, protocol: TULLE });
      const routes = await rt.routes.list({ protocol: TULLE });
      assert.deepEqual(
        routes.map(
          route =>
            `${route.family} ${route.destination} ${route.nexthopId} ${route.gateway} ${route.priority}`,
        ),
        ['ipv6 fd00:0:0:2::/64 6 fd00:0:0:2:: 1024'],
      );
      const [nexthop] = await rt.nexthops.list();
      assert.deepEqual([nexthop?.family, `${nexthop?.gateway}`], ['ipv6', 'fd00:0:0:2::']);
      await rt.routes.delete({ destination: prefix('fd00:0:0:2::/64'), protocol: TULLE });
      assert.deepEqual(await rt.routes.list({ protocol: TULLE }), []);
    },
  },
  {
    name: 'a next hop needs a link that is up',
    async run({ rtnetlink: rt }) {
      const oif = await addVxlan(rt);
      await rt.links.change(oif, { up: false });
      const nexthop = { id: 5, family: 'ipv4', gateway: ip('10.3.2.0'), flags: ONLINK } as const;
      await assert.rejects(rt.nexthops.replace({ ...nexthop, oif }), {
        code: 'ENETDOWN',
        message: /Nexthop device is not up/,
      });
      await assert.rejects(rt.nexthops.replace({ ...nexthop, oif: 4711 }), { code: 'EINVAL' });
    },
  },
  {
    name: 'a link that goes down takes routes and next hops along, and keeps addresses',
    async run({ rtnetlink: rt, show }) {
      const index = await addVxlan(rt);
      await rt.addresses.replace({ index, ip: ip('10.3.1.0'), length: 32 });
      await rt.nexthops.replace({
        id: 5,
        family: 'ipv4',
        gateway: ip('10.3.2.0'),
        oif: index,
        flags: ONLINK,
      });
      await rt.routes.replace({ destination: prefix('10.3.2.0/24'), nexthopId: 5 });
      await rt.links.change(index, { up: false });
      await rt.links.change(index, { up: true });
      assert.deepEqual([show('ip nexthop'), show('ip route')], ['', '']);
      const addresses = await rt.addresses.list({ index, family: 'ipv4' });
      assert.deepEqual(
        addresses.map(address => `${address.ip}`),
        ['10.3.1.0'],
      );
    },
  },
  {
    name: 'the route of a packet can be asked for',
    async run({ rtnetlink: rt }) {
      const oif = await addVxlan(rt);
      await rt.addresses.replace({ index: oif, ip: ip('10.3.1.0'), length: 32 });
      await rt.routes.replace({ destination: prefix('10.3.0.0/16'), oif: 1 });
      await rt.routes.replace({
        destination: prefix('10.3.2.0/24'),
        gateway: ip('10.3.2.0'),
        oif,
        flags: ONLINK,
      });
      const route = await rt.routes.lookup(ip('10.3.2.7'));
      assert.deepEqual(
        [`${route.destination}`, `${route.gateway}`, route.oif],
        ['10.3.2.7/32', '10.3.2.0', oif],
      );
      await assert.rejects(rt.routes.lookup(ip('172.16.0.1')), { code: 'ENETUNREACH' });
      await rt.addresses.replace({ ip: ip('fd00::5'), length: 64, index: oif, flags: IFA_F_NODAD });
      const ofIpv6 = await rt.routes.lookup(ip('fd00::7'));
      assert.deepEqual([ofIpv6.gateway, ofIpv6.oif], [undefined, oif]);
    },
  },
  {
    name: 'rules choose tables',
    async run({ rtnetlink: { rules }, show }) {
      const rule = {
        family: 'ipv4',
        priority: 100,
        table: 1000,
        source: prefix('10.0.0.0/8'),
        fwmark: 7,
      } as const;
      await rules.add(rule);
      assert.deepEqual(show('ip rule').split('\n'), [
        '0: from all lookup local',
        '100: from 10.0.0.0/8 fwmark 0x7 lookup 1000',
        '32766: from all lookup main',
        '32767: from all lookup default',
      ]);
      const found = (await rules.list('ipv4')).find(({ priority }) => priority === 100);
      assert.deepEqual([`${found?.source}`, found?.table, found?.fwmark], ['10.0.0.0/8', 1000, 7]);
      await assert.rejects(rules.add(rule), { code: 'EEXIST' });
      await rules.delete(rule);
      assert.equal((await rules.list('ipv4')).length, 3);
      await assert.rejects(rules.delete(rule), { code: 'ENOENT' });
    },
  },
];
