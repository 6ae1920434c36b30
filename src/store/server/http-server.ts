/** HTTP/1.1 on the client port: the JSON gateway, and the pages that probes and people ask for. */
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { messageOf } from '../../base/errors.ts';
import type { Core } from './core.ts';
import type { Gateway } from './gateway.ts';
import type { Metrics } from './metrics.ts';
import { CLUSTER_VERSION, ETCD_VERSION } from './version.ts';

/** A page that is served to clients without a certificate, and the only one they get. */
export interface Welcome {
  readonly path: string;
  readonly serve: RequestListener;
}

/** Milliseconds from the first byte of a request to its last, and how often they are looked at. */
const REQUEST_MS = 30_000;
const CHECK_MS = 1000;

/** Not listening by itself: connections are handed to it with `emit('connection')`. */
export function httpServer(core: Core, gateway: Gateway, metrics: Metrics, welcome?: Welcome): Server {
  const limits = { requestTimeout: REQUEST_MS, connectionsCheckingInterval: CHECK_MS };
  const server = createServer(limits, (request, response) => {
    const path = new URL(request.url ?? '/', 'http://store').pathname;
    if (path === welcome?.path && request.socket instanceof TLSSocket) {
      welcome.serve(request, response);
      return;
    }
    if (welcome !== undefined && request.socket instanceof TLSSocket && !request.socket.authorized) {
      request.resume();
      response.writeHead(403).end('403 a client certificate is needed\n');
      return;
    }
    const page = PAGES[path];
    if (page === undefined && gateway.handle(path, request, response)) return;
    // A body nobody reads would keep the connection from its next request.
    request.resume();
    if (page === undefined) response.writeHead(404).end('404 page not found\n');
    else page(core, metrics, response);
  });
  // Node watches over requests that never end from this event on, which a server that does not listen lacks; and a
  // stranger could hold connections for ever.
  server.emit('listening');
  return server;
}

const PAGES: Readonly<Record<string, (core: Core, metrics: Metrics, to: ServerResponse) => void>> = {
  // etcd's probes read the text "true", not only the status.
  '/health'(core, _metrics, to) {
    const { troubles } = core;
    const healthy = troubles.length === 0;
    json(
      to,
      healthy ? 200 : 503,
      healthy ? { health: 'true' } : { health: 'false', reason: troubles.join(', ') },
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
};

function json(to: ServerResponse, status: number, body: object): void {
  to.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
