/** What this host does when one network takes the place of another, and what it reports. */
import assert from 'node:assert/strict';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import type { LinkReport } from '../dataplane/report.ts';
import { config, lease, network, OverlayHarness } from '../testing/network/overlay-harness.ts';
import { LINGER, SETTLE } from './handover-end.ts';
import type { LastRun } from './network-parts.ts';
import type { HostNetwork } from './underlay.ts';

let harness: OverlayHarness;
beforeEach(async t => {
  harness = await OverlayHarness.make(t as TestContext);
});

describe('another VNI', () => {
  const [former, both, present] = [
    'host: vni 88 at 192.168.65.3 10.3.5.0/24',
    'host: vni 89 at 192.168.65.3 10.3.5.0/24,vni 88 at 192.168.65.3 10.3.5.0/24',
    'host: vni 89 at 192.168.65.3 10.3.5.0/24',
  ];
  const device = (vni: number, reason?: string): LinkReport => ({
    name: `flannel.${vni}`,
    kind: 'vxlan',
    inSync: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
  });
  const peerWith = (vni: number) => ({
    ...lease('10.3.7.0-24', 2n),
    attributes: { publicIp: {}, backendData: { ipv4: String(vni) } },
  });
  const begin = () => {
    harness.start();
    harness.overlay.changePeers([peerWith(88)], []);
    harness.taken();
    harness.overlay.setConfig(config(89));
  };
  const published = () => harness.overlay.plan.value?.attributes.backendData?.ipv4;

  test('is made ready beside the one in use, which alone is published', () => {
    begin();
    assert.deepEqual(harness.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24,vni 89 at 192.168.65.3 10.3.5.0/24',
    ]);
    assert.deepEqual(published(), { VNI: '88' });
    assert.ok(harness.isPreparing('flannel.89'));
    harness.overlay.setNetwork(network('192.168.65.99/24'));
    assert.deepEqual(published(), { VNI: '88' });
    assert.match(
      harness.taken().at(-1) ?? '',
      /^host: vni 88 at 192\.168\.65\.99 .*,vni 89 at 192\.168\.65\.99 /,
    );
  });

  test('is published when its device is there, and each peer is reached as it says', () => {
    begin();
    harness.links = [device(88), device(89)];
    harness.round();
    assert.deepEqual(published(), { VNI: '89' });
    assert.deepEqual(harness.taken().slice(-2), ['peers: 10.3.7.0-24 flannel.88', both]);
    harness.overlay.changePeers([peerWith(89)], []);
    assert.deepEqual(harness.taken(), ['peer: 10.3.7.0-24 flannel.89']);
    assert.ok(!harness.isPreparing('flannel.89'));
  });

  test('is refused when its device cannot be made, until it can', () => {
    begin();
    harness.links = [device(88), device(89, 'is in the way')];
    harness.round();
    assert.deepEqual(published(), { VNI: '88' });
    assert.match(
      harness.health.warnings().find(({ code }) => code === 'CONFIG_REFUSED')?.text ?? '',
      /flannel\.89: is in the way/,
    );
    harness.overlay.setNetwork(network('192.168.65.3/24'));
    assert.ok(harness.health.warnings().some(({ code }) => code === 'CONFIG_REFUSED'));
    harness.links = [device(88), device(89)];
    harness.round();
    assert.deepEqual(published(), { VNI: '89' });
    assert.deepEqual(harness.health.warnings(), []);
  });

  test('is taken back before it was published', () => {
    begin();
    harness.overlay.setConfig(config(88));
    assert.equal(harness.taken().at(-1), former);
    assert.deepEqual(published(), { VNI: '88' });
    assert.ok(!harness.isPreparing('flannel.89'));
  });

  test('is taken back at once after it was published: the way to those left behind never ends', () => {
    begin();
    harness.links = [device(88), device(89)];
    harness.round();
    harness.taken();
    harness.overlay.setConfig(config(88));
    assert.deepEqual(published(), { VNI: '88' });
    assert.deepEqual(harness.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24,vni 89 at 192.168.65.3 10.3.5.0/24',
    ]);
    assert.ok(!harness.isPreparing('flannel.88'));
  });

  test('is alone once every peer has followed, and has had time to learn that this host has', async () => {
    const stop = new AbortController();
    const running = harness.overlay.run(stop.signal);
    begin();
    harness.links = [device(88), device(89)];
    harness.round();
    const warning = () => harness.health.warnings().find(({ code }) => code === 'NETWORK_CHANGING')?.text;
    await harness.clock.advance(SETTLE);
    assert.equal(
      warning(),
      'vxlan over flannel.89 is in use; vxlan over flannel.88 stays for the peers that have not followed: 10.3.7.0-24',
    );
    await harness.clock.advance(10 * LINGER);
    assert.notEqual(harness.taken().at(-1), present);
    harness.overlay.changePeers([peerWith(89)], []);
    await harness.clock.advance(SETTLE);
    assert.equal(
      warning(),
      'vxlan over flannel.89 is in use; every peer has followed, and vxlan over flannel.88 is about to end',
    );
    await harness.clock.advance(LINGER);
    assert.equal(harness.taken().at(-1), present);
    await harness.clock.advance(0);
    assert.equal(warning(), undefined);
    stop.abort();
    await running;
  });

  test('of a peer that is ahead of us leaves the way to it as it was', () => {
    harness.start();
    harness.overlay.changePeers([peerWith(88)], []);
    harness.taken();
    harness.overlay.changePeers([peerWith(89)], []);
    assert.deepEqual(harness.taken(), ['peer: 10.3.7.0-24 flannel.88']);
    assert.deepEqual(
      harness.events
        .list()
        .filter(({ type }) => type.startsWith('peer'))
        .map(({ type }) => type),
      ['peer-differs'],
    );
    harness.overlay.changePeers([], ['10.3.7.0-24']);
    harness.overlay.changePeers([peerWith(89)], []);
    assert.deepEqual(harness.taken(), ['gone: 10.3.7.0-24', 'peer: 10.3.7.0-24 undefined']);
  });
});

