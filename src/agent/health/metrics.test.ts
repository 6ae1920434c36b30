import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastPath, healthyPeer, status, T0 } from '../../../test/support/status.ts';
import { exposeMetrics } from './metrics.ts';

/** The samples of a document, without those of this process. */
const samplesOf = async (changes: object = {}) => {
  const { text } = await exposeMetrics(status(changes));
  return text.split('\n').filter(line => line.startsWith('tulle_'));
};

const at = (time: string) => Date.parse(time) / 1000;

test('every metric says what the status says', async () => {
  assert.deepEqual(await samplesOf(), [
    'tulle_build_info{version="0.1.0"} 1',
    'tulle_ready 1',
    'tulle_state{state="starting"} 0',
    'tulle_state{state="waiting"} 0',
    'tulle_state{state="degraded"} 0',
    'tulle_state{state="ready"} 1',
    'tulle_state{state="stopping"} 0',
    'tulle_condition{condition="store"} 1',
    'tulle_warnings 0',
    'tulle_store_connected 1',
    `tulle_store_connected_since_seconds ${at(T0)}`,
    'tulle_lease_held 1',
    `tulle_lease_expires_seconds ${at('2026-01-03T04:00:00.000Z')}`,
    `tulle_certificate_expires_seconds{file="/var/lib/tulle/trust/ca.pem"} ${at('2035-11-29T00:28:59.000Z')}`,
    `tulle_certificate_expires_seconds{file="/var/lib/tulle/trust/host.pem"} ${at('2026-11-29T18:29:02.000Z')}`,
    'tulle_peers{state="ok"} 1',
    'tulle_peers{state="pending"} 0',
    'tulle_peers{state="failed"} 0',
    'tulle_peers{state="unreachable"} 0',
    'tulle_peers{state="rejected"} 0',
    'tulle_dataplane_in_sync 1',
    'tulle_dataplane_entries_wanted 4',
    'tulle_dataplane_entries_failed 0',
    'tulle_netlink_writes_total 4',
    'tulle_drift_repairs_total{object="route"} 2',
    'tulle_drift_repairs_total{object="neighbor"} 0',
    `tulle_last_resync_seconds ${at('2026-01-02T05:00:00.000Z')}`,
    'tulle_firewall_ok 1',
  ]);
});

test('what is not so is 0, and what is not known has no sample', async () => {
  const { store, dataplane, firewall, conditions } = status();
  const { lastResync: _, ...neverCompared } = dataplane;
  const samples = await samplesOf({
    agent: { state: 'waiting', since: T0, ready: false },
    conditions: conditions.map(condition => ({ ...condition, ok: false })),
    store: { ...store, connected: false },
    lease: undefined,
    certificates: undefined,
    dataplane: { ...neverCompared, inSync: false, failed: 3 },
    firewall: { ...firewall, ok: false },
    peers: [healthyPeer, { ...healthyPeer, state: 'failed' }],
  });
  const wanted = [
    'tulle_ready 0',
    'tulle_state{state="waiting"} 1',
    'tulle_state{state="ready"} 0',
    'tulle_condition{condition="store"} 0',
    'tulle_store_connected 0',
    'tulle_lease_held 0',
    'tulle_peers{state="ok"} 1',
    'tulle_peers{state="failed"} 1',
    'tulle_dataplane_in_sync 0',
    'tulle_dataplane_entries_failed 3',
    'tulle_firewall_ok 0',
  ];
  for (const sample of wanted) assert.ok(samples.includes(sample), `${sample}\n${samples.join('\n')}`);
  assert.deepEqual(
    samples.filter(sample => /expires|last_resync/.test(sample)),
    [],
  );
});

test('a lease that is not renewed in time is not held', async () => {
  const { lease } = status();
  const samples = await samplesOf({ lease: { ...lease, ownership: 'unconfirmed' } });
  assert.ok(samples.includes('tulle_lease_held 0'));
});

test('peers are counted by way and family where the backend chooses', async () => {
  const over = (inUse: string) => ({ inUse, name: inUse, since: T0, others: [] });
  const peers = [
    { ...healthyPeer, ways: { ipv4: over('direct'), ipv6: over('udp') } },
    { ...healthyPeer, ways: { ipv4: over('direct') } },
    healthyPeer,
  ];
  const samples = await samplesOf({ peers });
  assert.deepEqual(
    samples.filter(sample => sample.includes('by_way')),
    ['tulle_peers_by_way{family="ipv4",way="direct"} 2', 'tulle_peers_by_way{family="ipv6",way="udp"} 1'],
  );
});

test('the process has a start, a size and a time', async () => {
  const { text, contentType } = await exposeMetrics(status());
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  assert.ok(text.includes(`\nprocess_start_time_seconds ${at(T0)}\n`));
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  assert.ok(value('process_resident_memory_bytes') > 1e6);
  const { user, system } = process.cpuUsage();
  const seconds = value('process_cpu_seconds_total');
  assert.ok(seconds > 0 && seconds <= (user + system) / 1e6);
});

test('the fast path: where it is, what goes it, and what does not', async () => {
  const samples = await samplesOf({ fastPath });
  assert.deepEqual(
    samples.filter(line => line.startsWith('tulle_fast_path_')),
    [
      'tulle_fast_path_used 1',
      'tulle_fast_path_links{network="overlay",fast="true"} 2',
      'tulle_fast_path_links{network="overlay",fast="false"} 0',
      'tulle_fast_path_flows{network="overlay"} 1',
      'tulle_fast_path_bytes{network="overlay",direction="sent"} 9608905480',
      'tulle_fast_path_bytes{network="overlay",direction="received"} 1175548',
      'tulle_fast_path_normal_packets_total{reason="no flow"} 2',
      'tulle_fast_path_normal_packets_total{reason="TCP flags"} 6',
      'tulle_fast_path_normal_packets_total{reason="expired"} 20',
    ],
  );
});
