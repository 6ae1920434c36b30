/**
 * Stopping a command that runs until it is told to. The first SIGINT, SIGTERM or SIGHUP aborts; the second ends
 * the process at once, for the person whose first Ctrl-C is not answered.
 */
import { Interrupted } from './errors.ts';
import { SIGNAL_BASE } from './exit-codes.ts';

const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `body` with a signal that aborts (reason: Interrupted) when the process is asked to stop. A body that
 * then returns has stopped gracefully and the command succeeds; one that rejects with the signal's reason was
 * cut short and the command ends with 128 + the signal's number.
 */
export async function untilStopped<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    const reason = new Interrupted(name);
    if (controller.signal.aborted) process.exit(SIGNAL_BASE + reason.number);
    controller.abort(reason);
  };
  for (const name of STOPPING) process.on(name, stop);
  try {
    return await body(controller.signal);
  } finally {
    for (const name of STOPPING) process.off(name, stop);
  }
}
