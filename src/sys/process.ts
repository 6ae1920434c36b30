/**
 * Starting other programs: always with an argument array, never through a shell.
 *
 * `run` is for a program that does one thing and ends; `start` for one that stays; `attachTerminal` for one that takes
 * over our terminal. Each can be put into namespaces (launch.ts).
 */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { isCode, TulleError } from '../base/errors.ts';
import { launch, type Placement } from './launch.ts';
import { memfdCreate } from './libc.ts';

export interface RunOptions extends Placement {
  /**
   * What standard input has, which is otherwise empty. A file and no pipe: a pipe of Node.js is a socket, which no program
   * can open as /dev/stdin.
   */
  readonly input?: string | Uint8Array;
  /** Milliseconds; default one minute. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  /** Bytes of output and of errors, each; default 16 MiB. */
  readonly maxOutput?: number;
  /** Return whatever exit status there is, instead of throwing unless it is 0. */
  readonly anyStatus?: boolean;
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type ProcessErrorCode =
  /** It ended with a status other than 0. */
  | 'EXITED'
  /** A signal ended it. */
  | 'SIGNALED'
  /** It did not end in time, and was killed. */
  | 'TIMEOUT'
  /** It wrote more than `maxOutput`. */
  | 'OUTPUT_LIMIT';

/** A program was started and did not do what it was started for. */
export class ProcessError extends TulleError<ProcessErrorCode> {}

/** How a process ended: by `exit(status)` or by a signal. */
export type Exit =
  | { readonly status: number; readonly signal?: never }
  | { readonly status?: never; readonly signal: NodeJS.Signals };

/**
 * Runs a program to its end. Once `signal` aborts or the time is over it is killed with what it has started, and
 * it has ended when the promise settles.
 *
 * @throws ProcessError; SysError when it cannot be started (ENOENT: no such program); `signal.reason`.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const { timeout = 60_000, maxOutput = 16 * 1024 * 1024 } = options;
  // In a session of its own a Ctrl-C does not reach it: `signal` decides.
  const stdin = options.input === undefined ? 'ignore' : fileWith(options.input);
  const child = await launch(program, args, options, [stdin, 'pipe', 'pipe'], { detached: true }).finally(
    () => typeof stdin === 'number' && closeSync(stdin),
  );
  const ended = exitOf(child);

  let failure: Error | undefined;
  const stop = (reason: Error) => {
    failure ??= reason;
    killSession(child);
    // Descendants may hold the other ends; what they say is of no interest any more.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  const onAbort = () => stop(options.signal?.reason as Error);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) onAbort();
  const timer = setTimeout(
    () => stop(new ProcessError('TIMEOUT', `${program} did not end within ${timeout} ms`, { op: program })),
    timeout,
  );
  const tooMuch = () =>
    stop(new ProcessError('OUTPUT_LIMIT', `${program} wrote more than ${maxOutput} bytes`, { op: program }));
  const stdout = collect(child.stdout, maxOutput, tooMuch);
  const stderr = collect(child.stderr, maxOutput, tooMuch);
  try {
    const [exit, out, err] = await Promise.all([ended, stdout, stderr]);
    if (failure !== undefined) throw failure;
    const result = { status: exit.status ?? -1, stdout: out, stderr: err };
    if (exit.status === undefined || (exit.status !== 0 && options.anyStatus !== true)) {
      throw failureOf(program, args, exit, err);
    }
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

export interface StartOptions extends Placement {
  /** Standard output and errors are appended to this file. Without it they are dropped. */
  readonly logFile?: string;
  /** Make a pipe of its standard output, to be read from `stdout`. Only its errors go to the log then. */
  readonly pipeOutput?: boolean;
  /** An open descriptor to be its standard input, or a pipe to be written to; it is empty otherwise. */
  readonly stdin?: number | 'pipe';
  /** Make a pipe of its errors, to be read from `stderr`. */
  readonly pipeErrors?: boolean;
  /** Open descriptors that it inherits as 3, 4, ... */
  readonly inherit?: readonly number[];
}

