/** HTTP/1.1 on the client port: the JSON gateway, and the pages that probes and people ask for. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import process from 'node:process';
import { TLSSocket } from 'node:tls';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Core } from '../core.ts';
import type { Metrics } from '../metrics.ts';
import { CLUSTER_VERSION, ETCD_VERSION } from '../version.ts';
import type { Gateway } from './gateway.ts';

/** A page that is served to clients without a certificate, and the only one they get. */
export interface Enrollment {
  readonly path: string;
  readonly serve: RequestListener;
}

/** Milliseconds that a client has for the head of a request, and for all of it, and how often they are looked at. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const CHECK_MS = 1000;

export interface HttpServerOptions {
  readonly core: Core;
  readonly gateway: Gateway;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly enrollment: Enrollment | undefined;
}

/** Not listening by itself: connections are handed to it with `emit('connection')`. */
export function httpServer(options: HttpServerOptions): Server {
  const limits = {
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    connectionsCheckingInterval: CHECK_MS,
  };
  // An import statement evaluates every export of node:http, and one loads undici, the HTTP client.
  const server = process.getBuiltinModule('node:http').createServer(limits, (request, response) => {
    try {
      serve(options, request, response);
    } catch (error) {
      options.log.error({ url: request.url, error: messageOf(error) }, 'a defect in the store');
      request.socket.destroy();
    }
  });
  // Node watches over requests that never end from this event on, which a server that does not listen lacks; and an
  // anonymous client could hold connections forever.
  server.emit('listening');
  return server;
}

function serve(
  { core, gateway, metrics, enrollment }: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  // Node hands on what is no URL: `//`.
  const path = URL.parse(request.url ?? '/', 'http://store')?.pathname ?? '';
  if (path === enrollment?.path && request.socket instanceof TLSSocket) {
    enrollment.serve(request, response);
    return;
  }
  if (enrollment !== undefined && request.socket instanceof TLSSocket && !request.socket.authorized) {
    request.resume();
    response.writeHead(403).end('403 a client certificate is needed\n');
    return;
  }
  const page = PAGES.get(path);
  if (page === undefined && gateway.handle(path, request, response)) return;
  // A body that is not read would keep the connection from its next request.
  request.resume();
  if (page === undefined) response.writeHead(404).end('404 page not found\n');
  else page(core, metrics, response);
}

type Page = (core: Core, metrics: Metrics, to: ServerResponse) => void;

const PAGES: ReadonlyMap<string, Page> = new Map<string, Page>(
  Object.entries<Page>({
    // etcd's probes read the text "true", not only the status.
    '/health'(core, _metrics, to) {
      const { problems } = core;
      const healthy = problems.length === 0;
      json(
        to,
        healthy ? 200 : 503,
        healthy ? { health: 'true' } : { health: 'false', reason: problems.join(', ') },
      );
    },
    '/version'(_core, _metrics, to) {
      json(to, 200, { etcdserver: ETCD_VERSION, etcdcluster: CLUSTER_VERSION });
    },
    '/metrics'(_core, metrics, to) {
      metrics.text().then(
        text => to.writeHead(200, { 'content-type': metrics.contentType }).end(text),
        (error: unknown) => to.writeHead(500).end(messageOf(error)),
      );
    },
  }),
);

function json(to: ServerResponse, status: number, body: object): void {
  to.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
