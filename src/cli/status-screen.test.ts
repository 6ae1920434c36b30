import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as v from 'valibot';
import { type PeerStatus, Status } from '../api/status.ts';
import { statusScreen } from './status-screen.ts';

const T0 = '2026-01-02T03:00:00.000Z';
const now = Date.parse('2026-01-02T05:03:00.000Z');

const healthy = {
  key: '188.172.9.0-24',
  ipv4: '188.172.9.0/24',
  publicIpv4: '192.168.65.4',
  backendType: 'vxlan',
  state: 'ok',
  desired: ['route 188.172.9.0/24 via 188.172.9.0 dev flannel.88 onlink'],
  actual: ['route 188.172.9.0/24 via 188.172.9.0 dev flannel.88 onlink'],
} as const satisfies PeerStatus;

/** The host `docker1` of a small cluster, checked against the schema so that it cannot grow old. */
const status = (changes: object = {}): Status => {
  const document = {
    apiVersion: 1,
    version: '0.1.0',
    host: { id: 'b7a3', name: 'docker1' },
    pid: 7,
    startedAt: T0,
    uptimeSeconds: 7380,
    agent: { state: 'ready', since: T0, ready: true },
    conditions: [{ name: 'store', ok: true, required: true, since: T0 }],
    underlay: {
      link: { name: 'eth0', index: 2, mtu: 1500 },
      ipv4: '192.168.65.3',
      publicIpv4: '192.168.65.3',
      chosenBy: 'default route',
    },
    store: {
      endpoints: ['http://192.168.65.3:2379'],
      prefix: '/coreos.com/network',
      connected: true,
      since: T0,
      revision: '42',
      cached: false,
    },
    network: {
      config: {
        ipv4: {
          network: '188.172.0.0/16',
          subnetLength: 24,
          subnetMin: '188.172.1.0',
          subnetMax: '188.172.255.0',
        },
        backendType: 'vxlan',
      },
      problems: [],
    },
    lease: {
      key: '188.172.50.0-24',
      ipv4: '188.172.50.0/24',
      storeLease: '7c',
      expires: '2026-01-03T04:00:00.000Z',
      reservation: false,
      ownership: 'held',
    },
    backend: {
      type: 'vxlan',
      overlayMtu: 1450,
      devices: [{ name: 'flannel.88', kind: 'vxlan', vni: 88, port: 4789 }],
    },
    dataplane: { inSync: true, wanted: 4, failed: 0, writes: 4, driftRepairs: { route: 2, neighbor: 0 } },
    peers: [healthy],
    firewall: { masquerade: true, forward: true, mode: 'iptables', ok: true },
    subnetFile: '/run/flannel/subnet.env',
    warnings: [],
    ...changes,
  };
  const known = Object.entries(document).filter(([, value]) => value !== undefined);
  return v.parse(Status, Object.fromEntries(known));
};

const screen = (changes: object = {}, all = false) => statusScreen(status(changes), { now, all });

describe('the status screen', () => {
  test('of a healthy host', () => {
    assert.equal(
      screen(),
      `host         docker1, tulle 0.1.0, up 2 h 3 min
state        ready for 2 h 3 min
lease        188.172.50.0/24, expires in 22 h 57 min
network      188.172.0.0/16 in /24, vxlan
backend      vxlan, flannel.88 (VNI 88, UDP 4789), MTU 1450 for containers
underlay     eth0 192.168.65.3, MTU 1500, chosen by default route
store        http://192.168.65.3:2379, connected for 2 h 3 min, revision 42
firewall     iptables, masquerade, accept forwarding
data plane   in sync, 4 entries, repaired 2 routes
subnet file  /run/flannel/subnet.env

PEER            PUBLIC IP     BACKEND  STATE  REASON
188.172.9.0/24  192.168.65.4  vxlan    ok     -`,
    );
  });

  test('of a host that waits says what for', () => {
    const text = screen({
      agent: {
        state: 'waiting',
        reason: 'no subnet is free',
        hint: 'widen Network',
        since: T0,
        ready: false,
      },
      conditions: [
        {
          name: 'lease',
          ok: false,
          required: true,
          reason: 'all 254 are taken',
          hint: 'see tulle lease list',
          since: T0,
        },
      ],
      lease: undefined,
      backend: undefined,
      underlay: undefined,
      peers: [],
    });
    assert.match(text, /^state +waiting for 2 h 3 min: no subnet is free$/m);
    assert.match(text, /^hint +widen Network$/m);
    assert.match(text, /^lease +none$/m);
    assert.match(text, /^No peers\.$/m);
    assert.match(text, /^ {2}lease for 2 h 3 min: all 254 are taken\n {4}hint: see tulle lease list$/m);
  });

  test('shows of a failed peer what the kernel lacks and has in excess', () => {
    const failed = {
      ...healthy,
      key: '188.172.8.0-24',
      state: 'failed',
      reason: 'FDB entry missing',
      desired: ['route r', 'fdb f'],
      actual: ['route r', 'fdb g'],
    };
    const text = screen({ peers: [healthy, failed] });
    assert.ok(text.indexOf('FDB entry missing') < text.indexOf('  ok  '), 'trouble comes first');
    assert.match(text, /\n188\.172\.8\.0-24\n {4}route r\n {2}- fdb f\n {2}\+ fdb g$/);
    assert.doesNotMatch(text, /188\.172\.9\.0-24/, 'the healthy one needs no entries');
    assert.match(screen({ peers: [healthy, failed] }, true), /\n188\.172\.9\.0-24\n {4}route 188/);
  });

  test('counts the healthy peers that do not fit', () => {
    const many = Array.from({ length: 500 }, (_, index) => ({ ...healthy, ipv4: `10.${index}.0.0/24` }));
    assert.match(screen({ peers: many }), /\nand 480 more that are ok; --all shows them$/);
    assert.equal(screen({ peers: many }).split('\n').length < 40, true);
    assert.match(screen({ peers: many }, true), /10\.499\.0\.0/);
  });

  test('says why the store, the configuration and the firewall are not as they should be', () => {
    const text = screen({
      store: { ...status().store, connected: false, cached: true, lastError: 'no leader' },
      network: { problems: [{ path: 'Network', message: 'is missing' }] },
      firewall: { masquerade: true, forward: false, ok: false, lastError: 'iptables-restore: locked' },
      underlay: { ...status().underlay, publicIpv4: '203.0.113.9' },
      warnings: [
        {
          code: 'DUPLICATE_PUBLIC_IP',
          severity: 'error',
          title: 'Shared address',
          text: 'docker2 has it too',
          since: T0,
        },
      ],
    });
    assert.match(
      text,
      /^store .*no contact for 2 h 3 min, revision 42, working from what is on disk, no leader$/m,
    );
    assert.match(text, /^network +no configuration yet, Network is missing$/m);
    assert.match(text, /^firewall +masquerade, iptables-restore: locked$/m);
    assert.match(text, /peers are told 203\.0\.113\.9/);
    assert.match(text, /DUPLICATE_PUBLIC_IP Shared address: docker2 has it too$/);
  });
});
