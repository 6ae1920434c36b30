import assert from 'node:assert/strict';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import {
  config,
  dualStack,
  lease,
  network,
  OVERLAY_FIREWALL,
  OverlayHarness,
} from '../testing/network/overlay-harness.ts';
import { firewallFor } from './active-plan.ts';

let harness: OverlayHarness;
beforeEach(async t => {
  harness = await OverlayHarness.make(t as TestContext);
});

describe('nothing is applied', () => {
  test('before every input is there, in whatever order they come', () => {
    const inputs = [
      () => harness.overlay.setLease(lease('10.3.5.0-24')),
      () => harness.overlay.changePeers([lease('10.3.7.0-24')], []),
      () => harness.overlay.setNetwork(network('192.168.65.3/24')),
    ];
    for (const input of inputs) {
      input();
      assert.deepEqual(harness.taken(), []);
    }
    harness.overlay.setConfig(config(88));
    assert.deepEqual(harness.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24',
    ]);
  });

  test('before the peers are known: until then every entry of theirs would look stale', () => {
    harness.overlay.setConfig(config(88));
    harness.overlay.setNetwork(network('192.168.65.3/24'));
    harness.overlay.setLease(lease('10.3.5.0-24'));
    assert.deepEqual(harness.taken(), []);
    harness.overlay.changePeers([], []);
    assert.deepEqual(harness.taken(), ['peers: ', 'host: vni 88 at 192.168.65.3 10.3.5.0/24']);
  });

  test('a second time when nothing has changed', () => {
    harness.start();
    harness.taken();
    harness.overlay.setConfig(config(88));
    harness.overlay.setNetwork(network('192.168.65.3/24'));
    harness.overlay.setLease(lease('10.3.5.0-24', 9n));
    assert.deepEqual(harness.taken(), []);
  });
});

describe('a change', () => {
  test("of the underlay's address is published and applied", () => {
    harness.start();
    harness.taken();
    harness.overlay.setNetwork(network('192.168.65.99/24'));
    assert.equal(harness.taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(harness.overlay.plan.value?.attributes.publicIp.ipv4), '192.168.65.99');
  });

  test('of the network waits for a lease of it, and keeps what there is meanwhile', () => {
    harness.start();
    harness.taken();
    harness.overlay.setConfig(config(88, '10.77.0.0/16'));
    assert.deepEqual(harness.taken(), []);
    assert.equal(String(harness.overlay.plan.value?.config.ipv4?.network), '10.77.0.0/16');
    harness.overlay.setLease(lease('10.77.2.0-24'));
    assert.equal(harness.taken().at(-1), 'host: vni 88 at 192.168.65.3 10.77.2.0/24');
  });

  test('of the lease changes the host, and the peers stay', () => {
    harness.start();
    harness.taken();
    harness.overlay.setLease(lease('10.3.6.0-24'));
    assert.deepEqual(harness.taken(), ['host: vni 88 at 192.168.65.3 10.3.6.0/24']);
  });

  test('of one peer changes that peer', () => {
    harness.start();
    harness.taken();
    harness.overlay.changePeers([lease('10.3.7.0-24', 2n), lease('10.3.9.0-24')], []);
    assert.deepEqual(harness.taken(), ['peer: 10.3.7.0-24 flannel.88', 'peer: 10.3.9.0-24 flannel.88']);
    harness.overlay.changePeers([], ['10.3.7.0-24']);
    assert.deepEqual(harness.taken(), ['gone: 10.3.7.0-24']);
    assert.equal(harness.overlay.peers.size, 1);
  });
});

