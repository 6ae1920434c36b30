/** A vxlan as a port of a bridge of ours: the entries of both tables, and what others do to them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { Prefix } from '../base/prefix.ts';
import { NTF_MASTER, NUD_NOARP } from '../netlink/route/constants.ts';
import { FakeHost } from '../testing/dataplane/fake-host.ts';
import type { DesiredHost, DesiredPeer } from './desired.ts';

const [BRIDGE, PORT] = ['tb-blue', 'tv-blue'];
const NO_MAC = Mac.parse('00:00:00:00:00:00');
const BRIDGE_MAC = Mac.parse('02:00:00:00:09:01');

/** Made by this program alone, as the names of segments are. */
function bridged(underlayIndex: number): DesiredHost {
  return {
    networks: [Prefix.parse('10.88.0.0/16')],
    links: [
      { kind: 'bridge', name: BRIDGE, mac: BRIDGE_MAC, mtu: 1450, knownByMac: true },
      {
        kind: 'vxlan',
        name: PORT,
        master: BRIDGE,
        bridgePort: { learning: false, neighborSuppression: true },
        vni: 5000,
        underlayIndex,
        local: Ip.parse('192.168.65.3'),
        port: 4789,
        learning: false,
        gbp: false,
        mtu: 1450,
        mac: Mac.parse('02:00:00:00:09:02'),
        knownByMac: true,
      },
    ],
    addresses: [{ link: BRIDGE, address: { ip: Ip.parse('10.88.0.1'), length: 16 } }],
    sysctls: [],
  };
}

/** Host n, which gets flooded frames. */
function member(n: number): DesiredPeer {
  const underlayIp = Ip.parse(`192.168.65.10${n}`);
  const entries = [{ kind: 'fdb', mac: NO_MAC, destination: underlayIp }] as const;
  const path = { link: PORT, subnet: Prefix.ofOne(underlayIp), underlayIp, entries };
  return { key: `member ${n}`, revision: 1n, paths: [path] };
}

/** Container n of host n. */
function endpoint(n: number): DesiredPeer {
  const [ip, mac] = [Ip.parse(`10.88.0.1${n}`), Mac.parse(`02:00:00:00:08:0${n}`)];
  const underlayIp = Ip.parse(`192.168.65.10${n}`);
  const subnet = Prefix.ofOne(ip);
  return {
    key: `endpoint ${ip}`,
    revision: 1n,
    paths: [
      {
        link: PORT,
        subnet,
        underlayIp,
        entries: [
          { kind: 'fdb', mac, destination: underlayIp },
          { kind: 'bridge-fdb', mac },
        ],
      },
      { link: BRIDGE, subnet, underlayIp, entries: [{ kind: 'neighbor', ip, mac }] },
    ],
  };
}

const entriesOf = ({ kernel }: FakeHost) =>
  [kernel.show('bridge fdb'), kernel.show('ip neigh')]
    .join('\n')
    .split('\n')
    .filter(line => !line.endsWith('permanent') || line.includes('dst'))
    .join('\n');

