/**
 * Answers one request of lines of JSON (src/api/inspection-lines.ts). The caller's side of the stream says when an
 * observation ends; when it ends before anything was asked, nothing is answered.
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

/** @returns false when the request was refused. @throws `signal.reason` */
export async function serveInspection(
  open: () => Promise<Inspector>,
  { input, send, longest = LONGEST_OBSERVATION }: InspectionStream,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const lines = readLines(input, LONGEST_INSPECTION_REQUEST);
    const first = await untilAborted(lines.next(), signal);
    if (first.done === true) return true;
    const request = parseInspectionRequest(first.value);
    await answer(await open(), request, { end: () => untilEnd(lines, longest, signal), send }, signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    send({ refusal: refusalFor(error) });
    return false;
  }
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

/** @throws ParseError for another request; `signal.reason` */
async function untilEnd(
  lines: AsyncGenerator<string, void>,
  longest: number,
  signal: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(longest);
  try {
    const { value } = await untilAborted(lines.next(), AbortSignal.any([late, signal]));
    if (typeof value !== 'string') return;
    throw new ParseError('the end of a request', value, 'an inspector answers one request', 'end the stream');
  } catch (error) {
    signal.throwIfAborted();
    if (!late.aborted) throw error;
  }
}
