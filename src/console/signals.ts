/**
 * Stopping a command that runs until it is asked to stop. The first SIGINT, SIGTERM or SIGHUP aborts; the second ends
 * the process at once, for the person whose first Ctrl-C is not answered. No second signal is sent to a daemon:
 * it ends by itself when stopping takes too long, for example on a disk that does not answer any more.
 */
import { exitProcess } from '../sys/exit-process.ts';
import { Interrupted } from './errors.ts';
import { SIGNAL_BASE } from './exit-codes.ts';
import { warn } from './output.ts';

/** How long a daemon may take to stop, in milliseconds: longer than a store may take to answer, shorter than systemd waits. */
export const STOP_PATIENCE = 30_000;

const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `body` with a signal that aborts (reason: Interrupted) when the process is asked to stop. A body that
 * then returns has stopped gracefully and the command succeeds; one that rejects with the signal's reason was
 * cut short and the command ends with 128 + the signal's number.
 *
 * @param options `within`: milliseconds that stopping may take.
 */
export async function untilStopped<T>(
  body: (signal: AbortSignal) => Promise<T>,
  { within }: { readonly within?: number } = {},
): Promise<T> {
  const controller = new AbortController();
  let overdue: NodeJS.Timeout | undefined;
  const stop = (name: NodeJS.Signals) => {
    const reason = new Interrupted(name);
    const status = SIGNAL_BASE + reason.number;
    if (controller.signal.aborted) exitProcess(status);
    controller.abort(reason);
    if (within === undefined) return;
    overdue = setTimeout(() => {
      warn(`not stopped within ${within / 1000} s after ${name}; the process exits with unfinished work`);
      exitProcess(status);
    }, within);
  };
  for (const name of STOPPING) process.on(name, stop);
  try {
    return await body(controller.signal);
  } finally {
    for (const name of STOPPING) process.off(name, stop);
    clearTimeout(overdue);
  }
}
