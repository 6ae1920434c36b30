/** What a host that has shown its certificate may ask: all of it reads. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type InspectionRequest,
  LONGEST_INSPECTION_REQUEST,
  parseInspectionRequest,
} from '../../../api/inspection-lines.ts';
import { type Refusal, refusalFor } from '../../../api/messages.ts';
import type { CredentialReader } from '../../../api/peer/credentials.ts';
import { Exchange } from '../../../api/peer/exchange.ts';
import { PeerError } from '../../../api/peer/peer-error.ts';
import {
  PEER_LIMITS,
  type PeerRequest,
  peerMethod,
  statusForPeers,
} from '../../../api/peer/peer-protocol.ts';
import { type KnownPeer, targetOf } from '../../../api/peer/peers.ts';
import type { Status } from '../../../api/status.ts';
import { isCode, ParseError } from '../../../base/errors.ts';
import { readLines } from '../../../base/read-lines.ts';
import { InspectionError } from './inspector-process.ts';
import type { Inspectors } from './inspectors.ts';
import type { PeerListener } from './peer-server.ts';
import { Places } from './places.ts';

/** An inspection is a process of 60 MB; a relay is two connections. */
const MOST = { inspect: [6, 3], relay: [16, 6], status: [32, 8] } as const;

export interface PeerRequestsOptions {
  status(): Status | Promise<Status>;
  /** Those whom a request may be passed on to. */
  peers(): readonly KnownPeer[];
  readonly inspectors: Inspectors;
  readonly credentials: CredentialReader;
}

export function peerListener(options: PeerRequestsOptions): PeerListener {
  const places = {
    inspect: new Places(...MOST.inspect),
    relay: new Places(...MOST.relay),
    status: new Places(...MOST.status),
  };
  return (caller, request, response, isAwaited) => {
    const left = new AbortController();
    response.once('close', () => left.abort(new Error('the caller has left')));
    const signal = AbortSignal.any([left.signal, AbortSignal.timeout(PEER_LIMITS.request)]);
    const asked = askedFor(request);
    const work = async () => {
      if (asked === undefined) return refuse(request, response, 404, unknown(request));
      using place = places[asked.to === undefined ? asked.what : 'relay'].take(caller.name);
      if (place === undefined) throw busy();
      if (asked.to !== undefined)
        return await passOn(options, asked.what, asked.to, { request, response, isAwaited }, signal);
      if (asked.what === 'status') return reply(response, 200, statusForPeers(await options.status()));
      await inspectHere(options.inspectors, { request, response, isAwaited }, signal);
    };
    work().catch((error: unknown) => {
      if (left.signal.aborted) return;
      refuse(request, response, statusOf(error), refusalFor(signal.aborted ? tooLong(error) : error));
    });
  };
}

/** One request on its way. */
interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The caller waits for a word before it sends the body. */
  readonly isAwaited: boolean;
}

interface Asked {
  readonly what: PeerRequest;
  /** Host id of the one it is passed on to. */
  readonly to?: string;
}

function askedFor({ method, url = '' }: IncomingMessage): Asked | undefined {
  const [, to, what] = /^\/v1(?:\/hosts\/([A-Za-z0-9._-]{1,64}))?\/(status|inspect)$/.exec(url) ?? [];
  if (what === undefined || method !== peerMethod(what as PeerRequest)) return undefined;
  return { what: what as PeerRequest, ...(to !== undefined && { to }) };
}

async function inspectHere(
  inspectors: Inspectors,
  { request, response, isAwaited }: Call,
  signal: AbortSignal,
): Promise<void> {
  if (isAwaited) response.writeContinue();
  const { first, finished } = await readRequest(request);
  response.writeHead(200, { 'content-type': 'application/x-ndjson', connection: 'close' });
  try {
    await inspectors.answer(first, finished, response, signal);
  } catch (error) {
    response.write(`${JSON.stringify({ refusal: refusalFor(signal.aborted ? tooLong(error) : error) })}\n`);
  }
  response.end();
}

/** The line of a request; `finished` resolves when the caller has ended it, or is gone. @throws ParseError */
async function readRequest(
  request: IncomingMessage,
): Promise<{ readonly first: InspectionRequest; readonly finished: Promise<void> }> {
  const lines = readLines(request as AsyncIterable<Buffer>, LONGEST_INSPECTION_REQUEST);
  try {
    const { value, done } = await lines.next();
    if (done === true) throw new ParseError('a request to an inspector', '', 'it has no line');
    const first = parseInspectionRequest(value);
    const finished = lines.next().then(
      () => undefined,
      () => undefined,
    );
    return { first, finished };
  } catch (error) {
    if (error instanceof RangeError) throw new ParseError('a request to an inspector', '', error.message);
    throw error;
  }
}

async function passOn(
  { peers, credentials }: PeerRequestsOptions,
  what: PeerRequest,
  to: string,
  { request, response, isAwaited }: Call,
  signal: AbortSignal,
): Promise<void> {
  const peer = peers().find(({ hostId }) => hostId === to);
  if (peer === undefined) throw new PeerError('UNKNOWN_HOST', `no host with the id ${to} is known there`);
  using exchange = await Exchange.open({ first: targetOf(peer) }, what, { credentials, signal });
  if (isAwaited) response.writeContinue();
  if (what === 'inspect') request.pipe(exchange.outgoing);
  const answer = await exchange.incoming();
  response.writeHead(200, {
    'content-type': answer.headers['content-type'] ?? 'application/json',
    connection: 'close',
  });
  await pipeline(answer, response);
}

/** @throws Error when one of both breaks */
function pipeline(from: IncomingMessage, to: ServerResponse): Promise<void> {
  return process.getBuiltinModule('node:stream').promises.pipeline(from, to);
}

const unknown = ({ method, url = '' }: IncomingMessage): Refusal => ({
  code: 'UNKNOWN_REQUEST',
  message: `the agent has no ${method} ${url.slice(0, 100)} for other hosts`,
  hint: 'the two hosts may have different versions of Tulle',
});

const tooLong = (cause: unknown) =>
  new InspectionError('INSPECTION_TIMEOUT', `the answer took longer than ${PEER_LIMITS.request / 1000} s`, {
    cause,
  });

const busy = () =>
  new InspectionError('BUSY', 'it answers as many requests as it does at once', {
    hint: 'ask again in some seconds',
  });

function statusOf(error: unknown): number {
  if (error instanceof ParseError) return 400;
  if (isCode(error, 'BUSY')) return 503;
  return error instanceof PeerError ? 502 : 500;
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(`${JSON.stringify(body)}\n`);
}

function refuse(request: IncomingMessage, response: ServerResponse, status: number, refusal: Refusal): void {
  if (response.headersSent) return void response.destroy();
  // What the caller sends meanwhile must not break the connection before it has read this.
  request.resume();
  reply(response, status, refusal);
}