describe('a vxlan that is a port of a bridge', () => {
  test('has entries of its own and of the bridge, and several far ends for what is flooded', async () => {
    await using host = new FakeHost();
    host.network.set({
      host: bridged(host.underlay),
      peers: [member(1), member(2), endpoint(1), endpoint(2)],
    });
    assert.deepEqual((await host.plane.apply()).failures, []);
    assert.equal(
      entriesOf(host),
      [
        '00:00:00:00:00:00 dev tv-blue dst 192.168.65.101 self permanent',
        '00:00:00:00:00:00 dev tv-blue dst 192.168.65.102 self permanent',
        '02:00:00:00:08:01 dev tv-blue dst 192.168.65.101 self permanent',
        '02:00:00:00:08:01 dev tv-blue sticky master tb-blue static',
        '02:00:00:00:08:02 dev tv-blue dst 192.168.65.102 self permanent',
        '02:00:00:00:08:02 dev tv-blue sticky master tb-blue static',
        '10.88.0.11 dev tb-blue lladdr 02:00:00:00:08:01 PERMANENT',
        '10.88.0.12 dev tb-blue lladdr 02:00:00:00:08:02 PERMANENT',
      ].join('\n'),
    );
    assert.equal((await host.plane.resync('test')).writes, 0);
    host.network.removePeer('member 1');
    host.network.removePeer('endpoint 10.88.0.12');
    await host.plane.apply();
    assert.equal(
      entriesOf(host),
      [
        '00:00:00:00:00:00 dev tv-blue dst 192.168.65.102 self permanent',
        '02:00:00:00:08:01 dev tv-blue dst 192.168.65.101 self permanent',
        '02:00:00:00:08:01 dev tv-blue sticky master tb-blue static',
        '10.88.0.11 dev tb-blue lladdr 02:00:00:00:08:01 PERMANENT',
      ].join('\n'),
    );
  });

  test('gets back what others delete, move or add, and each repair is reported once', async () => {
    await using host = new FakeHost();
    host.network.set({ host: bridged(host.underlay), peers: [member(1), endpoint(1), endpoint(2)] });
    await host.plane.apply();
    const before = entriesOf(host);
    const { links, fdb } = host.others;
    const [bridge, port] = [await links.get(BRIDGE), await links.get(PORT)];
    assert.ok(bridge && port);
    const other = host.kernel.plugIn({ name: 'c0', up: true, master: bridge.index });
    const inBridge = { state: NUD_NOARP, flags: NTF_MASTER };
    const [first, second] = [Mac.parse('02:00:00:00:08:01'), Mac.parse('02:00:00:00:08:02')];
    await fdb.delete({ index: port.index, mac: first, ...inBridge });
    await fdb.replace({ index: other.index, mac: second, ...inBridge });
    await fdb.delete({ index: port.index, mac: NO_MAC, destination: Ip.parse('192.168.65.101') });
    await fdb.append({ index: port.index, mac: NO_MAC, destination: Ip.parse('192.168.65.99') });
    await host.pass(1000);
    assert.equal(entriesOf(host), before);
    assert.deepEqual(host.repairs.map(({ object, action }) => `${object} ${action}`).toSorted(), [
      'bridge-fdb restored',
      'bridge-fdb restored',
      'fdb removed',
      'fdb restored',
    ]);
  });

  test('has what belongs to it after its bridge was deleted and made anew', async () => {
    await using host = new FakeHost();
    host.network.set({ host: bridged(host.underlay), peers: [member(1), endpoint(1)] });
    await host.plane.apply();
    const before = entriesOf(host);
    await host.others.links.delete(BRIDGE);
    await host.pass(1000);
    assert.equal(entriesOf(host), before);
    assert.equal(host.plane.report().inSync, true);
  });

  test('what is learned, and the addresses of ports, stay as they are', async () => {
    await using host = new FakeHost();
    host.network.set({ host: bridged(host.underlay), peers: [] });
    await host.plane.apply();
    const port = await host.others.links.get(PORT);
    assert.ok(port);
    await host.others.fdb.replace({
      index: port.index,
      mac: Mac.parse('02:00:00:00:07:07'),
      state: 0x02,
      flags: NTF_MASTER,
    });
    const shown = host.kernel.show('bridge fdb');
    assert.match(shown, /02:00:00:00:09:02 dev tv-blue master tb-blue permanent/);
    await host.plane.resync('test');
    await host.pass(1000);
    assert.equal(host.kernel.show('bridge fdb'), shown);
    assert.deepEqual(host.repairs, []);
  });
});

test('a bridge that has the name of ours and not its address stays, whatever it carries', async () => {
  await using host = new FakeHost();
  await host.others.links.add({ name: BRIDGE, info: { kind: 'bridge' } });
  const bridge = await host.others.links.get(BRIDGE);
  assert.ok(bridge);
  await host.others.addresses.replace({ index: bridge.index, ip: Ip.parse('10.88.0.1'), length: 16 });
  const before = host.show();
  host.network.set({ host: bridged(host.underlay), peers: [] });
  const { failures } = await host.plane.apply();
  assert.deepEqual(failures[0], 'link tb-blue: a bridge device tb-blue exists that Tulle has not made');
  assert.equal(host.plane.report().links[0]?.code, 'NOT_OURS');
  assert.equal(host.show(), before, 'it gets no port either');
  host.network.setHost({ networks: [], links: [], addresses: [], sysctls: [] });
  await host.plane.apply();
  assert.equal(host.show(), before);
});
