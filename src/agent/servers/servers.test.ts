import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/support/eventually.ts';
import { AgentClient } from '../../api/client.ts';
import { recordingLogger } from '../../base/log.ts';
import { freePorts } from '../../sys/free-ports.ts';
import { ManualClock } from '../../testing/manual-clock.ts';
import { EventLog } from '../health/event-log.ts';
import { Health } from '../health/health.ts';
import type { ApiHandlers } from './api-server.ts';
import { TcpServer } from './health-server.ts';
import { openApi, serveHealth } from './servers.ts';

const HOST = '127.0.0.1';
const NOBODY: Partial<ApiHandlers> = {};

function agent(socketPath: string, port: number) {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const health = new Health(clock, new EventLog({ clock, logger }));
  const codes = () => health.warnings().map(({ code }) => code);
  const options = { socketPath, health: { host: HOST, port } };
  return { servers: { options, health, clock, logger }, clock, codes };
}

test('a socket that is removed, or its whole directory, is made again, and said to be', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-servers-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const stop = new AbortController();
  t.after(() => stop.abort());
  const path = join(directory, 'run', 'agent.sock');
  const events = new EventLog({ clock: new ManualClock(), logger: recordingLogger() });
  const handlers: Partial<ApiHandlers> = { events, releaseLease: async () => ({ released: '10.3.4.0-24' }) };
  const serving = (await openApi(agent(path, 0).servers, handlers as ApiHandlers))(stop.signal);
  for (const [count, removed] of [path, join(directory, 'run')].entries()) {
    rmSync(removed, { recursive: true });
    await eventually(
      `${removed} is there again`,
      async () => events.newest('state-repaired', 5).length > count,
    );
    await new AgentClient({ socketPath: path }).releaseLease();
  }
  stop.abort();
  await serving;
  assert.equal(existsSync(path), false);
});

test('a port in use by another program is a warning until it is free, and served from then on', async t => {
  const [port = 0] = await freePorts(1);
  const other = await TcpServer.open({ host: HOST, port }, () => undefined);
  const { servers, clock, codes } = agent('unused', port);
  const stop = new AbortController();
  t.after(() => stop.abort());
  const serving = serveHealth(servers, stop.signal);
  await eventually('a warning', async () => codes().includes('CANNOT_LISTEN'));
  await other[Symbol.asyncDispose]();
  await eventually('the port is served', async () => {
    await clock.advance(1_000);
    return codes().length === 0;
  });
  assert.equal((await fetch(`http://${HOST}:${port}/healthz`)).status, 200);
  stop.abort();
  await serving;
  await assert.rejects(fetch(`http://${HOST}:${port}/healthz`));
});

test('a second agent at the same socket is refused; a directory that cannot be is waited for', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'tt-servers-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const stop = new AbortController();
  t.after(() => stop.abort());
  const path = join(directory, 'agent.sock');
  const serve = await openApi(agent(path, 0).servers, NOBODY as ApiHandlers);
  const serving = serve(stop.signal);
  await assert.rejects(openApi(agent(path, 0).servers, NOBODY as ApiHandlers), { name: 'ApiServerError' });

  const { servers, codes } = agent(join(path, 'below-a-socket', 'agent.sock'), 0);
  const waiting = (await openApi(servers, NOBODY as ApiHandlers))(stop.signal);
  await eventually('a warning', async () => codes().includes('CANNOT_LISTEN'));
  stop.abort();
  await Promise.all([serving, waiting]);
});
