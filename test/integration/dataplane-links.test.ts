/** Links of every kind, on a real kernel: what `kinds.test.ts` has on the fake one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DesiredLink } from '../../src/dataplane/desired-link.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { linkCases } from '../../src/testing/dataplane/link-cases.ts';
import { needsRoot } from '../support/capabilities.ts';
import { Running, summary, TestHost } from './dataplane-host.ts';

const hostWith = (...links: DesiredLink[]) => ({ networks: [], links, addresses: [], sysctls: [] });

/** Kinds that a kernel may be built without. */
const MAY_LACK: ReadonlySet<string> = new Set(['ipip']);

describe('a link', needsRoot, () => {
  for (const { title, link, bridge, changed, fault } of linkCases(3)) {
    const below = bridge === undefined ? [] : [bridge];
    test(`${title} is made, adopted, repaired, changed in place and deleted`, async t => {
      using host = new TestHost();
      assert.equal(host.indexOf('eth0'), 3);
      await using running = new Running(host);
      await using others = connectRoute({ netns: host.netns });
      const { plane, network, rtnetlink } = running;
      const look = async () => {
        const { index, up, mtu, mac, master, lower, info, port } = (await others.links.get(link.name)) ?? {};
        // What has no name here is often a timer.
        return JSON.stringify({
          index,
          up,
          mtu,
          mac,
          master,
          lower,
          port,
          info: {
            ...info,
            unknown: undefined,
          },
        });
      };
      network.setHost(hostWith(...below, link));
      const { failures, inSync } = await plane.apply();
      if (MAY_LACK.has(link.kind) && failures.some(failure => failure.includes('Unknown device type'))) {
        t.diagnostic(`this kernel has no ${link.kind}: what is tested is that it is reported`);
        assert.equal(inSync, false);
        network.setHost(hostWith());
        assert.deepEqual(await plane.apply().then(result => [result.inSync, result.failures.length]), [
          true,
          0,
        ]);
        return;
      }
      assert.deepEqual(failures, []);
      const made = await look();
      const index = (await others.links.get(link.name))?.index;
      assert.equal((await plane.resync('test')).writes, 0);
      assert.equal(await look(), made);

      if (fault !== undefined) {
        const repairs = await running.after(
          () => others.links.change(link.name, fault),
          ({ inSync }) => inSync && running.repairs.length > 0,
        );
        assert.deepEqual(summary(repairs), ['link replaced']);
        assert.equal(await look(), made);
      }
      network.setHost(hostWith(...below, changed));
      assert.deepEqual((await plane.apply()).failures, []);
      assert.notEqual(await look(), made);
      assert.equal((await rtnetlink.links.get(link.name))?.index, index);
      network.setHost(hostWith());
      assert.equal((await plane.apply()).inSync, true);
      assert.equal(await rtnetlink.links.get(link.name), undefined);
    });
  }

  test('a bridge keeps its MTU when its last port goes', async () => {
    using host = new TestHost();
    await using running = new Running(host);
    const bridge = { kind: 'bridge', name: 'br0', mtu: 1450 } as const;
    running.network.setHost(hostWith(bridge));
    assert.deepEqual((await running.plane.apply()).failures, []);
    host.sh('ip link add name v0 mtu 1450 type veth peer name v1');
    host.sh('ip link set v0 master br0');
    host.sh('ip link delete v0');
    assert.match(host.sh('ip -o link show br0'), / mtu 1450 /);
    assert.equal((await running.plane.resync('test')).writes, 0);
  });
});
