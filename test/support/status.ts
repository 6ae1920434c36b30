/** The status document of a host in a small cluster, to be changed by tests. */
import * as v from 'valibot';
import type { FastPathStatus } from '../../src/api/fast-path.ts';
import { type PeerStatus, Status } from '../../src/api/status.ts';

export const T0 = '2026-01-02T03:00:00.000Z';
export const now = Date.parse('2026-01-02T05:03:00.000Z');

export const healthyPeer = {
  key: '188.172.9.0-24',
  subnet: { ipv4: '188.172.9.0/24' },
  publicIp: { ipv4: '192.168.65.4' },
  backendType: 'vxlan',
  links: ['flannel.88'],
  state: 'ok',
  desired: ['route 188.172.9.0/24 via 188.172.9.0 dev flannel.88 onlink'],
  actual: ['route 188.172.9.0/24 via 188.172.9.0 dev flannel.88 onlink'],
} as const satisfies PeerStatus;

/** Two containers of this host, of which one talks to another host. */
export const fastPath = {
  used: true,
  networks: [
    {
      name: 'overlay',
      links: ['veth5f0c9d1', 'vethb82a7e4'],
      without: [],
      flows: 1,
      sentPackets: 167_534,
      sentBytes: 9_608_905_480,
      receivedPackets: 22_606,
      receivedBytes: 1_175_548,
    },
  ],
  normalPackets: { 'no flow': 2, 'TCP flags': 6, expired: 20 },
} as const satisfies FastPathStatus;

/** The host `docker1` of a small cluster, checked against the schema so that it cannot grow old. */
export const status = (changes: object = {}): Status => {
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
      ip: { ipv4: '192.168.65.3' },
      publicIp: { ipv4: '192.168.65.3' },
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
    certificates: [
      {
        file: '/var/lib/tulle/trust/ca.pem',
        subject: 'CN=Tulle authority',
        expires: '2035-11-29T00:28:59.000Z',
      },
      {
        file: '/var/lib/tulle/trust/host.pem',
        subject: 'CN=b7a3, O=tulle:host',
        expires: '2026-11-29T18:29:02.000Z',
      },
    ],
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
      subnet: { ipv4: '188.172.50.0/24' },
      storeLease: '7c',
      expires: '2026-01-03T04:00:00.000Z',
      reservation: false,
      ownership: 'held',
    },
    backend: {
      type: 'vxlan',
      overlayMtu: 1450,
      mtuParts: [
        { what: 'eth0', bytes: 1500 },
        { what: 'VXLAN over IPv4', bytes: -50 },
      ],
      devices: [{ name: 'flannel.88', kind: 'vxlan', vni: 88, port: 4789 }],
    },
    dataplane: {
      inSync: true,
      wanted: 4,
      failed: 0,
      writes: 4,
      lastResync: '2026-01-02T05:00:00.000Z',
      driftRepairs: { route: 2, neighbor: 0 },
      recentRepairs: [{ time: '2026-01-02T04:53:00.000Z', text: 'restored: route 188.172.9.0/24' }],
    },
    peers: [healthyPeer],
    firewall: { masquerade: true, forward: true, mode: 'iptables', ok: true },
    subnetFile: '/run/flannel/subnet.env',
    warnings: [],
    ...changes,
  };
  const known = Object.entries(document).filter(([, value]) => value !== undefined);
  return v.parse(Status, Object.fromEntries(known));
};
