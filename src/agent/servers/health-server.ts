/**
 * Health and metrics over TCP, for those who cannot open the unix socket: an orchestrator's probes and
 * Prometheus. Both are off by default.
 *
 *     GET /healthz   200 as long as the process serves requests at all
 *     GET /readyz    200 when containers of this host can talk to those of others, else 503; the body says why
 *     GET /metrics   Prometheus text format
 */
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Logger, silentLogger } from '../../base/log.ts';
import type { TlsFiles } from '../../store/tls-files.ts';
import type { Health } from '../health/health.ts';
import type { ListenAddress } from '../options/options.ts';
import { createServer, createTlsServer } from './http.ts';

/** Text of `/metrics` and its content type. */
export type Exposition = () => Promise<{ readonly contentType: string; readonly text: string }>;

export class TcpServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws Error with a code (EADDRINUSE, ENOENT of a certificate) when it cannot listen. */
  static async open(
    { host, port }: ListenAddress,
    listener: RequestListener,
    tls?: TlsFiles,
    log: Logger = silentLogger,
  ): Promise<TcpServer> {
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener, log);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    return new TcpServer(server);
  }

  /** Differs from the one asked for when that was 0. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}

export function healthListener(health: Health): RequestListener {
  return (request, response) => {
    switch (pathOf(request.url)) {
      case '/healthz':
        return sendJson(response, 200, { status: 'ok' });
      case '/readyz': {
        const { ready, state, reason, hint, since } = health.summary.value;
        const conditions = health.conditions();
        return sendJson(response, ready ? 200 : 503, { ready, state, reason, hint, since, conditions });
      }
      default:
        return sendJson(response, 404, { message: 'this server has /healthz and /readyz' });
    }
  };
}

export function metricsListener(expose: Exposition): RequestListener {
  return (request, response) => {
    if (pathOf(request.url) !== '/metrics') {
      return sendJson(response, 404, { message: 'this server has /metrics' });
    }
    expose().then(
      ({ contentType, text }) => response.writeHead(200, { 'content-type': contentType }).end(text),
      () => sendJson(response, 500, { message: 'the metrics could not be collected' }),
    );
  };
}

const pathOf = (url = '/') => url.split('?')[0] ?? '/';

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
