/** Starting a forwarder, and why one did not start. */
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { defined } from '../base/defined.ts';
import type { Namespaces } from '../sys/launch.ts';
import { preferSession } from '../sys/priority.ts';
import { type Exit, start } from '../sys/process.ts';
import { waitForFile } from '../sys/wait-file.ts';
import { ForwarderClient } from './control/client.ts';
import { formatListen } from './control/messages.ts';
import { ForwarderError } from './errors.ts';
import { controlFlag, pidFile } from './predecessor.ts';
import type { ForwarderOptions } from './run-forwarder.ts';

export interface ManagedForwarderOptions extends ForwarderOptions {
  /** Path of `tulle`. */
  readonly program: string;
  /** Its standard error is appended to this file. */
  readonly logFile: string;
  readonly namespaces?: Namespaces;
}

/** Milliseconds in which a forwarder that was started must listen. */
const START_PATIENCE = 20_000;

/**
 * Starts one, which takes over from one that runs with the same control socket. It outlives this process.
 * @param onStarted the process runs, and is not ready yet
 * @throws ForwarderError; SysError; `signal.reason`
 */
export async function startForwarder(
  options: ManagedForwarderOptions,
  onStarted: () => void,
  signal: AbortSignal,
): Promise<ForwarderClient> {
  const { program, control, logFile, namespaces } = options;
  const logged = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  const child = await start(program, argumentsOf(options), {
    ...defined({ logFile: prepare(control, logFile), namespaces }),
  });
  child.unref();
  // Packets go before what containers compute, as in the kernel; and it is loaded sooner.
  preferSession(child.pid);
  onStarted();
  const stop = new AbortController();
  void child.exited.then(exit => stop.abort(endedEarly(exit, logFile, complaintIn(logFile, logged))));
  const late = setTimeout(
    () => stop.abort(new ForwarderError('FORWARDER_SILENT', 'the forwarder is not ready in time')),
    START_PATIENCE,
  );
  try {
    const either = AbortSignal.any([signal, stop.signal]);
    await waitForFile(pidFile(control), either, text => text.includes(`"pid":${child.pid},`));
    return await ForwarderClient.connect(control, either);
  } catch (error) {
    // One that is not ready in time would be in the way of the next.
    if (!signal.aborted) child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(late);
  }
}

function argumentsOf({ device, listen, mtu, control }: ForwarderOptions): string[] {
  const addresses = listen.map(({ ip, port }) => `--listen=${formatListen(ip, port)}`);
  return ['forwarder', `--device=${device}`, ...addresses, `--mtu=${mtu}`, controlFlag(control)];
}

/**
 * Makes the directories again that somebody has removed.
 * @returns undefined when nothing can be written to the log: a full disk is no reason to move no packets
 */
function prepare(control: string, logFile: string): string | undefined {
  try {
    for (const path of [control, logFile]) mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    closeSync(openSync(logFile, 'a', 0o600));
    return logFile;
  } catch {
    return undefined;
  }
}

/** What a program of ours says at its end (src/console/errors.ts). */
interface Complaint {
  readonly error?: string;
  readonly hint?: string;
}

function endedEarly(exit: Exit, logFile: string, { error, hint }: Complaint): ForwarderError {
  const how = exit.status === undefined ? `by ${exit.signal}` : `with status ${exit.status}`;
  const why = error === undefined ? '' : `: ${error}`;
  return new ForwarderError('FORWARDER_ENDED', `the forwarder ended ${how}${why}`, {
    hint: hint ?? `see ${logFile}`,
  });
}

/** @param offset in bytes: where in the file its words begin. */
function complaintIn(logFile: string, offset: number): Complaint {
  let text = '';
  try {
    text = readFileSync(logFile).subarray(offset).toString('utf8');
  } catch {
    // Somebody has removed it, and the words with it.
  }
  const [, error, hint] = /^tulle: error: (.+)(?:\nhint: (.+))?/m.exec(text) ?? [];
  return defined({ error, hint });
}
