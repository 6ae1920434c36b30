/** The agent's servers over time: one that cannot listen is a warning, and tried again; so is one whose socket is gone. */
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
  const renewed = () =>
    handlers.events.add('warning', 'state-repaired', `made again: the socket ${socketPath}`, { socketPath });
  return signal => keepOpen('API', socketPath, open, servers, signal, first, renewed);
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

interface KeptServer extends AsyncDisposable {
  /** Until it can be reached no more; one without it always can. */
  untilGone?(clock: Clock, signal: AbortSignal): Promise<void>;
}

/** @param renewed called when another one has taken the place of one that was gone */
async function keepOpen(
  name: string,
  where: string,
  open: () => Promise<KeptServer>,
  { health, clock }: ServersOptions,
  signal: AbortSignal,
  first?: KeptServer,
  renewed?: () => void,
): Promise<void> {
  const pauses = () => backoff(1000, 60_000);
  let delays = pauses();
  let server = first;
  let wasGone = false;
  while (!signal.aborted) {
    try {
      await using opened = (server ??= await open());
      server = undefined;
      health.warn(name, []);
      if (wasGone) renewed?.();
      await (opened.untilGone?.(clock, signal) ?? aborted(signal));
      wasGone = true;
      delays = pauses();
    } catch (error) {
      const title = `the ${name} server cannot listen at ${where}`;
      const text = messageOf(error);
      health.warn(name, [{ id: 'listen', code: 'CANNOT_LISTEN', severity: 'warning', title, text }]);
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
    }
  }
}
