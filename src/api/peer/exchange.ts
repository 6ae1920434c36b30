/** One request to another host and its answer, line by line in both directions. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { messageOf, ParseError } from '../../base/errors.ts';
import { readLines } from '../../base/read-lines.ts';
import {
  type InspectionAnswer,
  LONGEST_INSPECTION_ANSWER,
  parseInspectionAnswer,
} from '../inspection-lines.ts';
import { Refusal } from '../messages.ts';
import { connectPeer, type PeerConnectOptions, type PeerTarget } from './peer-connection.ts';
import { PeerError, type PeerErrorCode } from './peer-error.ts';
import { PEER_LIMITS, type PeerRequest, peerMethod, peerPath } from './peer-protocol.ts';

/** Bytes. */
const LONGEST_REFUSAL = 64 * 1024;

/** How a host is asked. */
export interface PeerRoute {
  /** Who is connected to. */
  readonly first: PeerTarget;
  /** Who is meant, where `first` passes the request on. */
  readonly to?: PeerTarget;
}

export class Exchange implements Disposable {
  readonly route: PeerRoute;
  readonly #call: ClientRequest;
  readonly #response: Promise<IncomingMessage>;
  readonly #signal: AbortSignal;

  private constructor(
    route: PeerRoute,
    call: ClientRequest,
    response: Promise<IncomingMessage>,
    signal: AbortSignal,
  ) {
    this.route = route;
    this.#signal = signal;
    this.#call = call;
    this.#response = response;
  }

  /**
   * Resolves when the host that is meant is ready to take the request: nothing of it has been sent yet.
   * @param options its signal ends the exchange at any time
   * @throws PeerError; `signal.reason`
   */
  static async open(route: PeerRoute, request: PeerRequest, options: PeerConnectOptions): Promise<Exchange> {
    const { first, to } = route;
    const { signal } = options;
    const socket = await connectPeer(first, options);
    const method = peerMethod(request);
    const call = process.getBuiltinModule('node:http').request({
      createConnection: () => socket,
      method,
      path: peerPath(request, to?.hostId),
      signal,
      headers: {
        host: first.name,
        connection: 'close',
        // The other side says that it can before the body is sent (RFC 9110, section 10.1.1).
        ...(method === 'POST' && { expect: '100-continue', 'content-type': 'application/x-ndjson' }),
      },
    });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      call.on('error', error => reject(broken(first, error, signal)));
      call.once('response', resolve);
    });
    response.catch(() => undefined);
    const exchange = new Exchange(route, call, response, signal);
    if (method === 'GET') call.end();
    else call.flushHeaders();
    const isReady = new Promise<void>(resolve => call.once('continue', () => resolve()));
    const late = setTimeout(
      () => call.destroy(tooLate(first)),
      PEER_LIMITS.connect * (to === undefined ? 1 : 2),
    );
    try {
      const answer = await Promise.race([isReady, response]);
      if (answer !== undefined) await refuseUnlessFine(answer);
      return exchange;
    } catch (error) {
      exchange[Symbol.dispose]();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** Sends a line. */
  send(value: object): void {
    this.#call.write(`${JSON.stringify(value)}\n`);
  }

  /** Ends the request; the answer goes on. */
  end(): void {
    this.#call.end();
  }

  /** What goes to the other side as it is. */
  get outgoing(): NodeJS.WritableStream {
    return this.#call;
  }

  /** The answer as it is. @throws PeerError REFUSED unless it is a good one */
  async incoming(): Promise<IncomingMessage> {
    const answer = await this.#response;
    await refuseUnlessFine(answer);
    return answer;
  }

  /** The answers to an inspection. @throws PeerError */
  async *answers(): AsyncGenerator<Exclude<InspectionAnswer, { refusal: Refusal }>, void> {
    const { name } = this.route.to ?? this.route.first;
    const incoming = await this.incoming();
    try {
      for await (const line of readLines(incoming, LONGEST_INSPECTION_ANSWER)) {
        const answer = parseInspectionAnswer(line);
        if ('refusal' in answer) throw refused(answer.refusal);
        yield answer;
      }
    } catch (error) {
      if (error instanceof PeerError) throw error;
      if (error instanceof RangeError || error instanceof ParseError) {
        throw new PeerError('PROTOCOL', `the answer of ${name}: ${messageOf(error)}`, { cause: error });
      }
      throw broken(this.route.first, error, this.#signal);
    }
  }

  [Symbol.dispose](): void {
    this.#call.on('error', () => undefined).destroy();
  }
}

/** The body of an answer. @throws PeerError PROTOCOL when it is longer than `limit` bytes */
export async function bodyText(answer: IncomingMessage, limit: number): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limit) throw new PeerError('PROTOCOL', `an answer is longer than ${limit} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function refuseUnlessFine(answer: IncomingMessage): Promise<void> {
  const { statusCode = 0 } = answer;
  if (statusCode >= 200 && statusCode < 300) return;
  const text = await bodyText(answer, LONGEST_REFUSAL);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = v.safeParse(Refusal, value);
  throw refused(parsed.success ? parsed.output : { code: 'PROTOCOL', message: `it answered ${statusCode}` });
}

/** Why the host that was to pass a request on could not reach the other keeps its word. */
const PASSED_ON: readonly string[] = [
  'NO_PEER_API',
  'UNKNOWN_HOST',
  'UNREACHABLE',
  'NOT_LISTENING',
  'NOT_THE_HOST',
] satisfies PeerErrorCode[];

function refused({ code, message, hint }: Refusal): PeerError {
  const known = PASSED_ON.includes(code) ? (code as PeerErrorCode) : 'REFUSED';
  return new PeerError(known, message, { context: { code }, ...(hint !== undefined && { hint }) });
}

const tooLate = ({ name }: PeerTarget) =>
  new PeerError('TIMEOUT', `${name} accepts the connection and does not answer`);

function broken({ name }: PeerTarget, error: unknown, signal: AbortSignal): Error {
  if (signal.aborted) return signal.reason as Error;
  if (error instanceof PeerError) return error;
  return new PeerError('TIMEOUT', `the connection to ${name} broke: ${messageOf(error)}`, { cause: error });
}