describe('another VNI, and an agent that is started again', () => {
  const both = (first: number, second: number) =>
    `host: vni ${first} at 192.168.65.3 10.3.5.0/24,vni ${second} at 192.168.65.3 10.3.5.0/24`;
  /** A host that has these devices. */
  const hostWith = (...vnis: number[]): HostNetwork => {
    const { links, ...rest } = network('192.168.65.3/24');
    const devices = vnis.map(vni => ({ ...(links[0] ?? assert.fail()), index: vni, name: `flannel.${vni}` }));
    return { ...rest, links: [...links, ...devices] };
  };
  /** Starts it with the configuration of this VNI in the store, and a peer that publishes that. */
  const restart = async (t: TestContext, former: Partial<LastRun>, vni: number, ...devices: number[]) => {
    const restarted = await OverlayHarness.make(t, former);
    const { overlay } = restarted;
    overlay.setNetwork(hostWith(...devices));
    overlay.setConfig(config(vni));
    overlay.setNetwork(hostWith(...devices));
    const attributes = { publicIp: {}, backendData: { ipv4: String(vni) } };
    overlay.changePeers([{ ...lease('10.3.7.0-24', 2n), attributes }], []);
    overlay.setLease(lease('10.3.5.0-24'));
    return restarted;
  };
  const published = ({ overlay }: OverlayHarness) => overlay.plan.value?.attributes.backendData?.ipv4;

  test('after the configuration has changed: it begins with what is in the kernel and in its lease', async t => {
    const restarted = await restart(t, { config: config(88) }, 89, 88);
    assert.deepEqual(published(restarted), { VNI: '88' });
    assert.deepEqual(restarted.taken(), ['peers: 10.3.7.0-24 flannel.89', both(88, 89)]);
    restarted.round();
    assert.deepEqual(published(restarted), { VNI: '88' }, 'the device is not there yet');
    restarted.links = [88, 89].map(vni => ({ name: `flannel.${vni}`, kind: 'vxlan', inSync: true }));
    restarted.round();
    assert.deepEqual(published(restarted), { VNI: '89' });
    assert.equal(restarted.taken().at(-1), both(89, 88));
  });

  test('in the middle of it: the former one stays until every peer has followed', async t => {
    const restarted = await restart(t, { config: config(89), leaving: config(88) }, 89, 88, 89);
    assert.deepEqual(published(restarted), { VNI: '89' });
    assert.equal(restarted.taken().at(-1), both(89, 88));
  });

  test('in the middle of it, and taken back meanwhile: nothing has to be prepared', async t => {
    const restarted = await restart(t, { config: config(89), leaving: config(88) }, 88, 88, 89);
    assert.deepEqual(published(restarted), { VNI: '88' });
    assert.equal(restarted.taken().at(-1), both(88, 89));
  });

  test('just after it was over, and taken back meanwhile: the device has to be prepared again', async t => {
    const restarted = await restart(t, { config: config(89), leaving: config(88) }, 88, 89);
    assert.deepEqual(published(restarted), { VNI: '89' });
    assert.equal(restarted.taken().at(-1), both(89, 88));
  });

  test('with the host: no device is there that peers could send to', async t => {
    for (const former of [{ config: config(88) }, { config: config(89), leaving: config(88) }]) {
      const restarted = await restart(t, former, 89);
      assert.deepEqual(published(restarted), { VNI: '89' });
      assert.equal(restarted.taken().at(-1), 'host: vni 89 at 192.168.65.3 10.3.5.0/24');
    }
  });

  test('after the network has changed: the lease in the store is of no use', async t => {
    const former = { config: config(88, '10.77.0.0/16') };
    const restarted = await restart(t, former, 89, 88);
    assert.deepEqual(published(restarted), { VNI: '89' });
    assert.equal(restarted.taken().at(-1), 'host: vni 89 at 192.168.65.3 10.3.5.0/24');
  });
});

