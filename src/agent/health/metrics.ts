/**
 * The status document as Prometheus metrics. Nothing is counted twice: what `tulle status` shows and what is
 * scraped come from the same document.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { HEALTH_STATES, type PeerHealth } from '../../api/peer-health.ts';
import { AGENT_STATES, PEER_STATES, type Status } from '../../api/status.ts';
import { familiesOf } from '../../base/per-family.ts';
import { fastPathMetrics } from './fast-path-metrics.ts';

/** A value and its labels. */
type Sample = readonly [number, Readonly<Record<string, string>>?];

const labelsOf = ([first]: readonly Sample[]) => Object.keys(first?.[1] ?? {});

const seconds = (time: string) => Date.parse(time) / 1000;

function byWay(peers: Status['peers']): Sample[] {
  const counts = new Map<string, number>();
  for (const { ways = {} } of peers) {
    for (const family of familiesOf(ways)) {
      const key = `${family} ${ways[family]?.inUse}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return Array.from(counts, ([key, count]) => {
    const [family = '', way = ''] = key.split(' ');
    return [count, { family, way }];
  });
}

function byHealth(peers: Status['peers']): Sample[] {
  const states = peers.flatMap(({ health = {} }) =>
    familiesOf(health).map(family => ({ family, state: health[family]?.state ?? '' })),
  );
  const families = [...new Set(states.map(({ family }) => family))];
  return families.flatMap(family =>
    HEALTH_STATES.map((state): Sample => {
      const count = states.filter(one => one.family === family && one.state === state).length;
      return [count, { family, state }];
    }),
  );
}

/** One sample for each family of each peer for which there is a value. */
function ofPeers(peers: Status['peers'], valueOf: (health: PeerHealth) => number | undefined): Sample[] {
  return peers.flatMap(({ key, hostName = '', health = {} }) =>
    familiesOf(health).flatMap((family): Sample[] => {
      const one = health[family];
      const value = one && valueOf(one);
      return value === undefined ? [] : [[value, { peer: key, host: hostName, family }]];
    }),
  );
}

/** Text in the Prometheus exposition format, and its content type. */
export async function exposeMetrics(
  status: Status,
): Promise<{ readonly contentType: string; readonly text: string }> {
  const registry = new Registry();
  // What is not known is no metric: prom-client would show it as 0, which is 1970 for a time.
  const gauge = (name: string, help: string, samples: readonly Sample[]) => {
    if (samples.length === 0) return;
    const metric = new Gauge({ name, help, labelNames: labelsOf(samples), registers: [registry] });
    for (const [value, labels = {}] of samples) metric.set(labels, value);
  };
  const counter = (name: string, help: string, samples: readonly Sample[]) => {
    if (samples.length === 0) return;
    const metric = new Counter({ name, help, labelNames: labelsOf(samples), registers: [registry] });
    for (const [value, labels = {}] of samples) metric.inc(labels, value);
  };
  const { agent, conditions, dataplane, lease, peers, store, warnings } = status;

  gauge('tulle_build_info', 'Always 1; the version is a label.', [[1, { version: status.version }]]);
  gauge('tulle_ready', 'Whether containers of this host can talk to those of others.', [
    [Number(agent.ready)],
  ]);
  gauge(
    'tulle_state',
    'The state of the agent: 1 for the one it is in.',
    AGENT_STATES.map(state => [Number(agent.state === state), { state }]),
  );
  gauge(
    'tulle_condition',
    'Whether the condition is met.',
    conditions.map(({ name, ok }) => [Number(ok), { condition: name }]),
  );
  gauge('tulle_warnings', 'Active warnings.', [[warnings.length]]);
  gauge('tulle_store_connected', 'Whether the store answers.', [[Number(store.connected)]]);
  gauge(
    'tulle_store_connected_since_seconds',
    'When `tulle_store_connected` last changed, in seconds since 1970.',
    [[seconds(store.since)]],
  );
  gauge('tulle_lease_held', 'Whether this host holds a lease that it renews in time.', [
    [Number(lease?.ownership === 'held')],
  ]);
  gauge(
    'tulle_lease_expires_seconds',
    'When the lease ends unless it is renewed, in seconds since 1970.',
    lease?.expires === undefined ? [] : [[seconds(lease.expires)]],
  );
  gauge(
    'tulle_certificate_expires_seconds',
    'When the certificate in this file ends, in seconds since 1970.',
    (status.certificates ?? []).map(({ file, expires }) => [seconds(expires), { file }]),
  );
  gauge(
    'tulle_peers',
    'Peers by state.',
    PEER_STATES.map(state => [peers.filter(peer => peer.state === state).length, { state }]),
  );
  gauge(
    'tulle_peers_by_way',
    'Peers by the way they are reached over, where the backend chooses.',
    byWay(peers),
  );
  gauge('tulle_peers_by_health', 'Peers by family and by how they answer.', byHealth(peers));
  gauge(
    'tulle_peer_answers',
    'Whether the peer answers, with all or a part of what is asked.',
    ofPeers(peers, ({ state }) => Number(state !== 'silent' && state !== 'unanswered')),
  );
  gauge(
    'tulle_peer_loss_ratio',
    'Echoes to the peer that are lost, of the last ones.',
    ofPeers(peers, ({ lossPercent }) => (lossPercent === undefined ? undefined : lossPercent / 100)),
  );
  gauge(
    'tulle_peer_round_trip_seconds',
    'Time of an echo to the peer and back, smoothed.',
    ofPeers(peers, ({ roundTripMs }) => (roundTripMs === undefined ? undefined : roundTripMs / 1000)),
  );
  gauge(
    'tulle_peer_path_mtu_bytes',
    'The largest packet between containers that passes.',
    ofPeers(peers, ({ pathMtu }) => pathMtu),
  );
  gauge('tulle_dataplane_in_sync', 'Whether the kernel has every desired entry.', [
    [Number(dataplane.inSync)],
  ]);
  gauge('tulle_dataplane_entries_wanted', 'Desired kernel entries.', [[dataplane.wanted]]);
  gauge('tulle_dataplane_entries_failed', 'Desired kernel entries that are missing.', [[dataplane.failed]]);
  counter('tulle_netlink_writes_total', 'Modifying netlink requests since the agent started.', [
    [dataplane.writes],
  ]);
  counter(
    'tulle_drift_repairs_total',
    'Changes made by others that were repaired, by kind of kernel object.',
    Object.entries(dataplane.driftRepairs).map(([object, count]) => [count, { object }]),
  );
  gauge(
    'tulle_last_resync_seconds',
    'When everything was last compared with the kernel, in seconds since 1970.',
    dataplane.lastResync === undefined ? [] : [[seconds(dataplane.lastResync)]],
  );
  gauge('tulle_firewall_ok', 'Whether the firewall rules are in place.', [[Number(status.firewall.ok)]]);
  for (const { type, name, help, samples } of fastPathMetrics(status))
    (type === 'gauge' ? gauge : counter)(name, help, samples);
  const { user, system } = process.cpuUsage();
  counter('process_cpu_seconds_total', 'Processor time of the agent in seconds.', [[(user + system) / 1e6]]);
  gauge('process_resident_memory_bytes', 'Resident memory of the agent.', [[process.memoryUsage.rss()]]);
  gauge('process_start_time_seconds', 'When the agent started, in seconds since 1970.', [
    [seconds(status.startedAt)],
  ]);
  return { contentType: registry.contentType, text: await registry.metrics() };
}
