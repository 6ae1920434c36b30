/** What the controller does when one network takes the place of another, and what it tells. */
import assert from 'node:assert/strict';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import type { LinkReport } from '../dataplane/report.ts';
import { ControllerRig, config, lease, network } from '../testing/network/controller-harness.ts';
import { LINGER, SETTLE } from './handover.ts';
import type { HostNetwork } from './underlay.ts';

let rig: ControllerRig;
beforeEach(async t => {
  rig = await ControllerRig.make(t as TestContext);
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
    attributes: { backendData: String(vni) },
  });
  const begin = () => {
    rig.start();
    rig.controller.changePeers([peerWith(88)], []);
    rig.taken();
    rig.controller.setConfig(config(89));
  };
  const published = () => rig.controller.plan.value?.attributes.backendData;

  test('is made ready beside the one in use, which alone is published', () => {
    begin();
    assert.deepEqual(rig.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24,vni 89 at 192.168.65.3 10.3.5.0/24',
    ]);
    assert.deepEqual(published(), { VNI: '88' });
    assert.ok(rig.controller.isPreparing('flannel.89'));
    rig.controller.setNetwork(network('192.168.65.99/24'));
    assert.deepEqual(published(), { VNI: '88' });
    assert.match(
      rig.taken().at(-1) ?? '',
      /^host: vni 88 at 192\.168\.65\.99 .*,vni 89 at 192\.168\.65\.99 /,
    );
  });

  test('is published when its device is there, and each peer is reached as it says', () => {
    begin();
    rig.links = [device(88), device(89)];
    rig.controller.checkHandover();
    assert.deepEqual(published(), { VNI: '89' });
    assert.deepEqual(rig.taken().slice(-2), ['peers: 10.3.7.0-24 flannel.88', both]);
    rig.controller.changePeers([peerWith(89)], []);
    assert.deepEqual(rig.taken(), ['peer: 10.3.7.0-24 flannel.89']);
    assert.ok(!rig.controller.isPreparing('flannel.89'));
  });

  test('is refused when its device cannot be made, until it can', () => {
    begin();
    rig.links = [device(88), device(89, 'is in the way')];
    rig.controller.checkHandover();
    assert.deepEqual(published(), { VNI: '88' });
    assert.match(
      rig.health.warnings().find(({ code }) => code === 'CONFIG_REFUSED')?.text ?? '',
      /flannel\.89: is in the way/,
    );
    rig.controller.setNetwork(network('192.168.65.3/24'));
    assert.ok(rig.health.warnings().some(({ code }) => code === 'CONFIG_REFUSED'));
    rig.links = [device(88), device(89)];
    rig.controller.checkHandover();
    assert.deepEqual(published(), { VNI: '89' });
    assert.deepEqual(rig.health.warnings(), []);
  });

  test('is taken back before anybody has heard of it', () => {
    begin();
    rig.controller.setConfig(config(88));
    assert.equal(rig.taken().at(-1), former);
    assert.deepEqual(published(), { VNI: '88' });
    assert.ok(!rig.controller.isPreparing('flannel.89'));
  });

  test('is taken back at once when others have heard of it: the way to those left behind never ends', () => {
    begin();
    rig.links = [device(88), device(89)];
    rig.controller.checkHandover();
    rig.taken();
    rig.controller.setConfig(config(88));
    assert.deepEqual(published(), { VNI: '88' });
    assert.deepEqual(rig.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24,vni 89 at 192.168.65.3 10.3.5.0/24',
    ]);
    assert.ok(!rig.controller.isPreparing('flannel.88'));
  });

  test('is alone once every peer has followed, and has had time to hear that we have', async () => {
    const stop = new AbortController();
    const running = rig.controller.run(stop.signal);
    begin();
    rig.links = [device(88), device(89)];
    rig.controller.checkHandover();
    const warning = () => rig.health.warnings().find(({ code }) => code === 'NETWORK_CHANGING')?.text;
    await rig.clock.advance(SETTLE);
    assert.equal(
      warning(),
      'flannel.89 is in use; flannel.88 stays for the peers that have not followed: 10.3.7.0-24',
    );
    await rig.clock.advance(10 * LINGER);
    assert.notEqual(rig.taken().at(-1), present);
    rig.controller.changePeers([peerWith(89)], []);
    await rig.clock.advance(SETTLE);
    assert.equal(warning(), 'flannel.89 is in use; every peer has followed, and flannel.88 is about to go');
    await rig.clock.advance(LINGER);
    assert.equal(rig.taken().at(-1), present);
    await rig.clock.advance(0);
    assert.equal(warning(), undefined);
    stop.abort();
    await running;
  });

  test('of a peer that is ahead of us leaves the way to it as it was', () => {
    rig.start();
    rig.controller.changePeers([peerWith(88)], []);
    rig.taken();
    rig.controller.changePeers([peerWith(89)], []);
    assert.deepEqual(rig.taken(), ['peer: 10.3.7.0-24 flannel.88']);
    assert.deepEqual(
      rig.events
        .list()
        .filter(({ type }) => type.startsWith('peer'))
        .map(({ type }) => type),
      ['peer-differs'],
    );
    rig.controller.changePeers([], ['10.3.7.0-24']);
    rig.controller.changePeers([peerWith(89)], []);
    assert.deepEqual(rig.taken(), ['gone: 10.3.7.0-24', 'peer: 10.3.7.0-24 undefined']);
  });
});

