import assert from 'node:assert/strict';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { ControllerRig, config, dualStack, lease, network } from '../testing/network/controller-harness.ts';
import { firewallFor } from './active-plan.ts';

let rig: ControllerRig;
beforeEach(async t => {
  rig = await ControllerRig.make(t as TestContext);
});

describe('nothing is stated', () => {
  test('before every input is there, in whatever order they come', () => {
    const inputs = [
      () => rig.controller.setLease(lease('10.3.5.0-24')),
      () => rig.controller.changePeers([lease('10.3.7.0-24')], []),
      () => rig.controller.setNetwork(network('192.168.65.3/24')),
    ];
    for (const input of inputs) {
      input();
      assert.deepEqual(rig.taken(), []);
    }
    rig.controller.setConfig(config(88));
    assert.deepEqual(rig.taken(), [
      'peers: 10.3.7.0-24 flannel.88',
      'host: vni 88 at 192.168.65.3 10.3.5.0/24',
    ]);
  });

  test('before the peers are known: until then every entry of theirs would look stale', () => {
    rig.controller.setConfig(config(88));
    rig.controller.setNetwork(network('192.168.65.3/24'));
    rig.controller.setLease(lease('10.3.5.0-24'));
    assert.deepEqual(rig.taken(), []);
    rig.controller.changePeers([], []);
    assert.deepEqual(rig.taken(), ['peers: ', 'host: vni 88 at 192.168.65.3 10.3.5.0/24']);
  });

  test('a second time when nothing has changed', () => {
    rig.start();
    rig.taken();
    rig.controller.setConfig(config(88));
    rig.controller.setNetwork(network('192.168.65.3/24'));
    rig.controller.setLease(lease('10.3.5.0-24', 9n));
    assert.deepEqual(rig.taken(), []);
  });
});

describe('a change', () => {
  test("of the underlay's address is published and stated", () => {
    rig.start();
    rig.taken();
    rig.controller.setNetwork(network('192.168.65.99/24'));
    assert.equal(rig.taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(rig.controller.plan.value?.attributes.publicIp), '192.168.65.99');
  });

  test('of the network waits for a lease of it, and keeps what there is meanwhile', () => {
    rig.start();
    rig.taken();
    rig.controller.setConfig(config(88, '10.77.0.0/16'));
    assert.deepEqual(rig.taken(), []);
    assert.equal(String(rig.controller.plan.value?.config.ipv4?.network), '10.77.0.0/16');
    rig.controller.setLease(lease('10.77.2.0-24'));
    assert.equal(rig.taken().at(-1), 'host: vni 88 at 192.168.65.3 10.77.2.0/24');
  });

  test('of the lease states the host, and the peers stay', () => {
    rig.start();
    rig.taken();
    rig.controller.setLease(lease('10.3.6.0-24'));
    assert.deepEqual(rig.taken(), ['host: vni 88 at 192.168.65.3 10.3.6.0/24']);
  });

  test('of one peer states that peer', () => {
    rig.start();
    rig.taken();
    rig.controller.changePeers([lease('10.3.7.0-24', 2n), lease('10.3.9.0-24')], []);
    assert.deepEqual(rig.taken(), ['peer: 10.3.7.0-24 flannel.88', 'peer: 10.3.9.0-24 flannel.88']);
    rig.controller.changePeers([], ['10.3.7.0-24']);
    assert.deepEqual(rig.taken(), ['gone: 10.3.7.0-24']);
    assert.equal(rig.controller.peers.size, 1);
  });
});

