/**
 * The HTTP side of the plugin: one POST per call, JSON both ways. dockerd has no time limit of its own for them, and holds
 * locks meanwhile, so that every call is answered in time, whatever becomes of it. It tries again after a broken
 * connection, and may then send no body: such a request is refused, never acted on.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import process from 'node:process';
import * as v from 'valibot';
import type { Clock } from '../../base/clock.ts';
import { isCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { PluginCall } from './plugin-calls.ts';
import { DockerPluginError, refusalText } from './plugin-errors.ts';

/** Bytes of a body. A container that publishes every port has 5 MB of them. */
const MOST_BODY = 8 << 20;
/** Milliseconds until a request is there, and between two looks at those that are not. */
const READING = 10_000;
const LOOK_INTERVAL = 1000;
/** Milliseconds until a call has an answer. */
const PATIENCE = 9000;
/** Milliseconds of a call that a log should tell of: containers start one after the other meanwhile. */
const LONG = 500;
/** libnetwork's own (pkg/plugins/transport). */
const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';
/** Why the wait for a call ends that was answered. Nobody looks at it; without one each call would make an error with a stack. */
const ANSWERED = new Error('answered');
/** Milliseconds that calls under way have when the server closes. */
const CLOSING = 2000;

export interface PluginServerParts {
  readonly calls: Readonly<Record<string, PluginCall>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds until a request is there; ten seconds unless given. */
  readonly reading?: number;
}

export class PluginServer implements AsyncDisposable {
  readonly #parts: PluginServerParts;
  readonly #server: Server;
  #underWay = 0;
  /** Called when the last call under way has its answer. */
  #onIdle: () => void = () => undefined;

  private constructor(parts: PluginServerParts) {
    this.#parts = parts;
    // An import of node:http loads undici, the HTTP client, which is 2 MB in every agent.
    const { createServer } = process.getBuiltinModule('node:http');
    // Set on a server that is there, the limits would not be kept: no `requestTimeout` below its `headersTimeout` is.
    const { reading = READING } = parts;
    const limits = {
      headersTimeout: reading,
      requestTimeout: reading,
      connectionsCheckingInterval: Math.min(reading, LOOK_INTERVAL),
    };
    this.#server = createServer(limits, (request, response) => void this.#serve(request, response));
    this.#server.maxConnections = 1024;
  }

  /** @param where a descriptor of a socket that listens, or the path of one to be. @throws Error of listen(2) */
  static async listen(
    where: { readonly fd: number } | { readonly path: string },
    parts: PluginServerParts,
  ): Promise<PluginServer> {
    const plugin = new PluginServer(parts);
    await new Promise<void>((resolve, reject) => {
      plugin.#server.once('error', reject);
      plugin.#server.listen(where, resolve);
    });
    plugin.#server.on('error', error =>
      parts.logger.warn({ err: error }, 'the Docker plugin cannot accept a connection'),
    );
    return plugin;
  }

  /** Calls under way are answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    if (this.#underWay > 0) {
      const idle = new Promise<void>(resolve => (this.#onIdle = resolve));
      const over = new AbortController();
      await Promise.race([idle, this.#parts.clock.sleep(CLOSING, over.signal).catch(() => undefined)]);
      over.abort();
    }
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#underWay++;
    try {
      const { status, body } = await this.#answer(request, response);
      if (!response.destroyed) {
        // dockerd would keep the connection, and lose the call that meets its end when this agent does.
        const headers = { 'content-type': CONTENT_TYPE, connection: 'close' };
        response.writeHead(status, headers).end(`${JSON.stringify(body)}\n`);
      }
    } finally {
      if (--this.#underWay === 0) this.#onIdle();
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{ readonly status: number; readonly body: object }> {
    const { calls, logger } = this.#parts;
    const path = request.url ?? '';
    try {
      const found = Object.hasOwn(calls, path) ? calls[path] : undefined;
      if (found === undefined || request.method !== 'POST') {
        request.resume();
        return { status: 404, body: errorBody(`this plugin has no ${request.method} ${path}`) };
      }
      const text = await bodyOf(request);
      const body = found.schema && decode(found.schema, text);
      const started = this.#parts.clock.monotonic();
      const answer = await this.#inTime(found, body, response);
      const milliseconds = Math.round(this.#parts.clock.monotonic() - started);
      if (milliseconds > LONG) logger.info({ path, milliseconds }, 'a call of Docker took long');
      return { status: 200, body: answer };
    } catch (error) {
      const text = refusalText(error);
      const isUndecodable = isCode(error, 'UNDECODABLE');
      logger.info({ path, reason: text }, 'Docker plugin call refused');
      return { status: isUndecodable ? 400 : 500, body: errorBody(text) };
    }
  }

  /** The work goes on when the time is over, and is told to undo what nobody hears of. */
  async #inTime({ answer }: PluginCall, body: unknown, response: ServerResponse): Promise<object> {
    const over = new AbortController();
    const done = new AbortController();
    const onClose = () => over.abort();
    response.once('close', onClose);
    const late = this.#parts.clock.sleep(PATIENCE, done.signal).then(
      () => {
        over.abort();
        throw new DockerPluginError('TIMEOUT', `the agent did not do it within ${PATIENCE} ms`, {
          hint: 'try again; `tulle status` says whether the store answers',
        });
      },
      () => new Promise<never>(() => undefined),
    );
    try {
      return await Promise.race([Promise.resolve(answer(body, over.signal)), late]);
    } finally {
      response.off('close', onClose);
      done.abort(ANSWERED);
    }
  }
}

/** A network driver's is `Err` for Docker, an IPAM driver's `Error`. */
const errorBody = (text: string) => ({ Err: text, Error: text });

/** @throws DockerPluginError UNDECODABLE with every problem */
export function decode(schema: v.GenericSchema, text: string): unknown {
  if (text === '') {
    throw new DockerPluginError('UNDECODABLE', 'the body is empty: a retry of Docker that lost it', {
      hint: 'the agent was restarted during this call: do it again',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DockerPluginError('UNDECODABLE', 'the body is not JSON');
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const problems = result.issues.map(issue => `${v.getDotPath(issue) ?? 'body'}: ${issue.message}`);
  throw new DockerPluginError('UNDECODABLE', problems.join('; '));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MOST_BODY) {
      throw new DockerPluginError('UNDECODABLE', `the body is longer than ${MOST_BODY} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
