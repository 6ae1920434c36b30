/** The fast path as a walk over a host reads it: programs at links, the flows of their maps, why a packet takes the normal path. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastWay, Walk } from '../../src/api/walk.ts';
import type { Role } from '../../src/fastpath/roles.ts';
import { fastNote } from '../../src/inspect/capture/fast-note.ts';
import { fastPathListing } from '../../src/inspect/fastpath/listing.ts';
import { HostReader } from '../../src/inspect/host/host-reader.ts';
import { NamespaceReader } from '../../src/inspect/host/namespace-reader.ts';
import { walkHost } from '../../src/inspect/path/walk-host.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import { needsBpf } from '../support/bpftool.ts';
import {
  type PlantedFlow,
  plantFastPath,
  plantFlow,
  plantMaps,
  plantProgram,
} from '../support/fast-path-plant.ts';
import type { Namespace } from '../support/neighbourhood.ts';
import { overlayPair } from '../support/overlay-pair.ts';

const SENT: Walk = { from: '10.5.1.2', to: '10.5.2.2', protocol: 'udp', toPort: 80, opens: true };
const FLOW = { local: '10.5.1.2', remote: '10.5.2.2', localPort: 40_000, remotePort: 80 } as const;
const CARRIER = { kind: 'vxlan', from: '192.0.2.1', to: '192.0.2.2', port: 8472, vni: 1 } as const;
const LATER = 2n ** 62n;
const PROVEN = {
  sentUntil: LATER,
  deliveredUntil: LATER,
  sentSeen: 8,
  deliveredSeen: 8,
  cleared: 1,
} as const;

async function indexes({ netns }: Namespace) {
  await using rtnetlink = connectRoute({ netns });
  const links = await rtnetlink.links.list();
  const indexOf = (name: string) => links.find(link => link.name === name)?.index ?? assert.fail(name);
  return { 'host end': indexOf('veth-c'), uplink: indexOf('eth0') };
}

interface Planted {
  readonly without?: readonly Role[];
  readonly flows?: readonly PlantedFlow[];
}

async function plant(t: TestContext, host: Namespace, { without = [], flows = [] }: Planted): Promise<void> {
  const maps = plantMaps();
  t.after(() => maps[Symbol.dispose]());
  const ends = await indexes(host);
  host.netns.run(() => plantFastPath(ends, maps, without));
  for (const flow of flows) plantFlow(maps, flow);
}

async function fastAt({ netns }: Namespace, walk: Walk): Promise<FastWay | undefined> {
  await using host = HostReader.open({ netns, socketPath: '/nonexistent' });
  const { fastPath, blind, hops } = await walkHost(host, walk);
  assert.deepEqual([blind, hops.filter(({ fault }) => fault !== undefined)], [[], []]);
  return fastPath;
}

test('a flow would go it, and what is left out then is named, on both hosts', needsBpf, async t => {
  const { near, far } = await overlayPair(t);
  await plant(t, near.host, {});
  await plant(t, far.host, {});
  const sent = await fastAt(near.host, SENT);
  assert.equal(sent?.state, 'ready');
  assert.match(
    sent.text,
    /between veth-c and eth0, as soon as 8 packets.* Then br0, vx1, the routes and rules of/,
  );
  const received = await fastAt(far.host, { ...SENT, carrier: CARRIER });
  assert.equal(received?.state, 'ready');
  assert.deepEqual(await fastAt(near.host, { ...SENT, opens: false }), undefined, 'it is said once');
});

test('flows that are there are shown with their counters, and why they are not fast', needsBpf, async t => {
  const { near } = await overlayPair(t);
  const flow = (localPort: number, state: PlantedFlow['state'], more: Partial<PlantedFlow> = {}) => ({
    ...FLOW,
    localPort,
    ...more,
    state: { ...PROVEN, ...state },
  });
  const flows = [
    flow(40_001, { sentPackets: 12n, sentBytes: 1200n, deliveredPackets: 9n, deliveredBytes: 900n }),
    flow(40_002, { sentPackets: 11n, generation: 6n }),
    flow(40_003, { sentPackets: 10n, deliveredSeen: 0 }),
    flow(40_004, { sentPackets: 9n, sentSeen: 3 }),
    flow(40_005, { sentPackets: 8n, sentUntil: 1n, deliveredUntil: 1n }),
    flow(40_006, { sentPackets: 7n }),
    flow(40_007, { sentPackets: 99n, cleared: 0 }, { protocol: 'tcp' }),
    flow(40_008, { sentPackets: 98n }, { remotePort: 81 }),
    flow(40_009, { sentPackets: 97n }, { remote: '10.5.2.3' }),
  ];
  await plant(t, near.host, { flows });
  const found = await fastAt(near.host, SENT);
  assert.equal(found?.state, 'fast');
  assert.deepEqual(
    found.flows.map(({ localPort, sent, delivered, reason = '' }) => [
      localPort,
      sent && delivered,
      reason.split(/[,:]/)[0],
    ]),
    [
      [40_001, true, ''],
      [40_002, false, 'something on this host has changed'],
      [40_003, false, 'only packets of the container were seen'],
      [40_004, false, 'it is being proven'],
      [40_005, false, 'it rests'],
    ],
  );
  const { sentPackets, sentBytes, deliveredPackets, deliveredBytes } = found.flows[0] ?? assert.fail();
  assert.deepEqual([sentPackets, sentBytes, deliveredPackets, deliveredBytes], [12, 1200, 9, 900]);
  const one = await fastAt(near.host, { ...SENT, fromPort: 40_004 });
  assert.deepEqual([one?.state, one?.flows.length, one?.flows[0]?.localPort], ['ready', 1, 40_004]);
  const tcp = await fastAt(near.host, { ...SENT, protocol: 'tcp' });
  assert.match(tcp?.flows[0]?.reason ?? '', /connection tracking has not been prepared/);
});

test(
  'why none can: a point without its program, ICMP, IPv6, a translation, none at all',
  needsBpf,
  async t => {
    const { near, far } = await overlayPair(t);
    await plant(t, near.host, { without: ['delivered'] });
    const why = async (walk: Partial<Walk> = {}) => {
      const found = await fastAt(near.host, { ...SENT, ...walk });
      assert.equal(found?.state, 'normal');
      return found.text;
    };
    assert.match(await why(), /delivered at the egress of veth-c is missing, and no agent answers/);
    assert.match(await why({ protocol: 'icmp' }), /^ICMP always takes the normal path/);
    assert.match(await why({ from: 'fd05:0:0:1::2', to: 'fd05:0:0:2::2' }), /IPv6/);
    await near.host.do('iptables -t nat -A POSTROUTING -p udp -j SNAT --to-source 10.5.1.1');
    assert.match(await why(), /translate/);
    const none = await fastAt(far.host, { ...SENT, carrier: CARRIER });
    assert.match(none?.text ?? '', /not used on this host: no program of it is at veth-c or eth0/);
  },
);

test(
  'a report lists programs, maps and counts, and a capture says what it does not show',
  needsBpf,
  async t => {
    const { near } = await overlayPair(t);
    const flows = [40_001, 40_002].map(localPort => ({ ...FLOW, localPort, state: PROVEN }));
    const { uplink, 'host end': end } = await indexes(near.host);
    await plant(t, near.host, { flows: flows.map(flow => ({ ...flow, state: { ...PROVEN, uplink } })) });
    near.host.netns.run(() => plantProgram(uplink, 'ingress', { name: 'evil' }));
    await using reader = new NamespaceReader(near.host.netns);
    const listing = await fastPathListing(reader);
    for (const line of [
      /^veth-c ingress tcx program \d+ tulle_transmit tag [0-9a-f]{16} maps \d+,\d+,\d+$/m,
      /^eth0 ingress tcx program \d+ tulle_receive .*\neth0 ingress tcx program \d+ evil tag [0-9a-f]{16} maps none$/m,
      /^generation 7, 2 flows known of 65536, 2 of them fast$/m,
    ])
      assert.match(listing, line);
    const links = [
      { index: uplink, name: 'eth0', linkType: 'ethernet' },
      { index: end, name: 'veth-c', linkType: 'ethernet' },
    ] as const;
    assert.match(
      (await fastNote(near.host.netns, links)) ?? '',
      /^2 flows take the fast path: .*veth-c .*on eth0,/,
    );
    assert.equal(await fastNote(near.host.netns, links.slice(0, 1)), undefined, 'the uplink shows all');
    const { far } = await overlayPair(t);
    assert.equal(await fastNote(far.host.netns, links), undefined, 'no flow goes it');
  },
);
