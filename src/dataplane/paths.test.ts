/** What a peer's paths may be: several over one link, over a link that is gone, and over one that nobody desires. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Prefix } from '../base/prefix.ts';
import { DEVICE, FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';
import type { DesiredPeer } from './desired.ts';

/** Peer n with a second subnet, 10.4.n.0/24, behind the same VTEP. */
function twoSubnets(n: number): DesiredPeer {
  const peer = fakePeer(n);
  const second = Ip.parse(`10.4.${n}.0`);
  return {
    ...peer,
    paths: peer.paths.flatMap(path => [path, { ...path, subnet: Prefix.of(second, 24), gateway: second }]),
  };
}

const routes = (host: FakeHost) => host.show().match(/^10\.\S+\/24(?= nhid)/gm);

describe('paths', () => {
  test('two of one peer over one link are both programmed, changed and removed, each on its own', async () => {
    await using host = new FakeHost();
    assert.equal((await host.begin([twoSubnets(1), fakePeer(2)])).inSync, true);
    assert.deepEqual(routes(host), ['10.3.1.0/24', '10.3.2.0/24', '10.4.1.0/24']);
    const entries = host.plane.peerReport('10.3.1.0-24')?.actual ?? [];
    assert.equal(entries.filter(text => text.startsWith('route ')).length, 2);

    host.plane.setPeer(fakePeer(1));
    assert.equal((await host.plane.apply()).inSync, true);
    assert.deepEqual(routes(host), ['10.3.1.0/24', '10.3.2.0/24']);
    assert.match(host.show(), /^02:00:00:00:01:01 dev flannel\.88 dst/m, 'the FDB entry of both stays');
    await using fresh = new FakeHost();
    await fresh.begin([fakePeer(1), fakePeer(2)]);
    assert.equal(host.show(), fresh.show());
  });

  test('one over a link that nobody desires is a failure, until the link is desired', async () => {
    await using host = new FakeHost();
    const peer = fakePeer(1);
    const paths = peer.paths.map(path => ({ ...path, link: 'flannel.99' }));
    const reason = '10.3.1.0/24 cannot be routed over flannel.99, which is no desired link';
    const { inSync, failures } = await host.begin([{ ...peer, paths }]);
    assert.deepEqual({ inSync, failures }, { inSync: false, failures: [`peer ${peer.key}: ${reason}`] });
    assert.equal(host.plane.report().failed, 1);
    const report = host.plane.peerReport(peer.key);
    assert.deepEqual([report?.state, report?.reason], ['failed', reason]);

    const link = host.desired.links.map(one => ({ ...one, name: 'flannel.99', vni: 99 }));
    host.plane.setHost({ ...host.desired, links: [...host.desired.links, ...link] });
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(host.show(), /^10\.3\.1\.0\/24 nhid \d+ via 10\.3\.1\.0 dev flannel\.99 /m);
    assert.equal(host.plane.peerReport(peer.key)?.state, 'ok');
  });

  test('a device that somebody makes a port of a bridge stays one, where nothing was said of that', async () => {
    await using host = new FakeHost();
    await host.begin([fakePeer(1)]);
    const bridge = host.kernel.plugIn({ name: 'br0', info: { kind: 'bridge' } });
    await host.others.links.change(DEVICE, { master: bridge.index });
    await host.pass(1000);
    assert.equal((await host.others.links.get(DEVICE))?.master, bridge.index);
    assert.deepEqual(host.repairs, []);
  });
});
