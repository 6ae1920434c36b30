/**
 * Node's HTTP servers, without what comes with importing them: an import statement evaluates every export of a
 * built-in module, and one of node:http's loads undici, the HTTP client, which is 2 MB in every agent.
 */
import type * as http from 'node:http';
import type * as https from 'node:https';
import process from 'node:process';

export function createServer(listener: http.RequestListener): http.Server {
  return process.getBuiltinModule('node:http').createServer(listener);
}

export function createTlsServer(options: https.ServerOptions, listener: http.RequestListener): http.Server {
  return process.getBuiltinModule('node:https').createServer(options, listener);
}