test('what people of this host notice of a change is one event', () => {
  harness.start();
  harness.overlay.setNetwork(network('192.168.65.99/24'));
  harness.overlay.setNetwork(network('192.168.65.99/24'));
  harness.overlay.setConfig(config(88, '10.3.0.0/17'));
  const types = ['underlay-changed', 'network-changed'];
  assert.deepEqual(
    harness.events.list().flatMap(({ type, text }) => (types.includes(type) ? [text] : [])),
    [
      'the underlay has changed: IPv4 address 192.168.65.99 instead of 192.168.65.3, public IPv4 address 192.168.65.99 instead of 192.168.65.3',
      'the network has changed: ipv4.network 10.3.0.0/17 instead of 10.3.0.0/16, ipv4.subnetMax 10.3.127.0 instead of 10.3.255.0',
    ],
  );
});

// A4
test('A4: a network that holds the address of this host is refused, and the one before stays in use', () => {
  harness.start();
  const used = harness.overlay.active.value?.plan.config;
  harness.overlay.setConfig(config(88, '192.168.0.0/16'));
  assert.equal(harness.overlay.active.value?.plan.config, used);
  assert.deepEqual(
    harness.health.warnings().map(({ code, text }) => [code, /192\.168\.65\.3/.test(text)]),
    [['CONFIG_REFUSED', true]],
  );
  harness.overlay.setConfig(config(88));
  assert.deepEqual(harness.health.warnings(), []);
  // The underlay itself may move into the network.
  harness.overlay.setNetwork(network('10.3.200.1/24'));
  assert.equal(harness.overlay.active.value?.plan.underlay.ip.ipv4?.toString(), '192.168.65.3');
  assert.deepEqual(
    harness.health.warnings().map(({ code }) => code),
    ['UNDERLAY_UNFIT'],
  );
});

// A5
test('A5: no other link than a bridge is reported to have a former subnet', () => {
  harness.start();
  const inside = network('192.168.65.3/24', true, '10.3.9.1/24');
  harness.overlay.setNetwork(inside);
  assert.deepEqual(harness.health.warnings(), []);
  const links = inside.links.map(link => ({ ...link, info: { kind: 'bridge' as const } }));
  harness.overlay.setNetwork({ ...inside, links });
  assert.deepEqual(harness.health.warnings(), [], 'the underlay may be a bridge');
});

// I2
test('a bridge that still has the former subnet, or too large an MTU, is a warning until it is made anew', () => {
  const withBridge = (address: string, mtu: number, ports = 1): HostNetwork => {
    const {
      links: [eth0],
      addresses,
    } = network('192.168.65.3/24', true, address);
    assert.ok(eth0 && addresses[0] && addresses[1]);
    const container = { ...eth0, index: 4, name: 'veth1', mtu, master: 3 };
    return {
      links: [
        eth0,
        { ...eth0, index: 3, name: 'docker0', mtu, info: { kind: 'bridge' } },
        ...Array(ports).fill(container),
      ],
      addresses: [addresses[0], { ...addresses[1], index: 3 }],
      defaultRoutes: [],
      defaultVxlanPort: 8472,
    };
  };
  const codes = () => harness.health.warnings().map(({ code }) => code);
  harness.start();
  harness.overlay.setNetwork(withBridge('10.3.5.1/24', 1450));
  assert.deepEqual(codes(), []);
  harness.overlay.setNetwork(withBridge('10.3.5.1/24', 1500, 0));
  assert.deepEqual(codes(), [], 'without ports a bridge has 1500, whatever containers will get');
  harness.overlay.setNetwork(withBridge('10.3.5.1/24', 1500));
  assert.deepEqual(codes(), ['BRIDGE_MTU']);
  harness.overlay.setLease(lease('10.3.6.0-24'));
  assert.deepEqual(codes(), ['FORMER_SUBNET']);
  assert.equal(harness.health.warnings()[0]?.severity, 'error', 'containers behind it cannot talk');
  harness.overlay.setConfig(config(88, '10.77.0.0/16'));
  harness.overlay.setLease(lease('10.77.2.0-24'));
  assert.deepEqual(codes(), ['FORMER_SUBNET']);
  harness.overlay.setNetwork(withBridge('10.77.2.1/24', 1450));
  assert.deepEqual(codes(), []);
});
