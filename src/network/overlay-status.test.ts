import assert from 'node:assert/strict';
import { beforeEach, type TestContext, test } from 'node:test';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import {
  dualStack,
  lease,
  network,
  OVERLAY_FIREWALL,
  OverlayHarness,
} from '../testing/network/overlay-harness.ts';
import { overlayStatus } from './overlay-status.ts';
import type { HostNetwork } from './underlay.ts';

const OPTIONS = {
  healthMesh: false,
  fastPath: 'off' as const,
  resolver: { mode: 'off' as const },
  stateDirectory: '/nowhere',
  underlay: { interfaces: ['eth0'], patterns: [], publicIp: {} },
  lease: { subnetFile: '/run/subnet.env', renewMarginMinutes: 60 },
  firewall: OVERLAY_FIREWALL,
};

let harness: OverlayHarness;
beforeEach(async t => {
  harness = await OverlayHarness.make(t as TestContext);
});

const HOST = network('192.168.65.3/24', true, 'fd65::3/64');

const status = (host?: HostNetwork) => overlayStatus(harness.overlay, OPTIONS, undefined, [], host);

test('before anything is known, a network is its targets alone', () => {
  assert.deepEqual(status(), {
    network: { problems: [] },
    dataplane: { inSync: true, wanted: 9, failed: 0, writes: 7, driftRepairs: { route: 2 } },
    peers: [],
    firewall: { masquerade: true, forward: false, ok: true },
  });
});

test('a network of both families says all of its underlay, its configuration and its device', () => {
  harness.overlay.setConfig(dualStack);
  harness.overlay.setNetwork(HOST);
  harness.overlay.changePeers([], []);
  harness.overlay.setLease(lease('10.3.5.0-24&fd03:0:0:5::-64'));
  harness.subnetFile.set({ ok: true });
  const mac = Mac.parse('02:00:00:00:00:01');
  const actual = {
    vni: 88,
    port: 8472,
    mtu: 1450,
    mac,
    local: Ip.parse('192.168.65.3'),
    addresses: ['10.3.5.0/32'],
  };
  harness.links = [{ name: 'flannel.88', kind: 'vxlan', inSync: true, actual }];
  const report = { key: '10.3.5.0-24', subnet: {}, reservation: false, ownership: 'held' } as const;
  const {
    underlay,
    network: config,
    backend,
    lease: own,
    subnetFile,
  } = overlayStatus(harness.overlay, OPTIONS, report, [], HOST);
  assert.deepEqual(underlay, {
    link: { index: 2, name: 'eth0', mtu: 1500 },
    ip: { ipv4: '192.168.65.3', ipv6: 'fd65::3' },
    publicIp: { ipv4: '192.168.65.3', ipv6: 'fd65::3' },
    chosenBy: '--iface=eth0',
  });
  assert.deepEqual(config, {
    config: {
      ipv4: { network: '10.3.0.0/16', subnetLength: 24, subnetMin: '10.3.1.0', subnetMax: '10.3.255.0' },
      ipv6: {
        network: 'fd03::/48',
        subnetLength: 64,
        subnetMin: 'fd03:0:0:1::',
        subnetMax: 'fd03:0:0:ffff::',
      },
      backendType: 'vxlan',
    },
    problems: [],
  });
  assert.deepEqual(backend, {
    type: 'vxlan',
    overlayMtu: 1450,
    mtuParts: [
      { what: 'eth0', bytes: 1500 },
      { what: 'VXLAN over IPv4', bytes: -50 },
    ],
    devices: [
      {
        name: 'flannel.88',
        kind: 'vxlan',
        vni: 88,
        port: 8472,
        mtu: 1450,
        mac: '02:00:00:00:00:01',
        local: '192.168.65.3',
        addresses: ['10.3.5.0/32'],
      },
    ],
  });
  assert.deepEqual([own, subnetFile], [report, '/run/subnet.env']);
});

test('an underlay that the network has not followed has both MTUs', () => {
  harness.start();
  const changed = { ...HOST, links: HOST.links.map(link => ({ ...link, mtu: 1300 })) };
  harness.overlay.setNetwork(changed);
  assert.deepEqual(status(changed).underlay?.link, { index: 2, name: 'eth0', mtu: 1500, currentMtu: 1300 });
  assert.deepEqual(status({ ...HOST, links: [] }).underlay?.link, { index: 2, name: 'eth0', mtu: 1500 });
});

test('a device that the kernel does not have is its name and kind', () => {
  harness.start();
  assert.deepEqual(status().backend?.devices, [{ name: 'flannel.88', kind: 'vxlan' }]);
});

test('what went wrong is said, and what was repaired is counted', () => {
  harness.start();
  harness.report = {
    inSync: false,
    failed: 1,
    lastError: 'no buffer space',
    lastResync: { at: 0, ms: 3, reason: 'asked' },
  };
  harness.firewall = { ok: false, engine: 'nftables', lastError: 'nft: busy' };
  harness.repairFirewall(['a jump is missing']);
  const { dataplane, firewall } = status();
  assert.deepEqual(dataplane, {
    inSync: false,
    wanted: 9,
    failed: 1,
    writes: 7,
    lastResync: '1970-01-01T00:00:00.000Z',
    driftRepairs: { route: 2, firewall: 1 },
    lastError: 'no buffer space',
  });
  assert.deepEqual(firewall, {
    masquerade: true,
    forward: false,
    mode: 'nftables',
    ok: false,
    lastError: 'nft: busy',
  });
});
