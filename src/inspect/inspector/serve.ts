/**
 * Answers requests of lines of JSON (src/api/inspection-lines.ts). The caller's side of the stream says when an observation
 * ends; when it ends before anything was asked, nothing is answered. Where one request follows the other, an empty line ends
 * each of them, and each answer.
 */
import type { InspectionAnswer, InspectionRequest } from '../../api/inspection-lines.ts';
import {
  LONGEST_INSPECTION_REQUEST,
  LONGEST_OBSERVATION,
  parseInspectionRequest,
} from '../../api/inspection-lines.ts';
import { refusalFor } from '../../api/messages.ts';
import { untilAborted } from '../../base/abort.ts';
import { ParseError } from '../../base/errors.ts';
import { readLines } from '../../base/read-lines.ts';
import type { Inspector } from './inspector.ts';

export interface InspectionStream {
  readonly input: AsyncIterable<Uint8Array>;
  /** Sends one line. */
  readonly send: (answer: InspectionAnswer) => void;
  /** Milliseconds after which an observation ends although the caller has not ended its side. */
  readonly longest?: number;
}

/** Answers one request. @returns false when it was refused. @throws `signal.reason` */
export async function serveInspection(
  open: () => Promise<Inspector>,
  stream: InspectionStream,
  signal: AbortSignal,
): Promise<boolean> {
  const lines = readLines(stream.input, LONGEST_INSPECTION_REQUEST);
  return (await serveNext(open, lines, stream, signal)) !== 'refused';
}

/**
 * Answers one request after the other, until the caller ends its side.
 * @param endAnswer is called after each. @throws `signal.reason`
 */
export async function serveInspections(
  open: () => Promise<Inspector>,
  { endAnswer, ...stream }: InspectionStream & { readonly endAnswer: () => void },
  signal: AbortSignal,
): Promise<void> {
  const lines = readLines(stream.input, LONGEST_INSPECTION_REQUEST);
  while ((await serveNext(open, lines, { ...stream, endAnswer }, signal)) !== 'ended') continue;
}

type Lines = AsyncGenerator<string, void>;

async function serveNext(
  open: () => Promise<Inspector>,
  lines: Lines,
  { send, longest = LONGEST_OBSERVATION, endAnswer }: InspectionStream & { readonly endAnswer?: () => void },
  signal: AbortSignal,
): Promise<'answered' | 'refused' | 'ended'> {
  let ending: ReturnType<Lines['next']> | undefined;
  const end = () =>
    untilEnd((ending ??= lines.next()), endAnswer === undefined ? undefined : '', longest, signal);
  let result: 'answered' | 'refused' = 'answered';
  try {
    const first = await untilAborted(lines.next(), signal);
    if (first.done === true) return 'ended';
    const request = parseInspectionRequest(first.value);
    await answer(await open(), request, { end, send }, signal);
  } catch (error) {
    signal.throwIfAborted();
    send({ refusal: refusalFor(error) });
    result = 'refused';
  }
  if (endAnswer === undefined) return result;
  endAnswer();
  // The end of a request that was answered before.
  const last = await untilAborted(ending ?? lines.next(), signal);
  return last.done === true ? 'ended' : result;
}

interface Conversation {
  /** Resolves when the caller has ended its side, or has taken too long. */
  readonly end: () => Promise<void>;
  readonly send: InspectionStream['send'];
}

async function answer(
  inspector: Inspector,
  request: InspectionRequest,
  { end, send }: Conversation,
  signal: AbortSignal,
): Promise<void> {
  if ('look' in request) return send({ report: await inspector.look(signal) });
  if ('walk' in request) return send({ walk: await inspector.walk(request.walk, signal) });
  if ('echo' in request) {
    await using echo = await inspector.echo(request.echo, signal);
    send({ echoing: { port: echo.port } });
    return await end();
  }
  await using observation = await inspector.observe(request.observe.flow, signal);
  send({ ready: true });
  await end();
  send({ observation: await observation.finish() });
}

/** @param end what a line must be that ends the request. @throws ParseError for another request; `signal.reason` */
async function untilEnd(
  next: ReturnType<Lines['next']>,
  end: string | undefined,
  longest: number,
  signal: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(longest);
  try {
    const { value } = await untilAborted(next, AbortSignal.any([late, signal]));
    if (typeof value !== 'string' || value === end) return;
    throw new ParseError('the end of a request', value, 'an inspector answers one request', 'end the stream');
  } catch (error) {
    signal.throwIfAborted();
    if (!late.aborted) throw error;
  }
}
