/**
 * The agent's side of the API: HTTP with JSON over a unix socket of mode 0600. What the requests mean is handed
 * in; this file knows only how they travel.
 */
import { mkdirSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import {
  type ForwarderTraffic,
  type Refusal,
  type ReleaseResult,
  type ResyncResult,
  refusalFor,
} from '../../api/messages.ts';
import type { NameList } from '../../api/names.ts';
import type { Status } from '../../api/status.ts';
import type { Clock } from '../../base/clock.ts';
import { isCode, TulleError } from '../../base/errors.ts';
import { inodeOf, isListening, listenAt } from '../../sys/unix-listener.ts';
import { untilInDirectory } from '../../sys/wait-directory.ts';
import type { EventLog } from '../health/event-log.ts';
import { createServer } from './http.ts';
import { answerNetworks, type NetworkHandlers } from './network-requests.ts';
import { answerPlugins, type PluginHandlers } from './plugin-requests.ts';
import { type PortHandlers, portsOnHost } from './port-requests.ts';
import { answerTunnels, type TunnelHandlers } from './tunnel-requests.ts';

export type ApiServerErrorCode =
  /** Another agent answers at the socket. */
  'ALREADY_RUNNING';

/** The agent cannot serve its API. */
export class ApiServerError extends TulleError<ApiServerErrorCode> {}

/** Milliseconds in which clients may take what they were answered before the server closes. */
const GRACE_MS = 1000;

/** What clients may ask for. */
export interface ApiHandlers {
  status(): Status | Promise<Status>;
  /** undefined when no forwarder runs. */
  forwarder(): Promise<ForwarderTraffic | undefined>;
  resync(): Promise<ResyncResult>;
  releaseLease(): Promise<ReleaseResult>;
  readonly tunnels: TunnelHandlers;
  readonly networks: NetworkHandlers;
  readonly ports: PortHandlers;
  readonly names: { list(): NameList };
  /** Absent where there is nothing that containers could be put on. */
  readonly plugins?: PluginHandlers;
  readonly events: EventLog;
}

export class ApiServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #handlers: ApiHandlers;
  readonly #closing = new AbortController();
  readonly #path: string;
  readonly #inode: number | undefined;

  private constructor(path: string, handlers: ApiHandlers) {
    this.#path = path;
    this.#inode = inodeOf(path);
    this.#handlers = handlers;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /**
   * Listens at `path`; a socket without a listener is replaced.
   *
   * @throws ApiServerError when an agent is there already; SysError-shaped errors when the path cannot be used.
   */
  static async open(path: string, handlers: ApiHandlers): Promise<ApiServer> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (await isListening(path)) {
      throw new ApiServerError('ALREADY_RUNNING', `an agent already runs: it answers at ${path}`, {
        hint: 'stop it; an agent of another network needs its own --etcd-prefix and --subnet-file',
      });
    }
    rmSync(path, { force: true });
    // A socket that Node.js makes is removed by it in the end, even if the path is another agent's by then.
    const fd = listenAt(path);
    const api = new ApiServer(path, handlers);
    await new Promise<void>((resolve, reject) => {
      api.#server.once('error', reject);
      api.#server.listen({ fd }, resolve);
    });
    return api;
  }

  /** Until nobody reaches it at its path any more, because the socket or its directory was removed; or until `signal` aborts. */
  untilGone(clock: Clock, signal: AbortSignal): Promise<void> {
    return untilInDirectory(dirname(this.#path), () => !this.#isThere(), clock, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    if (this.#isThere()) rmSync(this.#path, { force: true });
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    // A client that neither reads its answer nor ends its request must not keep the agent from stopping.
    const late = setTimeout(() => this.#server.closeAllConnections(), GRACE_MS);
    await closed;
    clearTimeout(late);
  }

  #isThere(): boolean {
    return inodeOf(this.#path) === this.#inode;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'http://agent');
      switch (`${request.method} ${url.pathname}`) {
        case 'GET /v1/status':
          return reply(response, 200, await this.#handlers.status());
        case 'GET /v1/events':
          return await this.#serveEvents(url, request, response);
        case 'GET /v1/forwarder':
          return await this.#serveForwarder(response);
        case 'GET /v1/ports':
          return reply(response, 200, portsOnHost(this.#handlers.ports));
        case 'GET /v1/names':
          return reply(response, 200, this.#handlers.names.list());
        case 'POST /v1/resync':
          return reply(response, 200, await this.#handlers.resync());
        case 'POST /v1/lease/release':
          return reply(response, 200, await this.#handlers.releaseLease());
        default: {
          const { tunnels, networks, plugins } = this.#handlers;
          const answer =
            (await answerTunnels(tunnels, request, url.pathname)) ??
            (await answerNetworks(networks, request, url.pathname)) ??
            (await answerPlugins(plugins, request, url.pathname));
          if (answer !== undefined) return reply(response, 200, answer);
          return refuse(response, 404, {
            code: 'UNKNOWN_REQUEST',
            message: `this agent has no ${request.method} ${url.pathname}`,
            hint: 'the command and the agent may have different versions',
          });
        }
      }
    } catch (error) {
      refuse(response, statusOf(error), refusalFor(error));
    }
  }

  async #serveForwarder(response: ServerResponse): Promise<void> {
    const traffic = await this.#handlers.forwarder();
    if (traffic !== undefined) return reply(response, 200, traffic);
    refuse(response, 404, {
      code: 'NO_FORWARDER',
      message: 'no forwarder runs for this agent',
      hint: 'only the backend udp has one; with others the kernel moves all packets',
    });
  }

  async #serveEvents(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const after = Number(url.searchParams.get('after') ?? 0);
    if (!Number.isSafeInteger(after) || after < 0) {
      return refuse(response, 400, { code: 'INVALID_VALUE', message: 'after: want the id of an event' });
    }
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    if (url.searchParams.get('follow') !== 'true') {
      response.end(this.#handlers.events.list(after).map(line).join(''));
      return;
    }
    response.flushHeaders();
    const left = new AbortController();
    request.once('close', () => left.abort());
    const signal = AbortSignal.any([left.signal, this.#closing.signal]);
    for await (const event of this.#handlers.events.follow(after, signal)) {
      // A follower who does not read is waited for.
      if (!response.write(line(event))) await drained(response, signal);
    }
    response.end();
  }
}

const statusOf = (error: unknown) =>
  isCode(error, 'INVALID_CONFIG') ? 400 : isCode(error, 'NOT_FOUND') ? 404 : 500;

const line = (value: unknown) => `${JSON.stringify(value)}\n`;

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(line(body));
}

function refuse(response: ServerResponse, status: number, refusal: Refusal): void {
  if (response.headersSent) response.destroy();
  else reply(response, status, refusal);
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      response.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    response.on('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
