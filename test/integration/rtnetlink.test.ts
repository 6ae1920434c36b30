/** Our netlink against the kernel's, seen through `ip` and `bridge`, each test in a namespace of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { change } from '../../src/netlink/change.ts';
import { connectRoute } from '../../src/netlink/connect-route.ts';
import type { KernelEvent, Rtnetlink } from '../../src/netlink/rtnetlink.ts';
import { Netns } from '../../src/sys/netns.ts';
import { needsRoot } from './support.ts';

const ONLINK = 4;
const TULLE = 77;

async function inNamespace(
  run: (rtnetlink: Rtnetlink, show: (...args: string[]) => string) => Promise<void>,
) {
  using netns = Netns.anonymous();
  await using rtnetlink = connectRoute({ netns });
  await rtnetlink.links.change('lo', { up: true });
  await run(rtnetlink, (program = '', ...args) =>
    netns.run(() => execFileSync(program, args, { encoding: 'utf8' })),
  );
}

const indexOf = async (rtnetlink: Rtnetlink, name: string) => {
  const link = await rtnetlink.links.get(name);
  assert.ok(link, `there is a link ${name}`);
  return link.index;
};

test('one VXLAN peer is four entries, which ip and bridge show', needsRoot, () =>
  inNamespace(async (rtnetlink, show) => {
    await rtnetlink.links.add({
      name: 'flannel.88',
      info: { kind: 'vxlan', id: 88, port: 4789, learning: false },
      mtu: 1450,
      up: true,
    });
    const index = await indexOf(rtnetlink, 'flannel.88');
    const mac = Mac.parse('02:00:00:00:00:01');
    const gateway = Ip.parse('10.3.2.0');
    const results = await rtnetlink.apply([
      change.replaceAddress({ index, ip: Ip.parse('10.3.1.0'), length: 32 }),
      change.replaceNeighbor({ index, ip: gateway, mac }),
      change.replaceFdb({ index, mac, destination: Ip.parse('192.168.65.4') }),
      change.replaceNexthop({ id: 5, family: 'ipv4', gateway, oif: index, flags: ONLINK, protocol: TULLE }),
      change.replaceRoute({ destination: Prefix.parse('10.3.2.0/24'), nexthopId: 5, protocol: TULLE }),
    ]);
    assert.deepEqual(results, Array(5).fill(undefined));
    assert.match(
      show('ip', '-d', 'link', 'show', 'flannel.88'),
      /mtu 1450.*vxlan id 88 .*dstport 4789 nolearning/s,
    );
    assert.equal(
      show('ip', 'route').trim().replaceAll(/ +/g, ' '),
      '10.3.2.0/24 nhid 5 via 10.3.2.0 dev flannel.88 proto 77 onlink',
    );
    assert.match(show('ip', 'neigh'), /^10\.3\.2\.0 dev flannel\.88 lladdr 02:00:00:00:00:01 PERMANENT/m);
    assert.match(
      show('bridge', 'fdb'),
      /^02:00:00:00:00:01 dev flannel\.88 dst 192\.168\.65\.4 self permanent/m,
    );
    assert.equal((await rtnetlink.routes.lookup(Ip.parse('10.3.2.7'))).gateway?.toString(), '10.3.2.0');
  }),
);

test('a refused change says why, in the words of the kernel, and stops nothing', needsRoot, () =>
  inNamespace(async rtnetlink => {
    const route = (destination: string) => ({ destination: Prefix.parse(destination), oif: 1 });
    const [first, second, third] = await rtnetlink.apply([
      change.replaceRoute(route('10.1.0.0/16')),
      change.replaceRoute({ destination: Prefix.parse('10.2.0.0/16'), gateway: Ip.parse('10.99.0.1') }),
      change.replaceRoute(route('10.3.0.0/16')),
    ]);
    assert.deepEqual([first, third], [undefined, undefined]);
    assert.equal(second?.code, 'ENETUNREACH');
    assert.equal(second?.extendedAck.message, 'Nexthop has invalid gateway');
    assert.match(
      second?.message ?? '',
      /^replace route 10\.2\.0\.0\/16 via 10\.99\.0\.1: Nexthop has invalid/,
    );
    const destinations = (await rtnetlink.routes.list({ table: 254 })).map(found => `${found.destination}`);
    assert.deepEqual(destinations, ['10.1.0.0/16', '10.3.0.0/16']);
  }),
);

test('announcements arrive decoded, and a port leaving its bridge is no link that is gone', needsRoot, () =>
  inNamespace(async rtnetlink => {
    const stop = new AbortController();
    const seen: KernelEvent[] = [];
    const events = rtnetlink.watch(['link', 'neighbor'], stop.signal);
    await rtnetlink.links.add({ name: 'br0', info: { kind: 'bridge' }, up: true });
    const master = await indexOf(rtnetlink, 'br0');
    await rtnetlink.links.add({ name: 'v0', info: { kind: 'veth', peer: { name: 'v1' } }, up: true, master });
    await rtnetlink.links.change('v0', { master: 0 });
    await rtnetlink.links.delete('v0');
    const gone: string[] = [];
    for await (const event of events) {
      seen.push(event);
      if (event.type === 'link' && event.gone) gone.push(event.link.name);
      if (gone.length === 2) break;
    }
    assert.deepEqual(gone.sort(), ['v0', 'v1']);
    assert.ok(seen.some(event => event.type === 'fdb' && !event.gone));
    stop.abort();
  }),
);

test('a living vxlan link takes a new local address and stops learning', needsRoot, () =>
  inNamespace(async (rtnetlink, show) => {
    const [before, after] = [Ip.parse('192.0.2.1'), Ip.parse('192.0.2.2')];
    await rtnetlink.links.add({ name: 'x', info: { kind: 'vxlan', id: 9, local: before, learning: true } });
    await rtnetlink.links.change('x', { info: { kind: 'vxlan', local: after, learning: false } });
    assert.match(show('ip', '-d', 'link', 'show', 'x'), /vxlan id 9 local 192\.0\.2\.2 .*nolearning/s);
  }),
);

test('what exists is not added again, and idle follows the last announcement', needsRoot, () =>
  inNamespace(async rtnetlink => {
    assert.equal(await rtnetlink.nexthops.supported(), true);
    const stop = new AbortController();
    const events = rtnetlink.watch(['nexthop', 'route'], stop.signal);
    const nexthop = change.addNexthop({ id: 7, family: 'ipv4', oif: 1 });
    const route = change.addRoute({ destination: Prefix.parse('10.3.2.0/24'), nexthopId: 7 });
    const results = await rtnetlink.apply([nexthop, route, nexthop, route]);
    assert.deepEqual(
      results.map(result => result?.code),
      [undefined, undefined, 'EEXIST', 'EEXIST'],
    );
    const types: string[] = [];
    for await (const { type } of events) {
      types.push(type);
      if (type === 'idle') break;
    }
    stop.abort();
    assert.deepEqual(types, ['nexthop', 'route', 'idle']);
  }),
);
