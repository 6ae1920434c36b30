/** Runs one command: in a clean environment, for a bounded time, with bounded output. */
import { isCode, TulleError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import { run } from '../sys/process.ts';

/** Bytes of output and of errors, each. */
const MOST_OUTPUT = 256 * 1024;
/** Characters of a failed command that are shown. */
const LAST_WORDS = 300;

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export type HostCommandErrorCode =
  /** It ended with a status other than 0, or by a signal. */
  | 'COMMAND_FAILED'
  /** It did not end in time, and was killed with what it had started. */
  | 'COMMAND_TIMEOUT'
  /** There is no such program, or it may not be run. */
  | 'COMMAND_NOT_STARTED';

/** A command of the configuration did not do its work. The message names it, with its last words. */
export class HostCommandError extends TulleError<HostCommandErrorCode> {}

/**
 * Runs it to its end in `/`. Nothing of our own environment is handed on.
 *
 * @returns its standard output and errors, trimmed
 * @throws HostCommandError; `signal.reason`, when it was killed because of that
 */
export async function runCommand(command: HostCommand, signal: AbortSignal): Promise<string> {
  const { name, words, variables, input, timeout } = command;
  const [program = '', ...args] = words;
  const env = { PATH: process.env['PATH'] ?? PATH, ...variables };
  let said: string;
  let status: number;
  try {
    const options = { env, cwd: '/', input, timeout, signal, maxOutput: MOST_OUTPUT, anyStatus: true };
    const result = await run(program, args, options);
    said = `${result.stdout}${result.stderr}`.trim();
    status = result.status;
  } catch (error) {
    signal.throwIfAborted();
    throw notRun(command, program, error);
  }
  if (status === 0) return said;
  throw new HostCommandError('COMMAND_FAILED', `${name} ended with status ${status}${lastWords(said)}`);
}

function notRun({ name, timeout }: HostCommand, program: string, cause: unknown): unknown {
  if (isCode(cause, 'TIMEOUT')) {
    const message = `${name} did not end within ${timeout / 1000} s, and was killed`;
    return new HostCommandError('COMMAND_TIMEOUT', message, { cause });
  }
  if (isCode(cause, 'SIGNALED')) {
    return new HostCommandError('COMMAND_FAILED', `${name} was ended by a signal`, { cause });
  }
  if (isCode(cause, 'OUTPUT_LIMIT')) {
    const message = `${name} wrote more than ${MOST_OUTPUT / 1024} KiB, and was killed`;
    return new HostCommandError('COMMAND_FAILED', message, { cause });
  }
  if (isCode(cause, 'ENOENT', 'EACCES', 'ENOTDIR', 'E2BIG', 'ENOMEM', 'EAGAIN')) {
    const why = isCode(cause, 'ENOENT') ? 'there is no such program' : String(cause.code);
    const message = `${name} cannot be started: ${printable(program)}: ${why}`;
    return new HostCommandError('COMMAND_NOT_STARTED', message, { cause });
  }
  return cause;
}

function lastWords(said: string): string {
  if (said === '') return '';
  const last = said.length <= LAST_WORDS ? said : `...${said.slice(-LAST_WORDS)}`;
  return `: ${printable(last.toWellFormed().replaceAll(/\s*\n\s*/g, '; '))}`;
}
