/** The agent's servers over time: one that cannot listen is a warning, and tried again. */
import type { Status } from '../../api/status.ts';
import { aborted } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { TlsFiles } from '../../store/tls-files.ts';
import type { Health } from '../health/health.ts';
import type { AgentOptions, MetricsTls } from '../options/options.ts';
import { type ApiHandlers, ApiServer, ApiServerError } from './api-server.ts';
import { healthListener, metricsListener, TcpServer } from './health-server.ts';

export interface ServersOptions {
  readonly options: Pick<AgentOptions, 'socketPath' | 'health' | 'metrics'>;
  readonly health: Health;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens a server and keeps it open until `signal` aborts. */
type Serve = (signal: AbortSignal) => Promise<void>;

/**
 * The API. It is open when the promise resolves, unless the disk is full or the like.
 * @throws ApiServerError when another agent answers at the socket.
 */
export async function openApi(servers: ServersOptions, handlers: ApiHandlers): Promise<Serve> {
  const { socketPath } = servers.options;
  const open = () => ApiServer.open(socketPath, handlers);
  const first = await open().catch((error: unknown) => {
    if (error instanceof ApiServerError) throw error;
    return undefined;
  });
  return signal => keepOpen('API', socketPath, open, servers, signal, first);
}

export async function serveHealth(servers: ServersOptions, signal: AbortSignal): Promise<void> {
  const listen = servers.options.health;
  if (listen === undefined) return;
  const open = () => TcpServer.open(listen, healthListener(servers.health));
  await keepOpen('health', `${listen.host} port ${listen.port}`, open, servers, signal);
}

export async function serveMetrics(
  servers: ServersOptions,
  status: () => Promise<Status>,
  signal: AbortSignal,
): Promise<void> {
  const listen = servers.options.metrics;
  if (listen === undefined) return;
  // Loaded only where it is wanted: it costs memory on every host.
  const { exposeMetrics } = await import('../health/metrics.ts');
  const listener = metricsListener(async () => exposeMetrics(await status()));
  const open = async () =>
    TcpServer.open(listen, listener, listen.tls && filesOf(listen.tls), servers.logger);
  await keepOpen('metrics', `${listen.host} port ${listen.port}`, open, servers, signal);
}

/** @throws Error when they cannot be read */
function filesOf({ certFile, keyFile, caFile }: MetricsTls): TlsFiles {
  return new TlsFiles({ cert: certFile, key: keyFile, ca: caFile }, true);
}

async function keepOpen(
  name: string,
  where: string,
  open: () => Promise<AsyncDisposable>,
  { health, clock }: ServersOptions,
  signal: AbortSignal,
  first?: AsyncDisposable,
): Promise<void> {
  let server = first;
  for (const delay of backoff(1000, 60_000)) {
    try {
      await using _server = (server ??= await open());
      health.warn(name, []);
      return await aborted(signal);
    } catch (error) {
      const title = `the ${name} server cannot listen at ${where}`;
      const text = messageOf(error);
      health.warn(name, [{ id: 'listen', code: 'CANNOT_LISTEN', severity: 'warning', title, text }]);
      await clock.sleep(delay, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
  }
}
