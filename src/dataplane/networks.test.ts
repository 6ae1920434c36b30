/** Several networks in one data plane: each has its own, shares what can be shared, and never fights another. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { change } from '../netlink/route/change.ts';
import { DEVICE, FakeHost, fakePeer } from '../testing/dataplane/fake-host.ts';
import type { NetworkScope } from './data-plane.ts';
import type { DesiredHost, DesiredPeer } from './desired.ts';

const ETH0 = { kind: 'existing', name: 'eth0' } as const;
const underlayHost: DesiredHost = { networks: [], links: [ETH0], addresses: [], sysctls: [] };

/** Peer n, as host-gw reaches it; through host `via`, with the same key as the one behind a tunnel. */
function direct(n: number, via = n): DesiredPeer {
  const peer = fakePeer(n);
  const underlayIp = Ip.parse(`192.168.65.10${via}`);
  const paths = peer.paths.map(({ subnet }) => ({
    link: 'eth0',
    subnet,
    underlayIp,
    entries: [{ kind: 'route', destination: subnet, gateway: underlayIp } as const],
  }));
  return { ...peer, paths };
}

/** With the underlay's address, so that gateways can be reached. */
async function hostWithUnderlay(): Promise<{ host: FakeHost; other: NetworkScope } & AsyncDisposable> {
  const host = new FakeHost();
  const index = (await host.others.links.get('eth0'))?.index ?? 0;
  await host.others.addresses.replace({ index, ip: Ip.parse('192.168.65.3'), length: 24 });
  const other = host.plane.network('other');
  return { host, other, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
}

const routes = (host: FakeHost) => host.show().match(/^10\.\S+\/24(?= ).*$/gm) ?? [];

describe('several networks', () => {
  test('keep their links, peers and reports apart, and share nothing but the host', async () => {
    await using made = await hostWithUnderlay();
    const { host, other } = made;
    const before = host.show();
    other.set({ host: underlayHost, peers: [direct(2), direct(3)] });
    await host.begin([fakePeer(1), { ...fakePeer(4), key: '10.3.2.0-24' }]);
    assert.deepEqual(
      host.plane.networks.map(({ name }) => name),
      ['overlay', 'other'],
    );
    assert.equal(host.network, host.plane.network('overlay'));
    const reports = [host.network, other].map(network => network.report());
    assert.deepEqual(
      reports.map(({ name, inSync, wanted, failed, links }) => [
        name,
        inSync,
        wanted,
        failed,
        links.map(link => link.name),
      ]),
      [
        ['overlay', true, 11, 0, [DEVICE]],
        ['other', true, 5, 0, ['eth0']],
      ],
    );
    assert.equal(host.plane.report().wanted, 16);
    // The same key in two networks is two peers.
    const desired = [host.network, other].map(network => network.peerReport('10.3.2.0-24')?.desired.at(-1));
    assert.match(desired[0] ?? '', /10\.3\.4\.0\/24/);
    assert.match(desired[1] ?? '', /10\.3\.2\.0\/24 .*eth0/);
    host.network.removePeer('10.3.2.0-24');
    assert.equal((await host.plane.apply()).inSync, true);
    assert.deepEqual(routes(host).length, 3);

    other.remove();
    host.network.remove();
    assert.equal((await host.plane.apply()).inSync, true);
    assert.equal(host.show(), before);
    assert.deepEqual(host.plane.networks, []);
    assert.throws(() => other.setPeers([]), /network other was removed/);
    assert.deepEqual(host.plane.report().links, []);
  });

  test('a link of our own belongs to the first that wants its name, until it wants it no more', async () => {
    await using made = await hostWithUnderlay();
    const { host, other } = made;
    const theirs = {
      ...host.desired,
      links: host.desired.links.map(link => ({ ...link, vni: 99, mac: Mac.parse('02:00:00:00:00:99') })),
    };
    other.set({ host: theirs, peers: [fakePeer(2)] });
    const { inSync, failures } = await host.begin([fakePeer(1)]);
    assert.equal(inSync, false);
    const taken = 'network overlay has a link of this name';
    const unreachable = '10.3.2.0/24 cannot be routed over flannel.88, which belongs to network overlay';
    assert.deepEqual(failures, [`link flannel.88: ${taken}`, `peer 10.3.2.0-24: ${unreachable}`]);
    assert.equal(host.network.report().inSync, true);
    const report = other.report();
    assert.deepEqual([report.inSync, report.failures], [false, failures]);
    assert.deepEqual([report.links[0]?.reason, report.links[0]?.code], [taken, 'LINK_OF_ANOTHER_NETWORK']);
    assert.equal(other.peerReport('10.3.2.0-24')?.reason, unreachable);
    await host.pass(60_000);
    assert.deepEqual(host.repairs, [], 'nobody fights');

    host.network.setHost({ ...host.desired, links: [], addresses: [], sysctls: [] });
    await host.plane.apply();
    assert.match(host.show(), /^flannel\.88: .* vxlan id 99 /m);
    assert.deepEqual(
      routes(host).map(route => route.slice(0, 11)),
      ['10.3.2.0/24'],
    );
    assert.equal(other.report().inSync, true);
  });

  test('a destination that two want over different links belongs to the first, and goes to the other after it', async () => {
    await using made = await hostWithUnderlay();
    const { host, other } = made;
    other.set({ host: underlayHost, peers: [direct(1), direct(2)] });
    const { inSync, failures } = await host.begin([fakePeer(1)]);
    assert.equal(inSync, false);
    const reason = 'route 10.3.1.0/24 belongs to network overlay, where peer 10.3.1.0-24 has it';
    assert.equal(failures.length, 1);
    assert.ok(failures[0]?.endsWith(reason), failures[0]);
    assert.deepEqual(
      [other.peerReport('10.3.1.0-24')?.state, other.peerReport('10.3.1.0-24')?.reason],
      ['failed', reason],
    );
    assert.deepEqual([host.network.report().failed, other.report().failed], [0, 1]);
    assert.equal(host.network.report().inSync, true);
    const { writes } = host;
    await host.pass(60_000);
    assert.deepEqual(host.repairs, []);
    assert.equal(host.writes, writes);
    await host.others.apply([change.deleteRoute({ destination: Prefix.parse('10.3.1.0/24') })]);
    await host.pass(100);
    assert.match(routes(host)[0] ?? '', /^10\.3\.1\.0\/24 .*dev flannel\.88/);

    const missing = watchForGap(host, '10.3.1.0/24');
    host.network.removePeer('10.3.1.0-24');
    assert.equal((await host.plane.apply()).inSync, true);
    assert.match(routes(host)[0] ?? '', /^10\.3\.1\.0\/24 .*via 192\.168\.65\.101 dev eth0/);
    host.network.setPeer(fakePeer(1));
    await host.plane.apply();
    assert.match(routes(host)[0] ?? '', /^10\.3\.1\.0\/24 .*dev flannel\.88/);
    assert.equal(missing(), 0, 'there is a route at every moment');
  });

  test('an entry on a link of the host that both want alike is shared, and otherwise the first has it', async () => {
    await using made = await hostWithUnderlay();
    const { host, other } = made;
    host.network.set({ host: underlayHost, peers: [direct(1), direct(2)] });
    other.set({ host: underlayHost, peers: [direct(1), direct(2, 3)] });
    const { failures } = await host.plane.apply();
    assert.equal(failures.length, 1);
    assert.match(failures[0] ?? '', /10\.3\.2\.0\/24 .*192\.168\.65\.103.* belongs to network overlay/);
    assert.equal(other.peerReport('10.3.1.0-24')?.state, 'ok');
    host.network.remove();
    assert.equal((await host.plane.apply()).inSync, true);
    assert.equal(routes(host).length, 2);
    assert.match(routes(host)[1] ?? '', /via 192\.168\.65\.103 dev eth0/);
    other.remove();
    await host.plane.apply();
    assert.deepEqual(routes(host), []);
  });

  test('two links of one network that want a destination have one winner, which is the same on every host', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      await using made = await hostWithUnderlay();
      const { host } = made;
      const both = [fakePeer(1, { revision: 2n }), { ...direct(1), key: 'other' }];
      host.network.set({
        host: { ...host.desired, links: [...host.desired.links, ETH0] },
        peers: order.flatMap(n => both[n] ?? []),
      });
      const { inSync, failures } = await host.plane.apply();
      assert.deepEqual([inSync, failures.length], [false, 1]);
      assert.match(
        failures[0] ?? '',
        /dev eth0 proto 77: route 10\.3\.1\.0\/24 is claimed by 10\.3\.1\.0-24 too, whose lease is newer$/,
      );
      assert.match(routes(host)[0] ?? '', /dev flannel\.88/);
      const { writes } = host;
      await host.pass(600_000);
      assert.deepEqual([host.writes, host.repairs], [writes, []]);
    }
  });
});

/** Counts the changes after which nothing leads to a destination. */
function watchForGap({ kernel }: FakeHost, destination: string): () => number {
  let gaps = 0;
  kernel.refuse('EBUSY', () => {
    if (!kernel.show('ip route').includes(destination)) gaps++;
    return false;
  });
  return () => gaps;
}
