import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { healthyPeer, now, status, T0 } from '../../test/support/status.ts';
import { statusScreen } from './status-screen.ts';

const screen = (changes: object = {}, all = false) => statusScreen(status(changes), { now, all });

describe('the status screen', () => {
  test('of a healthy host', () => {
    assert.equal(
      screen(),
      `host         docker1, tulle 0.1.0, up 2 h 3 min
state        ready for 2 h 3 min
lease        188.172.50.0/24, expires in 22 h 57 min
network      188.172.0.0/16, /24 per host, vxlan
backend      vxlan, flannel.88 (VNI 88, UDP 4789), MTU 1450 for containers (1500 of eth0 - 50 for VXLAN over IPv4)
underlay     eth0 192.168.65.3, MTU 1500, chosen by default route
store        http://192.168.65.3:2379, connected for 2 h 3 min, revision 42
certificate  valid until 2026-11-29 (/var/lib/tulle/trust/host.pem)
firewall     iptables, masquerade, accept forwarding
data plane   in sync, 4 entries
repaired     route 2; last 10 min ago: restored: route 188.172.9.0/24
peers        1, all ok
subnet file  /run/flannel/subnet.env

PEER            HOST     PUBLIC IP     BACKEND  OVER        STATE
188.172.9.0/24  flannel  192.168.65.4  vxlan    flannel.88  ok`,
    );
  });

  test('of a host with L2 networks has a line for each, or for those in trouble and the first of many', () => {
    const blue = {
      name: 'blue',
      vni: 14680065,
      state: 'ready',
      bridge: 'tb-blue',
      mtu: 1450,
      member: true,
      members: 2,
      endpoints: 5,
    };
    const red = { ...blue, name: 'red', state: 'failed', reason: 'no', members: 0, endpoints: 0 };
    const [, , section] = screen({ l2Networks: [blue, red] }).split('\n\n');
    assert.equal(
      section,
      `L2 NETWORK  BRIDGE        VNI   MTU  HOSTS  CONTAINERS  STATE
red         tb-blue  14680065  1450      0           0  failed
blue        tb-blue  14680065  1450      2           5  ready`,
    );
    const many = Array.from({ length: 30 }, (_, n) => ({ ...blue, name: `n${n}` }));
    const lines = screen({ l2Networks: many }).split('\n\n')[2]?.split('\n');
    assert.deepEqual([lines?.length, lines?.at(-1)], [12, 'and 20 more: see --all']);
    assert.equal(screen({ l2Networks: many }, true).match(/^n\d+ /gm)?.length, 30);
  });

  test('of a host where Docker has networks of the plugin says which ones they are', () => {
    const [, , section] = screen({
      dockerNetworks: [
        { name: 'app_default', network: 'blue', state: 'ready', containers: 12 },
        { name: 'Web', network: 'Web', state: 'failed', reason: 'no name', containers: 0 },
        { name: 'red', network: 'red', state: 'waiting', reason: 'it is not there', containers: 0 },
      ],
    }).split('\n\n');
    assert.equal(
      section,
      `DOCKER NETWORK  IS    CONTAINERS HERE  STATE
Web             Web                 0  failed
red             red                 0  waiting
app_default     blue               12  ready
red: it is not there`,
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
    assert.match(text, /^state +waiting for 2 h 3 min\nreason +no subnet is free$/m);
    assert.match(text, /^hint +widen Network$/m);
    assert.match(text, /^lease +none$/m);
    assert.match(text, /^peers +none$/m);
    assert.match(
      text,
      /^Other problems:\n {2}lease for 2 h 3 min: all 254 are taken\n {4}hint: see tulle lease list$/m,
    );
  });

  test('shows the reason of the state once, with its own age', () => {
    const reason = 'the store does not answer: no leader';
    const text = screen({
      agent: { state: 'degraded', reason, since: T0, ready: true },
      conditions: [{ name: 'store', ok: false, required: false, reason, since: '2026-01-02T05:00:00.000Z' }],
      store: {
        ...status().store,
        connected: false,
        since: '2026-01-02T05:00:00.000Z',
        lastError: 'no leader',
      },
    });
    assert.match(
      text,
      /^state +degraded for 2 h 3 min\nreason +the store does not answer: no leader \(for 3 min\)$/m,
    );
    assert.match(text, /^store .*, no contact for 3 min, revision 42$/m);
    assert.doesNotMatch(text, /Other problems/);
  });

  test('I3: does not claim that containers talk where they cannot', () => {
    const text = screen({
      agent: { state: 'waiting', reason: 'eth0 has no address', since: T0, ready: false },
      store: { ...status().store, connected: false },
    });
    assert.doesNotMatch(text, /containers still reach/);
  });

  test('distinguishes a host that still writes from one that cannot', () => {
    const dataplane = (failed: number) => ({ ...status().dataplane, inSync: false, failed });
    assert.match(screen({ dataplane: dataplane(0) }), /^data plane +being written, 4 entries$/m);
    assert.match(screen({ dataplane: dataplane(1) }), /^data plane +not in sync, 4 entries, 1 failed$/m);
  });

  test('shows of a failed peer what the kernel lacks and has in excess', () => {
    const failed = {
      ...healthyPeer,
      key: '188.172.8.0-24',
      state: 'failed',
      reason: 'FDB entry missing',
      desired: ['route r', 'fdb f'],
      actual: ['route r', 'fdb g'],
    };
    const text = screen({ peers: [healthyPeer, failed] });
    assert.ok(text.indexOf('FDB entry missing') < text.indexOf('  ok  '), 'trouble comes first');
    assert.match(text, /\n188\.172\.8\.0-24\n {4}route r\n {2}- fdb f\n {2}\+ fdb g$/);
    assert.doesNotMatch(text, /188\.172\.9\.0-24/, 'the healthy one needs no entries');
    assert.match(screen({ peers: [healthyPeer, failed] }, true), /\n188\.172\.9\.0-24\n {4}route 188/);
  });

  test('shows the MTU of a device only where it is not that of containers', () => {
    const { backend } = status();
    const withMtu = (mtu: number) =>
      screen({ backend: { ...backend, devices: backend?.devices.map(device => ({ ...device, mtu })) } });
    assert.match(withMtu(1450), /flannel\.88 \(VNI 88, UDP 4789\), MTU 1450 for containers/);
    assert.match(withMtu(1400), /flannel\.88 \(VNI 88, UDP 4789, MTU 1400\), MTU 1450 for containers/);
  });

  test('counts the healthy peers that do not fit', () => {
    const many = Array.from({ length: 500 }, (_, index) => ({
      ...healthyPeer,
      subnet: { ipv4: `10.${index}.0.0/24` },
    }));
    assert.match(screen({ peers: many }), /\nand 480 more that are ok; --all shows them$/);
    assert.equal(screen({ peers: many }).split('\n').length < 40, true);
    assert.match(screen({ peers: many }, true), /10\.499\.0\.0/);
  });

  test('of thousands of failing peers shows the reasons, and names one peer of each', () => {
    const peer = (index: number, change: object) => ({
      ...healthyPeer,
      key: `10.${index >> 8}.${index & 255}.0-24`,
      subnet: { ipv4: `10.${index >> 8}.${index & 255}.0/24` },
      ...change,
    });
    const peers = Array.from({ length: 5000 }, (_, index) => {
      if (index % 1000 === 7) return peer(index, { state: 'rejected', reason: 'wants a "PublicIP"' });
      const reason = `route 10.${index >> 8}.${index & 255}.0/24 on link ${index} is in the way`;
      return peer(index, index % 2 === 0 ? { state: 'failed', reason } : {});
    });
    const text = screen({ peers });
    assert.match(text, /^peers +5,000: 2,495 ok, 2,500 failed, 5 rejected$/m);
    assert.match(text, /^2,500 +failed +10\.0\.0\.0\/24 +route 10\.0\.0\.0\/24 on link 0 is in the way$/m);
    assert.match(text, /^ +5 +rejected +10\.0\.7\.0\/24 +wants a "PublicIP"$/m);
    assert.match(text, /`tulle status --peer 10\.0\.0\.0\/24` looks at one of them/);
    assert.equal(text.split('\n').length < 24, true);
  });

  test('says why the store, the configuration and the firewall are not as they should be', () => {
    const text = screen({
      store: { ...status().store, connected: false, cached: true, lastError: 'no leader' },
      network: { problems: [{ path: 'Network', message: 'is missing' }] },
      firewall: { masquerade: true, forward: false, ok: false, lastError: 'iptables-restore: locked' },
      underlay: {
        ...status().underlay,
        publicIp: { ipv4: '203.0.113.9' },
        link: { name: 'eth0', index: 2, mtu: 1500, currentMtu: 1300 },
      },
      warnings: [
        {
          code: 'DUPLICATE_PUBLIC_IP',
          severity: 'warning',
          title: 'Shared address',
          text: 'docker2 has it too',
          since: T0,
        },
      ],
    });
    assert.match(text, /^store .*no contact for 2 h 3 min, revision 42, using the copy on disk, no leader$/m);
    assert.match(text, /^underlay .*published as 203\.0\.113\.9, MTU 1500, now 1300, chosen by/m);
    assert.match(text, /^meanwhile +containers still reach the 1 known peer; /m);
    assert.match(text, /^network +no configuration yet, Network is missing$/m);
    assert.match(text, /^firewall +masquerade, iptables-restore: locked$/m);
    assert.match(text, /published as 203\.0\.113\.9/);
    assert.match(text, /DUPLICATE_PUBLIC_IP for 2 h 3 min: Shared address: docker2 has it too$/);
  });
});
