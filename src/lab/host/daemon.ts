/** A program that serves a host of the lab, started and waited for until it is of use. */
import { readFileSync } from 'node:fs';
import { messageOf } from '../../base/errors.ts';
import { waitForEnd } from '../../sys/pidfd.ts';
import type { PassedSocket } from '../../sys/socket-activation.ts';
import { waitForFile } from '../../sys/wait-file.ts';
import { LabError } from '../errors.ts';
import type { LabHost } from './host.ts';

export interface DaemonSpec {
  readonly program: string;
  readonly args: readonly string[];
  /** Names it in messages and names its log: `etcd`. */
  readonly name: string;
  /** It is ready when this file of the host exists and `accept` likes its text; its log when absent. */
  readonly readyFile?: string;
  readonly accept?: (text: string) => boolean;
  /** Sockets that others hold for it. */
  readonly passed?: readonly PassedSocket[];
  /** Milliseconds. */
  readonly patience: number;
  readonly signal: AbortSignal;
}

/**
 * Starts it, waits until it is ready, and returns the text of the file that showed it.
 *
 * @throws LabError START_FAILED, with its last words, when it ends or is not ready in time; `signal.reason`.
 */
export async function startDaemon(host: LabHost, spec: DaemonSpec): Promise<string> {
  const { program, args, name, patience, signal } = spec;
  const { readyFile, accept = () => true } = spec;
  const file = readyFile === undefined ? host.logFile(name) : host.path(readyFile);
  // A log goes on from what a former run of the program said.
  const said = readyFile === undefined ? textOf(file).length : 0;
  const done = new AbortController();
  const giveUp = new AbortController();
  const late = new Error(`is not ready after ${patience / 1000} s`);
  const timer = setTimeout(() => giveUp.abort(late), patience);
  try {
    const daemon = await host.start(program, args, name, spec.passed);
    waitForEnd(daemon, done.signal).then(
      ended => ended && giveUp.abort(new Error('ended before it was ready')),
      (error: unknown) => giveUp.abort(error),
    );
    return await waitForFile(file, AbortSignal.any([signal, giveUp.signal]), text =>
      accept(text.slice(said)),
    );
  } catch (error) {
    signal.throwIfAborted();
    const words = tail(host.logFile(name), 1).slice(0, 500);
    throw new LabError(
      'START_FAILED',
      `${name} on ${host.name} ${messageOf(error)}${words === '' ? '' : `: ${words}`}`,
      {
        op: name,
        context: { host: host.name, log: tail(host.logFile(name), 40) },
        ...(error === late && {
          hint: 'this machine may be too busy for so many hosts: try again when it is at rest, or make fewer',
        }),
      },
    );
  } finally {
    clearTimeout(timer);
    done.abort();
  }
}

/** The last lines of a log. */
const tail = (file: string, lines: number) => textOf(file).trimEnd().split('\n').slice(-lines).join('\n');

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // There is none yet; or the host is gone already, and its log with it.
    return '';
  }
}