describe('trouble', () => {
  test('with the first configuration is the condition', () => {
    rig.controller.setNetwork(network('192.168.65.3/24'));
    rig.controller.setConfig(config(16_777_216));
    assert.equal(rig.isWell('config'), false);
    rig.controller.setConfig(config(88));
    assert.equal(rig.isWell('config'), true);
  });

  test('with a later configuration is a warning, and the one in use stays', () => {
    rig.start();
    rig.taken();
    rig.controller.setConfig(config(16_777_216));
    assert.deepEqual(rig.taken(), []);
    assert.equal(rig.isWell('config'), true);
    const [warning] = rig.health.warnings();
    assert.equal(warning?.code, 'CONFIG_REFUSED');
    assert.match(warning?.text ?? '', /Backend\.VNI = "16777216": is too large/);
    rig.controller.setConfig(config(88));
    assert.deepEqual(rig.health.warnings(), []);
  });

  test('with a later configuration does not keep the one in use from following the host', () => {
    rig.start();
    rig.controller.setConfig(config(16_777_216));
    rig.taken();
    rig.controller.setNetwork(network('192.168.65.99/24'));
    assert.equal(rig.taken().at(-1), 'host: vni 88 at 192.168.65.99 10.3.5.0/24');
    assert.equal(String(rig.controller.plan.value?.attributes.publicIp), '192.168.65.99');
    assert.equal(rig.health.warnings()[0]?.code, 'CONFIG_REFUSED');
    assert.equal(rig.controller.configProblems[0]?.path, 'Backend.VNI');
  });

  test('with what a later configuration needs of this host is over when the host has it', () => {
    rig.start();
    rig.controller.setConfig(dualStack);
    assert.equal(rig.isWell('underlay'), true);
    assert.match(rig.health.warnings()[0]?.text ?? '', /eth0 has no usable ipv6 address/);
    rig.controller.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.deepEqual(rig.health.warnings(), []);
    assert.equal(rig.controller.plan.value?.config, dualStack);
  });

  for (const [name, reading] of [
    ['deleted', { trouble: { code: 'NO_CONFIG', reason: 'there is none' }, problems: [] }],
    ['replaced by one that cannot be used', config(16_777_216)],
  ] as const) {
    test(`with a configuration that was ${name}: after a restart, that of the last run stays in use`, async t => {
      const restarted = await ControllerRig.make(t, config(88));
      const { controller, health } = restarted;
      controller.setNetwork(network('192.168.65.3/24'));
      assert.equal(controller.plan.value, undefined, 'the store is asked first');
      controller.setConfig(reading);
      controller.changePeers([lease('10.3.7.0-24')], []);
      controller.setLease(lease('10.3.5.0-24'));
      assert.ok(restarted.taken().includes('host: vni 88 at 192.168.65.3 10.3.5.0/24'));
      assert.equal(restarted.isWell('config'), true);
      assert.deepEqual(
        health.warnings().map(({ code }) => code),
        ['CONFIG_REFUSED'],
      );
      controller.setConfig(config(99));
      assert.match(restarted.taken().join(), /vni 99/);
      assert.deepEqual(health.warnings(), []);
    });
  }

  test('with a configuration that was deleted meanwhile is not taken up again', () => {
    rig.start();
    rig.controller.setConfig(dualStack);
    rig.controller.setConfig({ trouble: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    rig.controller.setNetwork(network('192.168.65.3/24', true, 'fd65::3/64'));
    assert.equal(rig.controller.plan.value?.config.ipv6, undefined);
  });

  test('with the configuration in the store does not end with a change of the underlay', () => {
    rig.start();
    rig.controller.setConfig({ trouble: { code: 'NO_CONFIG', reason: 'nobody wrote one' }, problems: [] });
    rig.controller.setNetwork(network('192.168.65.4/24'));
    assert.deepEqual(
      rig.health.warnings().map(({ text }) => text),
      ['nobody wrote one'],
    );
    rig.controller.setConfig(config(88));
    assert.deepEqual(rig.health.warnings(), []);
  });

  test('with the underlay leaves the kernel alone', () => {
    rig.start();
    rig.taken();
    rig.controller.setNetwork(network('192.168.65.3/24', false));
    assert.equal(rig.isWell('underlay'), false);
    assert.deepEqual(rig.taken(), []);
    rig.controller.setNetwork(network('192.168.65.3/24'));
    assert.equal(rig.isWell('underlay'), true);
    assert.deepEqual(rig.taken(), []);
  });
});

test('the status of peers tells the good, the useless and the rejected', () => {
  rig.start();
  rig.controller.changePeers([lease('10.3.99.0-24')], []);
  const status = rig.controller.peers.status([
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
  rig.start();
  const [peer, ...more] = rig.controller.peers.status([
    { key: '10.3.7.0-24', reason: 'want JSON', createRevision: 4n, modRevision: 4n },
  ]);
  assert.deepEqual(more, []);
  assert.equal(peer?.state, 'rejected');
  assert.equal(peer?.reason, 'want JSON; what it was before stays in use');
  assert.deepEqual(peer?.actual, ['route']);
});

test('a peer that cannot be reached is told once, and once that it can', () => {
  rig.start();
  for (const revision of [1n, 1n, 2n, 3n]) rig.controller.changePeers([lease('10.3.99.0-24', revision)], []);
  assert.deepEqual(
    rig.events.list().flatMap(({ type, text }) => (type.startsWith('peer-') ? [text] : [])),
    [
      'the peer 10.3.99.0-24 cannot be reached: is of another kind',
      'the peer 10.3.99.0-24 can be reached now',
    ],
  );
});

test('the firewall is that of the network and the lease', () => {
  rig.start();
  const activePlan = rig.controller.activePlan.value ?? assert.fail('nothing stated');
  const options = { masquerade: true, forward: false, randomFully: true, openPort: true, resyncSeconds: 5 };
  const surroundings = {
    bridges: [{ link: 'docker0', ip: Ip.parse('10.3.5.1') }],
    peers: [Ip.parse('192.0.2.9')],
  };
  assert.deepEqual(JSON.parse(JSON.stringify(firewallFor(activePlan, options, surroundings))), {
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
