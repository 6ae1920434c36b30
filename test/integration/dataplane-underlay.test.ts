/** Routes over a link of the host, as host-gw has them: ours are those of protocol 77, and nothing else is touched. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
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
      running.plane.set({ host: HOST, peers: [direct(2), direct(3)] });
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

      running.plane.set({ host: { ...HOST, links: [] }, peers: [] });
      assert.equal((await running.plane.apply()).inSync, true);
      host.sh('ip route replace 10.8.0.0/16 via 192.168.65.9');
      assert.deepEqual(look(host), before);
    });
  }
});
