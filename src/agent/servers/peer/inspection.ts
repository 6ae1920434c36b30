/**
 * An inspection for another host: a program of its own does it, so that its memory and whatever goes wrong in it stay out
 * of the agent. The program speaks the same lines.
 */
import type { Writable } from 'node:stream';
import { type InspectionRequest, LONGEST_INSPECTION_ANSWER } from '../../../api/inspection-lines.ts';
import { TulleError } from '../../../base/errors.ts';
import { start } from '../../../sys/process.ts';

export type InspectionErrorCode =
  /** This host answers as many requests as it does at once, in all or of one caller. */
  | 'BUSY'
  /** The program ended without an answer. */
  | 'INSPECTOR_FAILED'
  /** It did not end in time. */
  | 'INSPECTION_TIMEOUT';

/** Another host gets no answer to what it asked. */
export class InspectionError extends TulleError<InspectionErrorCode> {}

export interface InspectorProgram {
  /** Path of `tulle`. */
  readonly program: string;
  /** Of the agent that it asks about this host. */
  readonly socketPath: string;
}

/** Milliseconds that it has to end after it was asked to. */
const ENDING_MS = 1000;
/** Characters of its errors that are kept. */
const LAST_WORDS = 2000;

/**
 * Runs one to its end.
 * @param finished resolves when the caller has ended its request, or is gone; never rejects
 * @param out where its answer goes; not ended here
 * @throws InspectionError when there is no answer; `signal.reason`. It has ended then.
 */
export async function inspect(
  { program, socketPath }: InspectorProgram,
  request: InspectionRequest,
  finished: Promise<void>,
  out: Writable,
  signal: AbortSignal,
): Promise<void> {
  const child = await start(program, ['inspector'], {
    stdin: 'pipe',
    pipeOutput: true,
    pipeErrors: true,
    env: { ...process.env, TULLE_SOCKET: socketPath },
  });
  const { stdin, stdout, stderr } = child;
  let words = '';
  let size = 0;
  stdin?.on('error', () => undefined);
  stderr?.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-LAST_WORDS)));
  stdout?.on('data', (piece: Buffer) => {
    size += piece.length;
    if (size > LONGEST_INSPECTION_ANSWER) return child.killAll();
    if (!out.write(piece)) stdout.pause();
  });
  const goOn = () => stdout?.resume();
  out.on('drain', goOn);
  const isRead = new Promise<void>(resolve => stdout?.once('close', () => resolve()));
  // What it has changed to be able to watch it removes when it is asked to end.
  const onAbort = () => {
    child.kill('SIGTERM');
    stdout?.resume();
    setTimeout(() => child.killAll(), ENDING_MS).unref();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    stdin?.write(`${JSON.stringify(request)}\n`);
    void finished.then(() => stdin?.end());
    const exit = await child.exited;
    signal.throwIfAborted();
    await isRead;
    if (size > 0) return;
    const how = exit.signal ?? `status ${exit.status}`;
    throw new InspectionError(
      'INSPECTOR_FAILED',
      `the inspector ended with ${how}: ${words.trim() || 'no word'}`,
    );
  } finally {
    signal.removeEventListener('abort', onAbort);
    out.off('drain', goOn);
  }
}
