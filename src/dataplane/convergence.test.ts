/** Whatever is stated, whatever others do to the kernel and whatever it refuses: in the end the kernel is as stated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import type { Change } from '../netlink/protocol.ts';
import { change } from '../netlink/route/change.ts';
import type { NewRoute } from '../netlink/route/objects.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { DEVICE, FakeHost, fakePath, fakePeer } from '../testing/dataplane/fake-host.ts';
import { fc } from '../testing/properties.ts';
import type { DesiredPeer, PeerPath } from './desired.ts';
import { NexthopIds } from './tables/nexthops.ts';

const ids = new NexthopIds(DEVICE);
const ip = (text: string) => Ip.parse(text);
const STRAY = Mac.parse('02:00:00:00:09:09');

/** Straight over the link of the host: several have the same gateway. */
const directPath = (subnet: Prefix, underlayIp: Ip): PeerPath => ({
  link: 'eth0',
  subnet,
  underlayIp,
  entries: [{ kind: 'route', destination: subnet, gateway: underlayIp }],
});

const number = fc.integer({ min: 1, max: 5 });
/**
 * Now and then one that wants the subnet of another peer, or its MAC, or the subnet of one and the MAC of another; with a
 * second subnet over the same device, and a third one straight over the link of the host.
 */
const peer = fc
  .record({
    n: number,
    moved: fc.boolean(),
    revision: fc.bigInt({ min: 1n, max: 3n }),
    isOther: fc.boolean(),
    twin: fc.option(number, { nil: undefined }),
    hasSecond: fc.boolean(),
    hasDirect: fc.boolean(),
  })
  .map(({ n, moved, revision, isOther, twin, hasSecond, hasDirect }) => {
    const mac = twin === undefined ? `02:00:00:00:02:0${n}` : `02:00:00:00:01:0${twin}`;
    const changes = moved ? { mac, underlayIp: `192.168.65.20${n}` } : {};
    const one = fakePeer(n, { revision, ...changes });
    const second = fakePath(n, Prefix.parse(`10.4.${n}.0/24`), changes);
    const direct = directPath(Prefix.parse(`10.5.${n}.0/24`), ip(`192.168.65.${moved ? 20 : 10}`));
    const paths = [...one.paths, ...(hasSecond ? [second] : []), ...(hasDirect ? [direct] : [])];
    return { ...one, paths, key: isOther ? `other-${n}` : one.key };
  });
const key = fc
  .record({ n: number, isOther: fc.boolean() })
  .map(({ n, isOther }) => (isOther ? `other-${n}` : fakePeer(n).key));

const statement = fc.oneof(
  fc.record({ do: fc.constant('set' as const), peer }),
  fc.record({ do: fc.constant('remove' as const), key }),
  fc.record({
    do: fc.constant('set all' as const),
    peers: fc.uniqueArray(peer, { selector: ({ key }) => key, maxLength: 5 }),
  }),
);

const FAULTS = [
  'delete route',
  'divert route',
  'add route',
  'delete direct route',
  'divert direct route',
  'delete neighbor',
  'divert neighbor',
  'add neighbor',
  'delete fdb',
  'divert fdb',
  'add fdb',
  'delete nexthop',
  'divert nexthop',
  'add nexthop',
  'delete address',
  'add address',
  'down',
  'flap',
  'change mtu',
  'change mac',
  'delete link',
] as const;
type Fault = (typeof FAULTS)[number];

/** What another program does, to entry number n where it is about one; also while a request of ours is handled. */
const damage = fc.record({
  do: fc.constant('fault' as const),
  what: fc.constantFrom(...FAULTS),
  n: number,
  atRequest: fc.option(fc.nat(15), { nil: undefined }),
});

const trouble = fc.oneof(
  fc.record({ do: fc.constant('overrun' as const) }),
  fc.record({
    do: fc.constant('refuse' as const),
    type: fc.constantFrom('route', 'nexthop', 'neighbor', 'fdb', 'link', 'address'),
    code: fc.constantFrom('EBUSY' as const, 'ENOMEM' as const, 'EEXIST' as const),
    times: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ do: fc.constant('interrupt dumps' as const), times: fc.integer({ min: 1, max: 15 }) }),
);

const pause = fc.oneof(
  fc.record({ do: fc.constant('apply' as const) }),
  fc.record({ do: fc.constant('begin to apply' as const), turns: fc.nat(6) }),
  fc.record({ do: fc.constant('wait' as const) }),
);

const step = fc.oneof(
  { weight: 2, arbitrary: statement },
  { weight: 5, arbitrary: damage },
  { weight: 1, arbitrary: trouble },
  { weight: 5, arbitrary: pause },
);

/** Refusals on the way are part of the game: what is not there cannot be changed. */
async function inject(host: FakeHost, what: Fault, n: number, atRequest: number | undefined): Promise<void> {
  const index = await host.index();
  if (index === 0) return;
  const changes = changesOf(what, n, index);
  if (atRequest === undefined) {
    await host.others.apply(changes);
    return;
  }
  let left = atRequest;
  host.kernel.refuse('EBUSY', () => {
    // What is done here is a request as well.
    if (left-- === 0) for (const one of changes) host.interject(one);
    return false;
  });
}

