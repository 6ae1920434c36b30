/**
 * A part of the agent that lasts as long as the agent. Parts deal with what can go wrong themselves; should one
 * fail all the same, that is told loudly, and the part starts again: containers on this host must not depend on
 * every line of ours being right.
 */
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

/** A part that has run this long, in milliseconds, was well; its next failure is not a repetition. */
const WELL_AFTER = 60_000;

export async function keepRunning(
  name: string,
  work: (signal: AbortSignal) => Promise<void>,
  { signal, clock, logger }: { readonly signal: AbortSignal; readonly clock: Clock; readonly logger: Logger },
): Promise<void> {
  let delays = backoff(1000, 60_000);
  while (!signal.aborted) {
    const started = clock.monotonic();
    try {
      await work(signal);
      return;
    } catch (error) {
      if (signal.aborted) return;
      const stack = error instanceof Error ? error.stack : undefined;
      logger.error({ part: name, error: messageOf(error), stack }, 'a part of the agent failed');
    }
    if (clock.monotonic() - started > WELL_AFTER) delays = backoff(1000, 60_000);
    await clock.sleep(delays.next().value, signal).catch(() => undefined);
  }
}
