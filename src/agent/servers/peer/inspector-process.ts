/**
 * A program that inspects this host, so that its memory and whatever goes wrong in it stay out of the agent. It speaks the
 * lines of other hosts (src/api/inspection-lines.ts), and answers one request after the other: an empty line ends a request,
 * and an answer.
 */
import type { Writable } from 'node:stream';
import { type InspectionRequest, LONGEST_INSPECTION_ANSWER } from '../../../api/inspection-lines.ts';
import { TulleError } from '../../../base/errors.ts';
import { type RunningProcess, start } from '../../../sys/process.ts';

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
const NEWLINE = 10;

export class InspectorProcess {
  readonly #child: RunningProcess;
  /** All of its output that there will be has been read. */
  readonly #isRead: Promise<void>;
  #words = '';
  #isUsable = true;

  private constructor(child: RunningProcess) {
    this.#child = child;
    const { stdin, stdout, stderr } = child;
    stdin?.on('error', () => undefined);
    stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => (this.#words = (this.#words + text).slice(-LAST_WORDS)));
    this.#isRead = new Promise(resolve => stdout?.once('close', () => resolve()));
    void child.exited.then(() => (this.#isUsable = false));
  }

  /** @throws SysError when it cannot be started */
  static async start({ program, socketPath }: InspectorProgram): Promise<InspectorProcess> {
    const child = await start(program, ['inspector', '--many'], {
      stdin: 'pipe',
      pipeOutput: true,
      pipeErrors: true,
      env: { ...process.env, TULLE_SOCKET: socketPath },
    });
    return new InspectorProcess(child);
  }

  /** Whether it waits for another request. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Resolves with the end of the answer.
   *
   * @param finished resolves when the caller has ended its request, or is gone; never rejects
   * @param out where the answer goes; not ended here
   * @throws InspectionError when there is no answer: it has ended then; `signal.reason` when it has ended its answer, or itself
   */
  async answer(
    request: InspectionRequest,
    finished: Promise<void>,
    out: Writable,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const { stdin, stdout, exited } = this.#child;
    const whole = Promise.withResolvers<'whole'>();
    let size = 0;
    let isLineEnded = true;
    const take = (piece: Buffer) => {
      size += piece.length;
      if (size > LONGEST_INSPECTION_ANSWER) return this.#child.killAll();
      const isWhole = piece.at(-1) === NEWLINE && (piece.length > 1 ? piece.at(-2) === NEWLINE : isLineEnded);
      isLineEnded = piece.at(-1) === NEWLINE;
      if (!signal.aborted && !out.write(isWhole ? piece.subarray(0, -1) : piece)) stdout?.pause();
      if (isWhole) whole.resolve('whole');
    };
    const goOn = () => stdout?.resume();
    const endRequest = once(() => stdin?.write('\n'));
    let late: NodeJS.Timeout | undefined;
    // Who waits no more may only have heard enough. What it has changed to be able to watch it removes when it is asked to end.
    const onAbort = () => {
      endRequest();
      goOn();
      late = setTimeout(() => this.end(), ENDING_MS);
    };
    stdout?.on('data', take);
    out.on('drain', goOn);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      stdin?.write(`${JSON.stringify(request)}\n`);
      void finished.then(endRequest);
      const ending = await Promise.race([whole.promise, exited]);
      endRequest();
      signal.throwIfAborted();
      if (ending === 'whole') return;
      await this.#isRead;
      if (size > 0) return;
      const how = ending.signal ?? `status ${ending.status}`;
      throw new InspectionError(
        'INSPECTOR_FAILED',
        `the inspector ended with ${how}: ${this.#words.trim() || 'no word'}`,
      );
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
      stdout?.off('data', take);
      out.off('drain', goOn);
      stdout?.resume();
    }
  }

  /** Asks it to end, and ends it when it does not. */
  end(): void {
    this.#isUsable = false;
    const { stdin, stdout } = this.#child;
    stdin?.end();
    this.#child.kill('SIGTERM');
    stdout?.resume();
    const late = setTimeout(() => this.#child.killAll(), ENDING_MS);
    late.unref();
    void this.#child.exited.then(() => clearTimeout(late));
  }
}

function once(work: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) work();
    isDone = true;
  };
}
