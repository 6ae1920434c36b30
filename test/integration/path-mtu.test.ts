/** Links of real kernels that take less than the hosts' own: found, named, told to containers, and forgotten when mended. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { describe, test } from 'node:test';
import type { Status } from '../../src/api/status.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Cluster } from '../support/cluster.ts';
import type { ClusterHost } from '../support/cluster-host.ts';
import { needsEtcd } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';

const needs = needsRoot.skip === false ? needsEtcd : needsRoot;
/** Milliseconds for a search, most of whose packets are lost. */
const SEARCH = 90_000;

const BACKENDS = [
  {
    type: 'vxlan',
    overhead: 50,
    option: /set Backend\.MTU to 14\d\d with .*ethtool -K flannel\.88 tx-checksum/,
  },
  { type: 'host-gw', overhead: 0, option: /lower the MTU of eth0 to 14\d\d on every host$/ },
] as const;

const configOf = (type: string) => ({
  Network: '10.77.0.0/16',
  Backend: { Type: type, ...(type === 'vxlan' && { VNI: 88, Port: 4789 }) },
});

async function ip(host: ClusterHost, ...words: string[]): Promise<string> {
  const namespaces = { net: `/proc/${process.pid}/fd/${host.netns.fd}` };
  return (await run('ip', words, { namespaces })).stdout;
}

const holeOf = ({ warnings }: Status) => warnings.find(({ code }) => code === 'PATH_MTU_BLACK_HOLE');

const untilHole = (host: ClusterHost, isThere: boolean) =>
  eventually(
    `${host.name} ${isThere ? 'finds the black hole' : 'sees that it is gone'}`,
    async () => {
      const status = await host.client.status();
      return (holeOf(status) !== undefined) === isThere && status;
    },
    SEARCH,
  );

// Searches wait for packets that are lost: each test has hosts of its own.
describe('a link on the way that drops large packets without an error', {
  ...needs,
  concurrency: true,
}, () => {
  for (const { type, overhead, option } of BACKENDS) {
    test(`${type}: is named with the size that passes and the remedy, and the route has that size`, async t => {
      const cluster = await Cluster.start(t, { config: configOf(type) });
      await cluster.fabric.links.change('h2', { mtu: 1400 });
      await cluster.startAgents();
      const one = cluster.host(1);
      const status = await untilHole(one, true);
      const { text = '', hint = '' } = holeOf(status) ?? {};
      const size = Number(/up to (\d+) bytes/.exec(text)?.[1]);
      // The kernel lets a frame of a link have room for a VLAN tag.
      assert.ok(size >= 1400 - overhead && size <= 1404 - overhead, text);
      assert.match(text, new RegExp(`to or from ${status.peers[0]?.key};`));
      assert.match(hint, option);
      const subnet = status.peers[0]?.subnet['ipv4'] ?? '';
      await eventually('the route has that size', async () =>
        new RegExp(`mtu ${size}\\b`).test(await ip(one, 'route', 'show', subnet)),
      );
      await one.untilConnected(1);

      await cluster.fabric.links.change('h2', { mtu: 1500 });
      await untilHole(one, false);
      await one.untilConnected(1);
      await eventually('the route has no size', async () => {
        const route = await ip(one, 'route', 'show', subnet);
        return route !== '' && !route.includes('mtu');
      });
    });

    test(`${type}: the MTU of the underlay is followed, and subnet.env and status agree`, async t => {
      const cluster = await Cluster.start(t, { config: configOf(type) });
      await cluster.startAgents();
      const one = cluster.host(1);
      await one.addContainer(t);
      await one.ip.links.change('eth0', { mtu: 1400 });
      const { backend } = await one.until('the MTU has changed', status => {
        const isWarned = status.warnings.some(({ code }) => code === 'BRIDGE_MTU');
        return status.backend?.overlayMtu === 1400 - overhead && isWarned;
      });
      assert.equal(
        backend?.mtuParts.reduce((sum, { bytes }) => sum + bytes, 0),
        1400 - overhead,
      );
      assert.deepEqual(backend?.mtuParts[0], { what: 'eth0', bytes: 1400 });
      await eventually('subnet.env follows', async () =>
        readFileSync(one.subnetFile, 'utf8').includes(`FLANNEL_MTU=${1400 - overhead}\n`),
      );
      if (type === 'vxlan')
        await eventually('the device follows', async () => {
          return (await one.ip.links.get('flannel.88'))?.mtu === 1400 - overhead;
        });
    });
  }
});
