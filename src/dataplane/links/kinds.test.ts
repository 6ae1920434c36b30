/** Links of every kind on the fake kernel; test/integration/dataplane-links.test.ts has the same on the real one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeHost } from '../../testing/dataplane/fake-host.ts';
import { linkCases } from '../../testing/dataplane/link-cases.ts';
import type { DesiredLink } from '../desired-link.ts';

const hostWith = (...links: DesiredLink[]) => ({ networks: [], links, addresses: [], sysctls: [] });

describe('a link', () => {
  for (const { title, link, bridge, changed, fault } of linkCases(2)) {
    const below = bridge === undefined ? [] : [bridge];
    test(`${title} is made, adopted, repaired, changed in place and deleted`, async () => {
      await using host = new FakeHost();
      const before = host.show();
      host.network.setHost(hostWith(...below, link));
      assert.deepEqual((await host.plane.apply()).failures, []);
      const made = host.show();
      const index = (await host.others.links.get(link.name))?.index;
      assert.equal((await host.plane.resync('test')).writes, 0);

      if (fault !== undefined) {
        await host.others.links.change(link.name, fault);
        assert.notEqual(host.show(), made);
        await host.pass(1000);
        assert.equal(host.show(), made);
        assert.deepEqual(
          host.repairs.map(({ object, action }) => `${object} ${action}`),
          ['link replaced'],
        );
      }
      host.network.setHost(hostWith(...below, changed));
      assert.equal((await host.plane.apply()).inSync, true);
      assert.notEqual(host.show(), made);
      assert.equal((await host.others.links.get(link.name))?.index, index, 'it is the same link');
      host.network.setHost(hostWith());
      assert.equal((await host.plane.apply()).inSync, true);
      assert.equal(host.show(), before);
    });
  }

  test('that is to be a port of a bridge is made one, and again after it was released', async () => {
    await using host = new FakeHost();
    const bridge = { kind: 'bridge', name: 'b0' } as const;
    const links = linkCases(2).flatMap(({ title, link }) => (title === 'a vxlan' ? [link] : []));
    host.network.setHost(hostWith(bridge, ...links.map(link => ({ ...link, master: 'b0' }))));
    assert.deepEqual((await host.plane.apply()).failures, []);
    const made = host.show();
    assert.match(made, /^v0: .* master b0 /m);
    await host.others.links.change('v0', { master: 0 });
    await host.pass(1000);
    assert.equal(host.show(), made);
    await host.others.links.delete('b0');
    await host.pass(1000);
    assert.match(host.show(), /^v0: .* master b0 /m, 'of the new bridge too');
  });

  test('that only another process can make is waited for, and then kept as it should be', async () => {
    await using host = new FakeHost();
    host.network.setHost(hostWith({ kind: 'tun', name: 't0', type: 'tun', mtu: 1472 }));
    const [failure] = (await host.plane.apply()).failures;
    assert.equal(failure, 'link t0: no process has made the tun device t0');
    assert.equal(host.plane.report().links[0]?.code, 'LINK_MISSING');
    host.kernel.plugIn({ name: 't0', info: { kind: 'tun', type: 'tun' } });
    await host.pass(1000);
    assert.equal(host.plane.report().inSync, true);
    assert.match(host.show(), /^t0: <[^>]*\bUP\b[^>]*> mtu 1472 /m);
  });

  test('of another kind under the name of ours stays', async () => {
    await using host = new FakeHost();
    host.kernel.plugIn({ name: 'b0', info: { kind: 'wireguard' } });
    const before = host.show();
    host.network.setHost(hostWith({ kind: 'bridge', name: 'b0' }));
    const [failure] = (await host.plane.apply()).failures;
    assert.equal(failure, 'link b0: a device b0 exists and is not a bridge device');
    assert.equal(host.show(), before);
  });

  test('of ours that is to be of another kind is deleted, and made as the other, also after a while in between', async () => {
    await using host = new FakeHost();
    const [vxlan] = linkCases(2);
    assert.ok(vxlan);
    const bridge = { kind: 'bridge', name: vxlan.link.name } as const;
    for (const link of [vxlan.link, bridge, vxlan.link]) {
      host.network.setHost(hostWith(link));
      assert.deepEqual((await host.plane.apply()).failures, []);
      assert.equal((await host.others.links.get(link.name))?.info?.kind, link.kind);
    }
    host.network.setHost(hostWith(bridge));
    host.network.setHost(hostWith());
    await host.plane.apply();
    assert.equal(
      await host.others.links.get(bridge.name),
      undefined,
      'what was never made leaves nothing behind',
    );
  });

  test('of the host is used as it is, and missed when it is not there', async () => {
    await using host = new FakeHost();
    const before = host.show();
    host.network.setHost(hostWith({ kind: 'existing', name: 'eth0' }, { kind: 'existing', name: 'eth9' }));
    const { failures, writes } = await host.plane.apply();
    assert.deepEqual([failures, writes], [['link eth9: this host has no link eth9'], 0]);
    host.kernel.plugIn({ name: 'eth9' });
    await host.pass(1000);
    assert.equal(host.plane.report().inSync, true);
    host.network.setHost(hostWith());
    assert.equal((await host.plane.apply()).inSync, true);
    assert.ok(await host.others.links.get('eth9'), 'it is not deleted');
    assert.match(host.show(), new RegExp(before));
  });
});
