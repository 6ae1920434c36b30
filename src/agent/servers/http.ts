/**
 * Node's HTTP servers, without what comes with importing them: an import statement evaluates every export of a
 * built-in module, and one of node:http's loads undici, the HTTP client, which is 2 MB in every agent.
 */
import type * as http from 'node:http';
import process from 'node:process';
import type { Logger } from '../../base/log.ts';
import { followFiles, type TlsFiles } from '../../store/tls-files.ts';

export function createServer(listener: http.RequestListener): http.Server {
  return process.getBuiltinModule('node:http').createServer(listener);
}

/** With the certificates that are in the files when a client comes. */
export function createTlsServer(files: TlsFiles, listener: http.RequestListener, log: Logger): http.Server {
  const server = process.getBuiltinModule('node:https').createServer(files.options, listener);
  followFiles(server, files, log);
  return server;
}