function changesOf(what: Fault, n: number, index: number): readonly Change[] {
  const gateway = ip(`10.3.${n}.0`);
  const mac = Mac.parse(`02:00:00:00:01:0${n}`);
  const nexthop = { id: ids.of(gateway), family: 'ipv4' as const, oif: index, flags: 4, protocol: 77 };
  const stray = ip(`10.3.9${n}.0`);
  const link = (to: Parameters<Rtnetlink['links']['change']>[1]) => change.changeLink(index, to);
  const route = (destination: Ip, more: NewRoute) => ({ destination: Prefix.of(destination, 24), ...more });
  const onlink = { oif: index, flags: 4 };
  const changes: Record<Fault, Change[]> = {
    'delete route': [change.deleteRoute(route(gateway, {}))],
    'divert route': [change.replaceRoute(route(gateway, { gateway: stray, ...onlink, protocol: 77 }))],
    'add route': [change.replaceRoute(route(stray, { gateway: stray, ...onlink, protocol: 77 }))],
    'delete direct route': [change.deleteRoute(route(ip(`10.5.${n}.0`), {}))],
    'divert direct route': [
      change.replaceRoute(route(ip(`10.5.${n}.0`), { gateway: stray, ...onlink, protocol: 77 })),
    ],
    'delete neighbor': [change.deleteNeighbor({ index, ip: gateway })],
    'divert neighbor': [change.replaceNeighbor({ index, ip: gateway, mac: STRAY })],
    'add neighbor': [change.replaceNeighbor({ index, ip: stray, mac: STRAY })],
    'delete fdb': [change.deleteFdb({ index, mac })],
    'divert fdb': [change.replaceFdb({ index, mac, destination: ip('192.0.2.1') })],
    'add fdb': [change.replaceFdb({ index, mac: STRAY, destination: ip('192.0.2.1') })],
    'delete nexthop': [change.deleteNexthop(nexthop.id)],
    'divert nexthop': [change.replaceNexthop({ ...nexthop, gateway: stray })],
    'add nexthop': [change.replaceNexthop({ ...nexthop, id: 90 + n, gateway: stray })],
    'delete address': [change.deleteAddress({ index, ip: ip('10.3.0.0'), length: 32 })],
    'add address': [change.replaceAddress({ index, ip: stray, length: 32 })],
    down: [link({ up: false })],
    flap: [link({ up: false }), link({ up: true })],
    'change mtu': [link({ mtu: 1300 })],
    'change mac': [link({ mac: STRAY })],
    'delete link': [change.deleteLink(index)],
  };
  return changes[what];
}

/** Entries that are none of our business, made before anything else. */
async function addForeign(host: FakeHost): Promise<void> {
  const index = (await host.others.links.get('eth0'))?.index ?? 0;
  const other = host.kernel.plugIn({ name: 'eth1', up: true });
  const results = await host.others.apply([
    change.replaceAddress({ index, ip: ip('192.168.65.3'), length: 24 }),
    change.addRoute({ destination: Prefix.parse('10.3.77.0/24'), gateway: ip('192.168.65.1'), oif: index }),
    change.addRoute({ destination: Prefix.parse('10.3.78.0/24'), oif: other.index, protocol: 77 }),
    change.replaceNeighbor({ index, ip: ip('192.168.65.1'), mac: STRAY }),
    change.addNexthop({ id: 5, family: 'ipv4', gateway: ip('192.168.65.1'), oif: index }),
  ]);
  assert.ok(results.every(error => error === undefined));
}

/** With the link of the host, which direct paths lead over. */
function begin(host: FakeHost, peers: Iterable<DesiredPeer>): Promise<unknown> {
  const links = [...host.desired.links, { kind: 'existing', name: 'eth0' } as const];
  host.network.set({ host: { ...host.desired, links }, peers });
  return host.plane.apply();
}

/** What the kernel must show for these peers, besides what is foreign, and what the data plane must report. */
async function expected(peers: Iterable<DesiredPeer>): Promise<unknown> {
  await using fresh = new FakeHost();
  await addForeign(fresh);
  await begin(fresh, peers);
  return outcome(fresh);
}

function outcome(host: FakeHost): unknown {
  const { inSync, failed, lastError } = host.plane.report();
  return { kernel: host.show(), inSync, failed, hasError: lastError !== undefined };
}

test('after anything the kernel comes to be as stated, and what is foreign stays', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20, size: 'max' }), async steps => {
      await using host = new FakeHost();
      await addForeign(host);
      const peers = new Map([1, 2, 3, 4, 5].map(n => [fakePeer(n).key, fakePeer(n)]));
      await begin(host, peers.values());
      for (const now of steps) {
        if (now.do === 'set') {
          peers.set(now.peer.key, now.peer);
          host.network.setPeer(now.peer);
        } else if (now.do === 'remove') {
          peers.delete(now.key);
          host.network.removePeer(now.key);
        } else if (now.do === 'set all') {
          peers.clear();
          for (const one of now.peers) peers.set(one.key, one);
          host.network.setPeers(now.peers);
        } else if (now.do === 'apply') {
          await host.plane.apply().catch(() => undefined);
        } else if (now.do === 'begin to apply') {
          void host.plane.apply().catch(() => undefined);
          for (let turn = 0; turn < now.turns; turn++) await setImmediate();
        } else if (now.do === 'wait') {
          await host.pass(100);
        } else if (now.do === 'overrun') {
          host.kernel.overrun();
        } else if (now.do === 'refuse') {
          host.kernel.refuse(now.code, request => request.type === now.type, now.times);
        } else if (now.do === 'interrupt dumps') {
          host.kernel.interruptDumps(now.times);
        } else {
          await inject(host, now.what, now.n, now.atRequest);
        }
      }
      void host.plane.apply().catch(() => undefined);
      await host.pass(20_000);
      assert.deepEqual(outcome(host), await expected(peers.values()));
      assert.equal((await host.plane.resync('test')).writes, 0);
    }),
    { numRuns: Number(process.env['TULLE_RUNS'] ?? 60) },
  );
});
