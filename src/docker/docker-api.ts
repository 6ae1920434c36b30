/**
 * The part of Docker's API that L2 networks and tunnels need (Docker Engine API 1.41), over the unix socket of the dockerd
 * of this host. Every answer is bounded and checked; a daemon that does not answer in time is one that is not there.
 */
import type * as http from 'node:http';
import process from 'node:process';
import * as v from 'valibot';
import { isCode, messageOf, TulleError } from '../base/errors.ts';
import {
  DockerContainer,
  DockerEndpoints,
  DockerEvent,
  DockerNetworkList,
  DockerNetworkState,
  type ListedContainer,
  ListedContainers,
  type NewDockerNetwork,
} from './docker-messages.ts';

export type DockerErrorCode =
  /** No dockerd answers at the socket. */
  | 'NO_DOCKER'
  /** It refused the request. */
  | 'REFUSED'
  /** There is no such network or container. */
  | 'NOT_FOUND'
  /** Its answer is not what Docker's API says. */
  | 'PROTOCOL';

/** The dockerd of this host did not do what it was asked. */
export class DockerError extends TulleError<DockerErrorCode> {}

export const DOCKER_SOCKET = '/run/docker.sock';

/** An option of the driver `bridge`: the name of the bridge. */
export const BRIDGE_OPTION = 'com.docker.network.bridge.name';

/** Milliseconds for an answer; making a network takes one or two seconds on a busy host. */
const PATIENCE = 30_000;
/** Bytes of an answer: a network with 10,000 containers has 3 MB. */
const MOST_ANSWER = 16 << 20;
/** Characters of an event. */
const MOST_EVENT = 1 << 20;

const Refusal = v.object({ message: v.string() });

/** Every method throws DockerError. */
export class DockerApi {
  readonly #socketPath: string;
  readonly #patience: number;

  /** @param patience milliseconds for an answer */
  constructor(socketPath: string, patience = PATIENCE) {
    this.#socketPath = socketPath;
    this.#patience = patience;
  }

  /** All networks, without their containers. */
  async networks(): Promise<readonly DockerNetworkState[]> {
    return this.#json('GET', '/networks', DockerNetworkList);
  }

  /** With its containers. @param id or name */
  async network(id: string): Promise<DockerNetworkState> {
    return this.#json('GET', `/networks/${encodeURIComponent(id)}`, DockerNetworkState);
  }

  async createNetwork(network: NewDockerNetwork): Promise<void> {
    await this.#call('POST', '/networks/create', network);
  }

  async removeNetwork(id: string): Promise<void> {
    await this.#call('DELETE', `/networks/${encodeURIComponent(id)}`);
  }

  /** @param name or id */
  async container(name: string): Promise<DockerContainer> {
    return this.#json('GET', `/containers/${encodeURIComponent(name)}/json`, DockerContainer);
  }

  /** What a container has on networks, and by which names it is called there. @param id or name */
  async endpoints(id: string): Promise<DockerEndpoints> {
    return this.#json('GET', `/containers/${encodeURIComponent(id)}/json`, DockerEndpoints);
  }

  /** All that run. */
  async containers(): Promise<readonly ListedContainer[]> {
    return this.#json('GET', '/containers/json', ListedContainers);
  }

  /**
   * What happens to networks and containers from now on, until the daemon ends or `signal` aborts.
   * @param since seconds of the wall clock: also what the daemon still knows of, from then on
   */
  async *events(signal: AbortSignal, since?: number): AsyncGenerator<DockerEvent, void> {
    const filters = JSON.stringify({ type: ['network', 'container', 'daemon'] });
    try {
      const from = since === undefined ? '' : `&since=${Math.floor(since)}`;
      const path = `/events?filters=${encodeURIComponent(filters)}${from}`;
      const response = await this.#open('GET', path, undefined, signal);
      if (response.statusCode !== 200) throw refusalOf(response.statusCode, await bodyOf(response));
      for await (const line of linesOf(response)) yield parse(DockerEvent, line);
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof DockerError ? error : this.#failure(error);
    }
  }

  async #json<Schema extends v.GenericSchema>(
    method: string,
    path: string,
    schema: Schema,
  ): Promise<v.InferOutput<Schema>> {
    return parse(schema, await this.#call(method, path));
  }

  async #call(method: string, path: string, body?: unknown): Promise<string> {
    const signal = AbortSignal.timeout(this.#patience);
    try {
      const response = await this.#open(method, path, body, signal);
      const answer = await bodyOf(response);
      if ((response.statusCode ?? 0) >= 300) throw refusalOf(response.statusCode, answer);
      return answer;
    } catch (error) {
      throw error instanceof DockerError ? error : this.#failure(error);
    }
  }

  async #open(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    // An import would load undici, the HTTP client, which is 2 MB in every agent.
    const { request } = process.getBuiltinModule('node:http');
    const content = body === undefined ? undefined : JSON.stringify(body);
    try {
      return await new Promise((resolve, reject) => {
        const headers = {
          host: 'docker',
          ...(content === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
        };
        const sent = request({ socketPath: this.#socketPath, method, path, headers, signal, agent: false });
        sent.once('response', resolve).once('error', reject).end(content);
      });
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(cause: unknown): DockerError {
    const why = isCode(cause, 'ENOENT', 'ECONNREFUSED')
      ? `no dockerd answers at ${this.#socketPath}`
      : `dockerd at ${this.#socketPath}: ${messageOf(cause)}`;
    return new DockerError('NO_DOCKER', why, { cause });
  }
}

/** Without the empty ones. */
async function* linesOf(response: http.IncomingMessage): AsyncGenerator<string, void> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MOST_EVENT) throw new DockerError('PROTOCOL', 'dockerd: an event has no end');
    yield* lines.filter(line => line.trim() !== '');
  }
}

async function bodyOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > MOST_ANSWER) {
      throw new DockerError('PROTOCOL', `dockerd: an answer has more than ${MOST_ANSWER} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refusalOf(status: number | undefined, body: string): DockerError {
  let message = `status ${status}`;
  try {
    message = v.parse(Refusal, JSON.parse(body)).message;
  } catch {
    // A proxy in between may say it in another form.
  }
  return new DockerError(status === 404 ? 'NOT_FOUND' : 'REFUSED', `dockerd: ${message}`);
}

function parse<Schema extends v.GenericSchema>(schema: Schema, body: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(body));
  } catch (cause) {
    throw new DockerError('PROTOCOL', `dockerd: an answer is not as Docker's API says: ${messageOf(cause)}`, {
      cause,
    });
  }
}
