/** Routes over a link of the host, as host-gw has them: ours are those of protocol 77, and nothing else is touched. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import type { DesiredHost, DesiredPeer } from '../../src/dataplane/desired.ts';
import { needsRoot } from '../support/capabilities.ts';
import { lines, peer, Running, summary, TestHost } from './dataplane-host.ts';

const HOST: DesiredHost = {
  networks: [],
  links: [{ kind: 'existing', name: 'eth0' }],
  addresses: [],
  sysctls: [],
};

/** Peer n, which is reached straight through its host. */
function direct(n: number): DesiredPeer {
  const paths = peer(n).paths.map(({ subnet, underlayIp }) => ({
    link: 'eth0',
    subnet,
    underlayIp,
    entries: [{ kind: 'route', destination: subnet, gateway: underlayIp } as const],
  }));
  return { ...peer(n), paths };
}

const look = (host: TestHost) => ['ip route', 'ip nexthop'].flatMap(command => lines(host.sh(command)));
const routes = (host: TestHost) =>
  lines(host.sh('ip route show proto 77')).map(line => line.replace(/nhid \d+ /, ''));

describe('routes over a link of the host', needsRoot, () => {
  for (const nexthopObjects of ['auto', 'never'] as const) {
    test(`are made, repaired and removed, next hop objects: ${nexthopObjects}`, async () => {
      using host = new TestHost();
      host.sh('ip route add 10.8.0.0/16 via 192.168.65.9');
      host.sh('ip neigh add 192.168.65.9 lladdr 02:00:00:00:09:09 dev eth0 nud permanent');
      const before = look(host);
      host.sh('ip route add 10.3.9.0/24 via 192.168.65.9 proto 77');
      // As flannel's host-gw has made it.
      host.sh('ip route add 10.3.3.0/24 via 192.168.65.103 dev eth0');
      await using running = new Running(host, { nexthopObjects });
      running.network.set({ host: HOST, peers: [direct(2), direct(3)] });
      assert.deepEqual((await running.plane.apply()).failures, []);
      const made = ['10.3.2.0/24 via 192.168.65.102 dev eth0', '10.3.3.0/24 via 192.168.65.103 dev eth0'];
      assert.deepEqual(routes(host), made);
      assert.equal((await running.plane.resync('test')).writes, 0);

      assert.match(host.sh('ip neigh'), /192\.168\.65\.9 .*PERMANENT/);
      const repairs = await running.after(
        () => host.sh('ip route del 10.3.2.0/24'),
        ({ inSync }) => inSync && running.repairs.length > 0,
      );
      assert.deepEqual(summary(repairs), ['route restored 10.3.2.0-24']);
      await running.after(
        () => {
          host.sh('ip link set eth0 down');
          host.sh('ip link set eth0 up');
        },
        ({ inSync }) => inSync && routes(host).length === 2,
      );
      assert.deepEqual(routes(host), made);
      if (nexthopObjects === 'auto') {
        // The kernel takes next hops and their routes without a word, and takes no new ones before the carrier is back.
        await running.after(
          () => host.sh('ip link set eth1 down'),
          ({ failures }) => failures.length > 0,
        );
        assert.deepEqual(routes(host), []);
        await running.after(
          () => host.sh('ip link set eth1 up'),
          ({ inSync }) => inSync,
        );
        assert.deepEqual(routes(host), made);
      }

      running.network.set({ host: { ...HOST, links: [] }, peers: [] });
      assert.equal((await running.plane.apply()).inSync, true);
      host.sh('ip route replace 10.8.0.0/16 via 192.168.65.9');
      assert.deepEqual(look(host), before);
    });
  }

  for (const nexthopObjects of ['auto', 'never'] as const) {
    test(`have an MTU of their own, and IPv6, next hop objects: ${nexthopObjects}`, async () => {
      using host = new TestHost();
      host.sh('ip address add fd65::3/64 dev eth0 nodad');
      await using running = new Running(host, { nexthopObjects });
      const peers = [overBoth(2, 1400), overBoth(3, undefined)];
      running.network.set({ host: HOST, peers });
      assert.deepEqual((await running.plane.apply()).failures, []);
      const made = [
        '10.3.2.0/24 via 192.168.65.102 dev eth0 mtu 1400',
        '10.3.3.0/24 via 192.168.65.103 dev eth0',
        'fd03:2::/64 via fd65::102 dev eth0 metric 1024 mtu 1400 pref medium',
        'fd03:3::/64 via fd65::103 dev eth0 metric 1024 pref medium',
      ];
      assert.deepEqual(bothRoutes(host), made);
      assert.equal((await running.plane.resync('test')).writes, 0);

      const [gateway, gateway6] = ['via 192.168.65.102', 'via fd65::102'];
      for (const change of [
        `ip route replace 10.3.2.0/24 ${gateway} dev eth0 proto 77 mtu 1300`,
        `ip route replace 10.3.2.0/24 ${gateway} dev eth0 proto 77`,
        `ip -6 route replace fd03:2::/64 ${gateway6} dev eth0 proto 77 mtu 1300`,
        'ip route del 10.3.2.0/24',
        'ip -6 route del fd03:2::/64',
      ]) {
        const repairs = await running.after(
          () => host.sh(change),
          ({ inSync }) => inSync && running.repairs.length > 0,
        );
        assert.equal(repairs[0]?.object, 'route', change);
        assert.deepEqual(bothRoutes(host), made, change);
      }
      // One gateway for two subnets with different MTUs.
      const [second] = overBoth(2, undefined, 4).paths;
      running.network.setPeers([...peers, { ...peer(4), paths: second === undefined ? [] : [second] }]);
      assert.deepEqual((await running.plane.apply()).failures, []);
      assert.ok(bothRoutes(host).includes('10.3.4.0/24 via 192.168.65.102 dev eth0'));
      running.network.setPeers([overBoth(2, 1300), overBoth(3, 1200)]);
      assert.equal((await running.plane.apply()).inSync, true);
      assert.deepEqual(
        bothRoutes(host).map(line => / mtu (\d+)/.exec(line)?.[1]),
        ['1300', '1200', '1300', '1200'],
      );
      running.network.remove();
      assert.equal((await running.plane.apply()).inSync, true);
      assert.deepEqual(bothRoutes(host), []);
    });
  }

  test('take over what flannel or a person made just so, and name what is in the way', async () => {
    using host = new TestHost();
    host.sh('ip address add fd65::3/64 dev eth0 nodad');
    // As flannel's host-gw makes them, and as a person does.
    host.sh('ip route add 10.3.2.0/24 via 192.168.65.102 dev eth0');
    host.sh('ip -6 route add fd03:2::/64 via fd65::102 dev eth0');
    host.sh('ip route add 10.3.3.0/24 via 192.168.65.103 dev eth0 proto static');
    host.sh('ip route add 10.3.4.0/24 via 192.168.65.9 dev eth0 proto static');
    host.sh('ip route add 10.3.5.0/24 via 192.168.65.105 dev eth0 proto bird');
    host.sh('ip -6 route add fd03:5::/64 via fd65::9 dev eth0');
    await using running = new Running(host);
    running.network.set({ host: HOST, peers: [2, 3, 4, 5].map(n => overBoth(n, undefined)) });
    const { failures } = await running.plane.apply();
    assert.deepEqual(failures.map(text => text.replace(/^.*?: /, '')).sort(), [
      'route 10.3.4.0/24 via 192.168.65.9 dev eth0 proto static is in the way',
      'route 10.3.5.0/24 via 192.168.65.105 dev eth0 proto bird is in the way',
      'route fd03:5::/64 via fd65::9 dev eth0 metric 1024 is in the way',
    ]);
    assert.deepEqual(routes(host), [
      '10.3.2.0/24 via 192.168.65.102 dev eth0',
      '10.3.3.0/24 via 192.168.65.103 dev eth0',
    ]);
    assert.equal(running.network.peerReport('10.3.2.0-24')?.state, 'ok');
    const { failed } = running.network.report();
    assert.equal(failed, 3);
    await running.after(
      () => {
        host.sh('ip route del 10.3.4.0/24');
        host.sh('ip route del 10.3.5.0/24');
        host.sh('ip -6 route del fd03:5::/64');
      },
      ({ inSync }) => inSync,
    );
    assert.equal(bothRoutes(host).length, 8);
  });
});

/** Peer n with a route of each family; over the gateway of peer n, to the subnets of peer `to`. */
function overBoth(n: number, mtu: number | undefined, to = n): DesiredPeer {
  const path = (subnet: string, underlay: string) => {
    const [destination, gateway] = [Prefix.parse(subnet), Ip.parse(underlay)];
    const route = { kind: 'route', destination, gateway, ...(mtu === undefined ? {} : { mtu }) } as const;
    return { link: 'eth0', subnet: destination, underlayIp: gateway, entries: [route] };
  };
  const paths = [path(`10.3.${to}.0/24`, `192.168.65.10${n}`), path(`fd03:${to}::/64`, `fd65::10${n}`)];
  return { ...peer(n), paths };
}

const bothRoutes = (host: TestHost) => [
  ...routes(host),
  ...lines(host.sh('ip -6 route show proto 77')).map(line => line.replace(/nhid \d+ /, '')),
];
