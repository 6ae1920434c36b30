/** One of the hosts that come up in `bench join`, whatever its procedure is. */
import type { Watchable } from '../base/watchable.ts';
import type { LeaseAttributes } from '../subnet/lease/lease.ts';
import type { Registry } from '../subnet/registry.ts';

/** Times of one agent, in milliseconds since the start of all. */
export interface JoinedHost {
  readonly ms: number;
  readonly knewAll?: number;
}

export interface Participant {
  readonly registry: Registry;
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  /** How many peers there will be. */
  readonly others: number;
  /** Milliseconds since the start of all. */
  readonly elapsed: () => number;
  /** How many have their lease. */
  readonly leased: Watchable<number>;
  readonly signal: AbortSignal;
}

export interface Participation {
  /** Undefined for one that gave up. */
  readonly joined: Promise<JoinedHost | undefined>;
  /** Resolves when nothing of it runs any more, after the signal. */
  readonly ended: Promise<unknown>;
}
