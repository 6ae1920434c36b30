/**
 * The agent's API as its clients see it: HTTP with JSON bodies over a unix socket that only root may open.
 *
 *     GET  /v1/status                     the status document
 *     GET  /v1/events?follow=true&after=N JSON lines: what the agent remembers, then what happens
 *     GET  /v1/forwarder                  packets that the forwarder has moved and dropped
 *     POST /v1/resync                     compare everything with the kernel now
 *     POST /v1/lease/release              give the lease back and stop the agent
 *     GET  /v1/tunnels                    the tunnels of this host, with their counters
 *     POST /v1/tunnels                    make a tunnel, and keep it over restarts
 *     DELETE /v1/tunnels/NAME             delete one
 *     GET  /v1/networks                   the L2 networks on this host
 *     GET  /v1/names                      how containers of the cluster are called
 *     POST /v1/networks/NAME/connect      connect a namespace of this host, and disconnect
 *     GET  /v1/ports                      ports of this host that lead to containers
 *     POST /v1/cni                        a call of the CNI plugin, and /v1/netavark of podman's
 */
import { readdirSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import * as v from 'valibot';
import { isCode, messageOf, TulleError } from '../base/errors.ts';
import {
  AgentEvent,
  DEFAULT_SOCKET,
  ForwarderTraffic,
  Refusal,
  ReleaseResult,
  ResyncResult,
} from './messages.ts';
import { NameList } from './names.ts';
import {
  type ConnectBody,
  ConnectReport,
  type DisconnectBody,
  DisconnectReport,
  type NetworkOnHost,
  NetworksOnHost,
} from './networks.ts';
import { type PortOnHost, PortsOnHost } from './ports.ts';
import { Status } from './status.ts';
import { TunnelList, TunnelReport, type TunnelRequest } from './tunnels.ts';

export type ApiErrorCode =
  /** No process listens at the socket. */
  | 'AGENT_NOT_RUNNING'
  /** The socket exists, but access to it is denied. */
  | 'PERMISSION_DENIED'
  /** The agent did not answer in time. */
  | 'TIMEOUT'
  /** The agent refused the request. */
  | 'REFUSED'
  /** The answer is not what this version of the client expects. */
  | 'PROTOCOL';

/** A change is made after those that were asked for before it: so many times longer its answer may take. */
const LINE = 6;

/** A call to the agent failed. */
export class ApiError extends TulleError<ApiErrorCode> {}

export interface AgentClientOptions {
  readonly socketPath?: string;
  /** Milliseconds for one answer, and six times that for a change; following events has no limit. */
  readonly timeout?: number;
}

export class AgentClient {
  readonly #socketPath: string;
  readonly #timeout: number;

  constructor(options: AgentClientOptions = {}) {
    this.#socketPath = options.socketPath ?? DEFAULT_SOCKET;
    this.#timeout = options.timeout ?? 10_000;
  }

  /** @throws ApiError, as every method here; `signal.reason`. */
  status(signal?: AbortSignal): Promise<Status> {
    return this.#call('GET', '/v1/status', Status, signal);
  }

  /** @throws ApiError REFUSED with code NO_FORWARDER where the kernel moves all packets. */
  forwarder(signal?: AbortSignal): Promise<ForwarderTraffic> {
    return this.#call('GET', '/v1/forwarder', ForwarderTraffic, signal);
  }

  resync(signal?: AbortSignal): Promise<ResyncResult> {
    return this.#call('POST', '/v1/resync', ResyncResult, signal);
  }

  releaseLease(signal?: AbortSignal): Promise<ReleaseResult> {
    return this.#call('POST', '/v1/lease/release', ReleaseResult, signal);
  }

  tunnels(signal?: AbortSignal): Promise<TunnelReport[]> {
    return this.#call('GET', '/v1/tunnels', TunnelList, signal);
  }

  /** @throws ApiError REFUSED with code INVALID_CONFIG for everything that is wrong with it or in its way. */
  addTunnel(wanted: TunnelRequest, signal?: AbortSignal): Promise<TunnelReport> {
    return this.#call('POST', '/v1/tunnels', TunnelReport, signal, wanted);
  }

  /** @throws ApiError REFUSED with code NOT_FOUND when there is none. */
  async deleteTunnel(name: string, signal?: AbortSignal): Promise<void> {
    await this.#call('DELETE', `/v1/tunnels/${encodeURIComponent(name)}`, v.unknown(), signal);
  }

  names(signal?: AbortSignal): Promise<NameList> {
    return this.#call('GET', '/v1/names', NameList, signal);
  }

  networks(signal?: AbortSignal): Promise<NetworkOnHost[]> {
    return this.#call('GET', '/v1/networks', NetworksOnHost, signal);
  }

  ports(signal?: AbortSignal): Promise<PortOnHost[]> {
    return this.#call('GET', '/v1/ports', PortsOnHost, signal);
  }

  /** @throws ApiError REFUSED with code DUPLICATE_ADDRESS, naming the owner, for an address that another container has. */
  connect(network: string, wanted: ConnectBody, signal?: AbortSignal): Promise<ConnectReport> {
    const path = `/v1/networks/${encodeURIComponent(network)}/connect`;
    return this.#call('POST', path, ConnectReport, signal, wanted);
  }

  /** @throws ApiError REFUSED with code NOT_CONNECTED when it is not. */
  disconnect(network: string, wanted: DisconnectBody, signal?: AbortSignal): Promise<DisconnectReport> {
    const path = `/v1/networks/${encodeURIComponent(network)}/disconnect`;
    return this.#call('POST', path, DisconnectReport, signal, wanted);
  }

  /**
   * What the agent remembers, oldest first; with `follow`, then what happens until `signal` aborts or the
   * agent stops. `after` skips events up to and including that id.
   */
  async *events(
    options: { readonly follow?: boolean; readonly after?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<AgentEvent, void> {
    const query = new URLSearchParams();
    if (options.follow === true) query.set('follow', 'true');
    if (options.after !== undefined) query.set('after', String(options.after));
    const response = await this.#open('GET', `/v1/events?${query.toString()}`, options.signal);
    // Nothing may happen for hours.
    response.socket.setTimeout(0);
    try {
      for await (const line of linesOf(response)) yield parse(AgentEvent, line);
    } catch (error) {
      // A followed stream ends when the caller aborts or the agent ends; neither is a failure.
      if (options.signal?.aborted !== true && !isCode(error, 'ECONNRESET')) throw error;
    } finally {
      response.destroy();
    }
  }

  async #call<Schema extends v.GenericSchema>(
    method: string,
    path: string,
    schema: Schema,
    signal: AbortSignal | undefined,
    body?: object,
  ): Promise<v.InferOutput<Schema>> {
    return parse(schema, await this.#read(await this.#open(method, path, signal, body), signal));
  }

  /** Resolves once the head of a 2xx answer has arrived. */
  async #open(
    method: string,
    path: string,
    signal: AbortSignal | undefined,
    body?: object,
  ): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // An import statement evaluates every export of node:http, and one loads undici: 40 ms for each command.
      const call = process.getBuiltinModule('node:http').request({
        socketPath: this.#socketPath,
        method,
        path,
        // One connection per call: a client that is done must not be kept alive by an idle socket.
        agent: false,
        ...(signal === undefined ? {} : { signal }),
      });
      const patience = method === 'GET' ? this.#timeout : LINE * this.#timeout;
      call.setTimeout(patience, () => call.destroy(this.#timedOut(patience)));
      call.on('error', error => reject(this.#describe(error, signal)));
      call.on('response', resolve);
      call.end(body && JSON.stringify(body));
    });
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    const { message, hint, code, problems } = parse(Refusal, await this.#read(response, signal));
    throw new ApiError('REFUSED', message, {
      op: `${method} ${path}`,
      context: { code, status, ...(problems && { problems }) },
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #timedOut(patience: number): ApiError {
    return new ApiError('TIMEOUT', `the agent at ${this.#socketPath} gave no answer in ${patience} ms`, {
      hint: 'it hangs, or this host is very busy: its log (`journalctl -u tulle`) says what it did last',
    });
  }

  async #read(response: IncomingMessage, signal: AbortSignal | undefined): Promise<string> {
    try {
      response.setEncoding('utf8');
      let body = '';
      for await (const chunk of response) body += chunk as string;
      return body;
    } catch (error) {
      throw this.#describe(error, signal);
    }
  }

  /** How an agent can be named that is there, and is of another network. */
  #others(): string {
    const directory = dirname(this.#socketPath);
    const names = readdirIfAny(directory).filter(
      name => name.endsWith('.sock') && name !== basename(this.#socketPath),
    );
    const listed = names.map(name => join(directory, name)).join(', ');
    return listed === ''
      ? 'give its socket with --socket'
      : `select an agent of another network with --etcd-prefix or --socket, here ${listed}`;
  }

  #describe(error: unknown, signal: AbortSignal | undefined): Error {
    // Node wraps the reason into an error of its own, and breaking off shows as a broken connection.
    if (signal?.aborted === true) return signal.reason as Error;
    if (error instanceof ApiError) return error;
    if (isCode(error, 'ENOENT', 'ECONNREFUSED')) {
      return new ApiError('AGENT_NOT_RUNNING', `no agent listens at ${this.#socketPath}`, {
        hint: `start one with \`tulle up\` or \`tulle agent\`, or ${this.#others()}; on a host of a lab: \`tulle lab exec docker1 -- tulle ...\``,
      });
    }
    if (isCode(error, 'EACCES', 'EPERM')) {
      return new ApiError('PERMISSION_DENIED', `permission denied: only root can use ${this.#socketPath}`, {
        hint: 'run the command with sudo',
      });
    }
    return new ApiError('PROTOCOL', `the agent at ${this.#socketPath}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Only a line feed ends a line of JSON: node:readline would also part it at U+2028, which a string in it may have. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string, void> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

function readdirIfAny(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function parse<Schema extends v.GenericSchema>(schema: Schema, body: string): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw new ApiError('PROTOCOL', 'the answer of the agent is not JSON', { cause });
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new ApiError('PROTOCOL', `the agent's answer: ${v.getDotPath(issue) ?? ''}: ${issue.message}`, {
    hint: 'the command and the agent may have different versions',
  });
}
