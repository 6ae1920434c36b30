/** Compares what is to be published with what the store has, again and again: at once after a change, later after a failure. */
import { backoff, type Clock } from '../../base/clock.ts';
import { Pace } from '../../base/pace.ts';
import type { Wakeup } from '../../base/wakeup.ts';
import { StoreError } from '../../store/store.ts';
import type { KeysLease } from './keys-lease.ts';

/** Milliseconds between tries while the store fails. */
const RETRY = { first: 500, cap: 30_000 };

export interface PublishLoop {
  /** One comparison. @returns why something stays unpublished. @throws StoreError, which is told by `onFailure` */
  readonly step: () => Promise<StoreError | undefined>;
  readonly onFailure: (error: StoreError) => void;
  /** When there is more to do, on the monotonic clock; beside the renewal of the lease. */
  readonly due: () => number;
  readonly lease: KeysLease;
  /** Ends the pauses. */
  readonly wakeup: Wakeup;
  readonly clock: Clock;
  readonly random: (() => number) | undefined;
}

/** Until `signal` aborts. */
export async function publishInTurns(loop: PublishLoop, signal: AbortSignal): Promise<void> {
  const { step, onFailure, due, lease, wakeup, clock, random } = loop;
  let delays = backoff(RETRY.first, RETRY.cap, random);
  const pace = new Pace(clock);
  while (!signal.aborted) {
    try {
      pace.begin();
      const failure = await step();
      await pace.rest(signal);
      if (failure === undefined) delays = backoff(RETRY.first, RETRY.cap, random);
      const pause = Math.min(lease.due, due()) - clock.monotonic();
      await wakeup.pause(failure === undefined ? pause : delays.next().value, signal);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === 'LEASE_LOST') lease.lost();
      onFailure(error);
      await wakeup.pause(error.code === 'LEASE_LOST' ? 0 : delays.next().value, signal);
    }
  }
}
