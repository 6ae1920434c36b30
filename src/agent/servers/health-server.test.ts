import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Status } from '../../api/status.ts';
import { recordingLogger } from '../../base/log.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from '../health/event-log.ts';
import { Health } from '../health/health.ts';
import { exposeMetrics } from '../health/metrics.ts';
import { healthListener, metricsListener, TcpServer } from './health-server.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };

describe('health', () => {
  const open = async () => {
    const clock = new ManualClock();
    const health = new Health(clock, new EventLog({ clock, logger: recordingLogger() }));
    const server = await TcpServer.open(LOOPBACK, healthListener(health));
    return { health, server, get: (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`) };
  };

  test('readyz says no with the reason, then yes, then no again', async () => {
    const { health, server, get } = await open();
    await using _server = server;
    for (const { name } of health.conditions()) health.report(name);
    health.report('lease', { code: 'OUT_OF_SUBNETS', reason: 'no subnet is free', hint: 'enlarge Network' });
    const waiting = await get('/readyz');
    assert.equal(waiting.status, 503);
    const body = (await waiting.json()) as Record<string, unknown>;
    assert.deepEqual(
      [body['ready'], body['state'], body['reason'], body['hint']],
      [false, 'waiting', 'no subnet is free', 'enlarge Network'],
    );
    health.report('lease');
    assert.equal((await get('/readyz')).status, 200);
    health.report('dataplane', { code: 'DATAPLANE_FAILED', reason: 'flannel.1: operation not permitted' });
    assert.equal((await get('/readyz')).status, 503);
  });

  test('healthz answers while the agent is not ready', async () => {
    const { server, get } = await open();
    await using _server = server;
    assert.equal((await get('/healthz?verbose')).status, 200);
    assert.equal((await get('/metrics')).status, 404);
  });
});

const status: Status = {
  apiVersion: 1,
  version: '1.2.3',
  host: { id: 'id', name: 'docker1' },
  pid: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 5,
  agent: { state: 'degraded', since: '2026-01-01T00:00:00.000Z', ready: true },
  conditions: [{ name: 'store', ok: false, required: false, since: '2026-01-01T00:00:00.000Z' }],
  store: {
    endpoints: [],
    prefix: '/coreos.com/network',
    connected: false,
    since: '2026-01-01T00:00:10.000Z',
    cached: false,
  },
  certificates: [{ file: '/host.pem', subject: 'CN=a', expires: '2026-01-01T00:00:10.000Z' }],
  network: { problems: [] },
  dataplane: {
    inSync: true,
    wanted: 8,
    failed: 0,
    writes: 12,
    driftRepairs: { route: 2, fdb: 1 },
    recentRepairs: [],
  },
  peers: [
    { key: 'a', subnet: {}, publicIp: {}, state: 'ok', desired: [], actual: [] },
    { key: 'b', subnet: {}, publicIp: {}, state: 'ok', desired: [], actual: [] },
    { key: 'c', subnet: {}, publicIp: {}, state: 'rejected', desired: [], actual: [] },
  ],
  firewall: { masquerade: false, forward: true, ok: true },
  warnings: [],
};

test('metrics have what the status has', async () => {
  const server = await TcpServer.open(
    LOOPBACK,
    metricsListener(() => exposeMetrics(status)),
  );
  await using _server = server;
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n');
  for (const line of [
    'tulle_build_info{version="1.2.3"} 1',
    'tulle_ready 1',
    'tulle_state{state="degraded"} 1',
    'tulle_state{state="ready"} 0',
    'tulle_condition{condition="store"} 0',
    'tulle_store_connected 0',
    'tulle_lease_held 0',
    'tulle_certificate_expires_seconds{file="/host.pem"} 1767225610',
    'tulle_peers{state="ok"} 2',
    'tulle_peers{state="rejected"} 1',
    'tulle_peers{state="failed"} 0',
    'tulle_netlink_writes_total 12',
    'tulle_drift_repairs_total{object="route"} 2',
    'tulle_drift_repairs_total{object="fdb"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test('a port that is taken is an error with a code', async () => {
  await using first = await TcpServer.open(LOOPBACK, () => undefined);
  await assert.rejects(
    TcpServer.open({ ...LOOPBACK, port: first.port }, () => undefined),
    { code: 'EADDRINUSE' },
  );
});
