/** Others delete what the agent made, under traffic: it comes back, and the audit names it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { needsRoot } from '../integration/support.ts';
import { Cluster, type ClusterHost, eventually } from '../support/cluster.ts';
import { needsEtcd } from '../support/etcd.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
const DEVICE = 'flannel.88';

/** The repairs the agent has told, as `restored route`. */
async function repairs(host: ClusterHost): Promise<string[]> {
  const events = await Array.fromAsync(host.client.events());
  return events
    .filter(({ type }) => type === 'drift-repaired')
    .map(({ fields }) => `${String(fields['action'])} ${String(fields['object'])}`);
}

describe('an object that somebody deletes comes back', needs, () => {
  const deletions: Record<string, (host: ClusterHost, other: ClusterHost) => Promise<unknown>> = {
    route: async host => {
      const [route] = await host.ip.routes.list({ family: 'ipv4', protocol: 77 });
      await host.shell(`ip route del ${route?.destination}`);
    },
    neighbor: async host => {
      const { peers } = await host.client.status();
      const ip = peers[0]?.ipv4?.replace(/\/.*/, '');
      await host.shell(`ip neigh del ${ip} dev ${DEVICE}`);
    },
    fdb: async (host, other) => {
      const mac = (await other.ip.links.get(DEVICE))?.mac;
      await host.shell(`bridge fdb del ${mac} dev ${DEVICE}`);
    },
    address: async host => {
      const { ip } = await host.subnet();
      await host.shell(`ip address del ${ip.plus(-1)}/32 dev ${DEVICE}`);
    },
    nexthop: async host => {
      const [nexthop] = await host.ip.nexthops.list();
      await host.shell(`ip nexthop del id ${nexthop?.id}`);
    },
    link: host => host.shell(`ip link del ${DEVICE}`),
  };
  for (const [object, remove] of Object.entries(deletions)) {
    test(object, async t => {
      const cluster = await Cluster.start(t);
      await cluster.startAgents();
      const [one, two] = [cluster.host(1), cluster.host(2)];
      const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
      const mac = (await one.ip.links.get(DEVICE))?.mac;
      await from.ping(to);

      const pinging = from.ping(to, { count: 200 });
      await remove(one, two);
      await eventually(`the ${object} is told`, async () => {
        return (await repairs(one)).includes(`restored ${object}`);
      });
      await one.untilConnected(1);
      const { received } = await pinging;
      // 100 pings are a second: whatever is missing must be back within it.
      assert.ok(received >= 100, `${received} of 200 pings were answered`);
      assert.deepEqual(await from.ping(to), { sent: 3, received: 3 });
      assert.ok(mac?.equals((await one.ip.links.get(DEVICE))?.mac));
      const { dataplane } = await one.client.status();
      assert.ok((dataplane.driftRepairs[object] ?? 0) >= 1);
    });
  }

  test('all of it at once, by the underlay going down and up', async t => {
    const cluster = await Cluster.start(t);
    await cluster.startAgents();
    const [one, two] = [cluster.host(1), cluster.host(2)];
    const [from, to] = [await one.addContainer(t), await two.addContainer(t)];
    await one.shell('ip link set eth0 down');
    await one.until('the underlay is missed', ({ agent }) => !agent.ready);
    await one.shell('ip link set eth0 up');
    await one.untilConnected(1);
    await eventually('containers talk', async () => (await from.ping(to)).received === 3);
  });
});

test('an agent that was frozen catches up', needs, async t => {
  const cluster = await Cluster.start(t);
  await cluster.startAgents();
  const [one, two] = [cluster.host(1), cluster.host(2)];
  process.kill(one.agentPid, 'SIGSTOP');
  await two.stopAgent();
  await one.shell(`ip link del ${DEVICE}`);
  await two.startAgent('--release-lease');
  process.kill(one.agentPid, 'SIGCONT');
  await one.untilConnected(1);
  await eventually('the device is told', async () => (await repairs(one)).includes('restored link'));
});