test('what people of this host notice of a change is told once', () => {
  rig.start();
  rig.controller.setNetwork(network('192.168.65.99/24'));
  rig.controller.setNetwork(network('192.168.65.99/24'));
  rig.controller.setConfig(config(88, '10.3.0.0/17'));
  const types = ['underlay-changed', 'network-changed'];
  assert.deepEqual(
    rig.events.list().flatMap(({ type, text }) => (types.includes(type) ? [text] : [])),
    [
      'the underlay is another one: ipv4 192.168.65.99 instead of 192.168.65.3, publicIpv4 192.168.65.99 instead of 192.168.65.3',
      'the network is another one: ipv4.network 10.3.0.0/17 instead of 10.3.0.0/16, ipv4.subnetMax 10.3.127.0 instead of 10.3.255.0',
    ],
  );
});

// A4
test('A4: a network that holds the address of this host is refused, and the one before stays in use', () => {
  rig.start();
  const used = rig.controller.activePlan.value?.plan.config;
  rig.controller.setConfig(config(88, '192.168.0.0/16'));
  assert.equal(rig.controller.activePlan.value?.plan.config, used);
  assert.deepEqual(
    rig.health.warnings().map(({ code, text }) => [code, /192\.168\.65\.3/.test(text)]),
    [['CONFIG_REFUSED', true]],
  );
  rig.controller.setConfig(config(88));
  assert.deepEqual(rig.health.warnings(), []);
  // The underlay itself may move into the network.
  rig.controller.setNetwork(network('10.3.200.1/24'));
  assert.equal(rig.controller.activePlan.value?.plan.underlay.ipv4?.toString(), '192.168.65.3');
  assert.deepEqual(
    rig.health.warnings().map(({ code }) => code),
    ['CONFIG_REFUSED'],
  );
});

// A5
test('A5: no other link than a bridge is told to have a former subnet', () => {
  rig.start();
  const inside = network('192.168.65.3/24', true, '10.3.9.1/24');
  rig.controller.setNetwork(inside);
  assert.deepEqual(rig.health.warnings(), []);
  const links = inside.links.map(link => ({ ...link, info: { kind: 'bridge' as const } }));
  rig.controller.setNetwork({ ...inside, links });
  assert.deepEqual(rig.health.warnings(), [], 'the underlay may be a bridge');
});

// I2
test('a bridge that still has the former subnet, or too large an MTU, is told of until it is made anew', () => {
  const withBridge = (address: string, mtu: number): HostNetwork => {
    const {
      links: [eth0],
      addresses,
    } = network('192.168.65.3/24', true, address);
    assert.ok(eth0 && addresses[0] && addresses[1]);
    return {
      links: [eth0, { ...eth0, index: 3, name: 'docker0', mtu, info: { kind: 'bridge' } }],
      addresses: [addresses[0], { ...addresses[1], index: 3 }],
      defaultRoutes: [],
      defaultVxlanPort: 8472,
    };
  };
  const codes = () => rig.health.warnings().map(({ code }) => code);
  rig.start();
  rig.controller.setNetwork(withBridge('10.3.5.1/24', 1450));
  assert.deepEqual(codes(), []);
  rig.controller.setNetwork(withBridge('10.3.5.1/24', 1500));
  assert.deepEqual(codes(), ['BRIDGE_MTU']);
  rig.controller.setLease(lease('10.3.6.0-24'));
  assert.deepEqual(codes(), ['FORMER_SUBNET']);
  assert.equal(rig.health.warnings()[0]?.severity, 'error', 'containers behind it cannot talk');
  rig.controller.setConfig(config(88, '10.77.0.0/16'));
  rig.controller.setLease(lease('10.77.2.0-24'));
  assert.deepEqual(codes(), ['FORMER_SUBNET']);
  rig.controller.setNetwork(withBridge('10.77.2.1/24', 1450));
  assert.deepEqual(codes(), []);
});
