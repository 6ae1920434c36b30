/** Follows the kernel's announcements for as long as it is wanted, whatever goes wrong meanwhile. */
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface Following {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is logged where it fails: `the links could not be read`. */
  readonly failure: string;
}

/**
 * Begins again after a while where `follow` fails, until `signal` aborts. @param follow calls `onSuccess` when it works: the
 * next failure is followed by a short rest then
 */
export async function keepFollowing(
  { clock, logger, failure }: Following,
  follow: (onSuccess: () => void) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const begin = () => backoff(500, 30_000);
  let delays = begin();
  while (!signal.aborted) {
    try {
      await follow(() => {
        delays = begin();
      });
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ error: messageOf(error) }, failure);
      await clock.sleep(delays.next().value, signal).catch(() => undefined);
    }
  }
}