/** A program that was started and is not waited for. It outlives us unless it is ended. */
export interface RunningProcess {
  readonly pid: number;
  /** Settles when it has ended; never rejects. */
  readonly exited: Promise<Exit>;
  /** With `pipeOutput`. */
  readonly stdout: Readable | undefined;
  /** With `pipeErrors`. */
  readonly stderr: Readable | undefined;
  /** With a pipe as standard input. */
  readonly stdin: Writable | undefined;
  /** Kills it at once, and what it has started and is still in its session. */
  killAll(): void;
  /** Whether the signal could be sent: false once it has ended. */
  kill(signal: NodeJS.Signals): boolean;
  /** Lets our own process end although this one runs. */
  unref(): void;
}

/** Starts a program in a session of its own. @throws SysError when it cannot be started. */
export async function start(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<RunningProcess> {
  const log = options.logFile === undefined ? 'ignore' : openSync(options.logFile, 'a', 0o600);
  try {
    const stdio: StdioOptions = [
      options.stdin ?? 'ignore',
      options.pipeOutput === true ? 'pipe' : log,
      options.pipeErrors === true ? 'pipe' : log,
      ...(options.inherit ?? []),
    ];
    const child = await launch(program, args, options, stdio, { detached: true });
    return {
      pid: child.pid ?? 0,
      exited: exitOf(child),
      stdout: child.stdout ?? undefined,
      stderr: child.stderr ?? undefined,
      stdin: child.stdin ?? undefined,
      killAll: () => killSession(child),
      kill: signal => child.kill(signal),
      unref: () => child.unref(),
    };
  } finally {
    if (typeof log === 'number') closeSync(log);
  }
}

/**
 * Runs a program on our own standard streams and terminal until it ends. Ctrl-C is for it, not for us: the terminal
 * sends it to both. What is sent to us alone is handed on, so that it never outlives us.
 */
export async function attachTerminal(
  program: string,
  args: readonly string[],
  options: Placement = {},
): Promise<Exit> {
  const ignore = () => undefined;
  let child: ChildProcess | undefined;
  const handOn = (signal: NodeJS.Signals) => void child?.kill(signal);
  process.on('SIGINT', ignore).on('SIGQUIT', ignore).on('SIGTERM', handOn).on('SIGHUP', handOn);
  try {
    child = await launch(program, args, options, 'inherit');
    return await exitOf(child);
  } finally {
    process.off('SIGINT', ignore).off('SIGQUIT', ignore).off('SIGTERM', handOn).off('SIGHUP', handOn);
  }
}

/** Descriptor of a file in memory, to be read from its beginning. */
function fileWith(content: string | Uint8Array): number {
  const bytes = Buffer.from(content);
  const fd = memfdCreate('tulle-input');
  // With its position a write leaves the one of the descriptor, which the program inherits, where it is.
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
  return fd;
}

/** Kills a program that has a session of its own, and those that it has started and that are still in it. */
function killSession({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!isCode(error, 'ESRCH')) throw error;
  }
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise(resolve => {
    child.once('exit', (status, signal) =>
      resolve(status === null ? { signal: signal ?? 'SIGKILL' } : { status }),
    );
  });
}

/** Everything a stream says until it ends or is destroyed. */
function collect(stream: Readable | null, limit: number, onLimit: () => void): Promise<string> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    let size = 0;
    stream?.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) onLimit();
      else chunks.push(chunk);
    });
    stream?.on('error', () => undefined);
    stream?.on('close', () => resolve(Buffer.concat(chunks).toString('utf8')));
  });
}

function failureOf(program: string, args: readonly string[], exit: Exit, stderr: string): ProcessError {
  const words = stderr.trim().slice(-2000);
  const how = exit.status === undefined ? `was ended by ${exit.signal}` : `ended with status ${exit.status}`;
  return new ProcessError(
    exit.status === undefined ? 'SIGNALED' : 'EXITED',
    `${program} ${how}${words === '' ? '' : `: ${words}`}`,
    { op: program, context: { args, ...exit } },
  );
}