describe('failure', () => {
  test('with the first configuration is the condition', () => {
    harness.overlay.setNetwork(network('192.168.65.3/24'));
    harness.overlay.setConfig(config(16_777_216));
    assert.equal(harness.isOk('config'), false);
    harness.overlay.setConfig(config(88));
    assert.equal(harness.isOk('config'), true);
  });

  test('with a later configuration is a warning, and the one in use stays', () => {
    harness.start();
    harness.taken();
    harness.overlay.setConfig(config(16_777_216));
    assert.deepEqual(harness.taken(), []);
    assert.equal(harness.isOk('config'), true);
    const [warning] = harness.health.warnings();
    assert.equal(warning?.code, 'CONFIG_REFUSED');
    assert.match(warning?.text ?? '', /Backend\.VNI = "16777216": is too large/);
    harness.overlay.setConfig(config(88));
    assert.deepEqual(harness.health.warnings(), []);
  });

  test('with a later configuration does not keep the one in use from following the host', () => {
    harness.start();
    harness.overlay.setConfig(config(16_777_216));
    harness.taken();
    harness.overlay.setNetwork(network('192.168.65.99/24'));
    assert.equal(harness.taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(harness.overlay.plan.value?.attributes.publicIp.ipv4), '192.168.65.99');
    assert.equal(harness.health.warnings()[0]?.code, 'CONFIG_REFUSED');
    assert.equal(harness.overlay.configProblems[0]?.path, 'Backend.VNI');
  });

  test('B3: of the underlay that no longer carries the network in use is an error of the underlay', () => {
    harness.start();
    // The same again, as a store that was away delivers it.
    harness.overlay.setConfig(config(88));
    const good = network('192.168.65.3/24');
    for (const [changed, cause] of [
      [
        { ...good, links: good.links.map(link => ({ ...link, mtu: 1300 })) },
        /^MTU of eth0 = 1300: is too small/,
      ],
      [network('10.3.0.3/24'), /^Network = "10\.3\.0\.0\/16": contains 10\.3\.0\.3/],
    ] as const) {
      harness.overlay.setNetwork(changed);
      const [warning, another] = harness.health.warnings();
      assert.equal(warning?.code, 'UNDERLAY_UNFIT');
      assert.equal(warning.severity, 'error');
      assert.match(warning.text, cause);
      assert.equal(another, undefined, 'the configuration in the store is in use');
      assert.deepEqual(harness.overlay.configProblems, []);
      harness.overlay.setNetwork(good);
      assert.deepEqual(harness.health.warnings(), []);
    }
  });

  test('with what a later configuration needs of this host is over when the host has it', () => {
    harness.start();
    harness.overlay.setConfig(dualStack);
    assert.equal(harness.isOk('underlay'), true);
    assert.match(harness.health.warnings()[0]?.text ?? '', /eth0 has no usable IPv6 address/);
    harness.overlay.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.deepEqual(harness.health.warnings(), []);
    assert.equal(harness.overlay.plan.value?.config, dualStack);
  });

  for (const [name, reading] of [
    ['deleted', { failure: { code: 'NO_CONFIG', reason: 'there is none' }, problems: [] }],
    ['replaced by one that cannot be used', config(16_777_216)],
  ] as const) {
    test(`with a configuration that was ${name}: after a restart, that of the last run stays in use`, async t => {
      const restarted = await OverlayHarness.make(t, { config: config(88) });
      const { overlay, health } = restarted;
      overlay.setNetwork(network('192.168.65.3/24'));
      assert.equal(overlay.plan.value, undefined, 'the store is asked first');
      overlay.setConfig(reading);
      overlay.changePeers([lease('10.3.7.0-24')], []);
      overlay.setLease(lease('10.3.5.0-24'));
      assert.ok(restarted.taken().includes('host: vni 88 at 192.168.65.3 10.3.5.0/24'));
      assert.equal(restarted.isOk('config'), true);
      assert.deepEqual(
        health.warnings().map(({ code }) => code),
        ['CONFIG_REFUSED'],
      );
      overlay.setConfig(config(99));
      assert.match(restarted.taken().join(), /vni 99/);
      assert.deepEqual(health.warnings(), []);
    });
  }

  test('with a configuration that was deleted meanwhile is not taken up again', () => {
    harness.start();
    harness.overlay.setConfig(dualStack);
    harness.overlay.setConfig({ failure: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    harness.overlay.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.equal(harness.overlay.plan.value?.config.ipv6, undefined);
  });

  test('with the configuration in the store does not end with a change of the underlay', () => {
    harness.start();
    harness.overlay.setConfig({ failure: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    harness.overlay.setNetwork(network('192.168.65.4/24'));
    assert.deepEqual(
      harness.health.warnings().map(({ text }) => text),
      ['nobody wrote one'],
    );
    harness.overlay.setConfig(config(88));
    assert.deepEqual(harness.health.warnings(), []);
  });

  test('with the underlay leaves the kernel alone', () => {
    harness.start();
    harness.taken();
    harness.overlay.setNetwork(network('192.168.65.3/24', false));
    assert.equal(harness.isOk('underlay'), false);
    assert.deepEqual(harness.taken(), []);
    harness.overlay.setNetwork(network('192.168.65.3/24'));
    assert.equal(harness.isOk('underlay'), true);
    assert.deepEqual(harness.taken(), []);
  });
});

test('the status of peers has the good, the useless and the rejected', () => {
  harness.start();
  harness.overlay.changePeers([lease('10.3.99.0-24')], []);
  const status = harness.overlay.peers.status([
    { key: '10.3.8.0-24', reason: 'has no public address', createRevision: 4n, modRevision: 4n },
  ]);
  assert.deepEqual(
    status.map(({ key, state, reason }) => [key, state, reason]),
    [
      ['10.3.7.0-24', 'ok', undefined],
      ['10.3.8.0-24', 'rejected', 'has no public address'],
      ['10.3.99.0-24', 'unreachable', 'is of another kind'],
    ],
  );
});

test('a peer whose new lease is rejected is one peer, and shows what of it is in use', () => {
  harness.start();
  const [peer, ...more] = harness.overlay.peers.status([
    { key: '10.3.7.0-24', reason: 'want JSON', createRevision: 4n, modRevision: 4n },
  ]);
  assert.deepEqual(more, []);
  assert.equal(peer?.state, 'rejected');
  assert.equal(peer?.reason, 'want JSON; its previous data stays in use');
  assert.deepEqual(peer?.actual, ['route']);
});

test('a peer that cannot be reached is one event, and one when it can', () => {
  harness.start();
  for (const revision of [1n, 1n, 2n, 3n]) harness.overlay.changePeers([lease('10.3.99.0-24', revision)], []);
  assert.deepEqual(
    harness.events.list().flatMap(({ type, text }) => (type.startsWith('peer-') ? [text] : [])),
    [
      'the peer 10.3.99.0-24 cannot be reached: is of another kind',
      'the peer 10.3.99.0-24 can be reached now',
    ],
  );
});

test('the firewall is that of the network and the lease', () => {
  harness.start();
  const active = harness.overlay.active.value ?? assert.fail('nothing is active');
  const bridges = [{ link: 'docker0', ip: Ip.parse('10.3.5.1') }];
  const desired = firewallFor(active, OVERLAY_FIREWALL, bridges, [Ip.parse('192.0.2.9')]);
  assert.deepEqual(JSON.parse(JSON.stringify(desired)), {
    nftables: false,
    blocks: [{ network: '10.3.0.0/16', subnet: '10.3.5.0/24', bridges: ['docker0'] }],
    formerNetworks: ['10.3.0.0/16'],
    masquerade: true,
    forward: false,
    randomFully: true,
    tunnel: {
      link: 'eth0',
      ports: [8472],
      own: ['192.168.65.3'],
      peers: ['192.0.2.9'],
      isOpened: true,
    },
  });
});

test('what another user of the data plane cannot have is no matter of the overlay', () => {
  harness.links = [{ name: 'flannel.88', kind: 'vxlan', inSync: true }];
  harness.start();
  harness.report = { inSync: false, failed: 1 };
  harness.round();
  assert.equal(harness.isOk('dataplane'), true);
  assert.deepEqual(harness.health.warnings(), []);
});
