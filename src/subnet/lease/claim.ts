/**
 * A claim asks the holder of a lease whether it runs. It is written into the lease itself, which the holder watches
 * anyway, and changes nothing for peers.
 *
 *     claimant   puts TulleClaim into the lease             the lease stays on its holder's store lease
 *     holder     writes its lease again, without the claim  at once, also while it backs off from a conflict
 *     claimant   has its answer; after a time without one the holder does not run
 */
import type { Clock } from '../../base/clock.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { StoreError } from '../../store/store.ts';
import type { Registry } from '../registry.ts';
import type { Claimant, Lease } from './lease.ts';
import { KeyWatch } from './lease-watch.ts';

/** Milliseconds that a holder has for its answer, on a machine that is busy with other things. */
export const PATIENCE = 3_000;
/** The store may be far away, and the holder needs three round trips: to be notified, to read and to write. */
const ROUND_TRIPS = 10;

export type ClaimAnswer =
  | { readonly type: 'alive' }
  /** The holder did not answer; the lease as it is with the claim. */
  | { readonly type: 'silent'; readonly lease: Lease }
  /** Another host changed the lease at the same moment. */
  | { readonly type: 'changed' };

/** @throws StoreError; the signal's reason on abort */
export async function askHolder(
  registry: Registry,
  lease: Lease,
  { hostId, publicIp }: Claimant,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ClaimAnswer> {
  const claim = { publicIp, ...(hostId === undefined ? {} : { hostId }) };
  const begun = clock.monotonic();
  const asked = await write(registry, lease, claim);
  if (typeof asked === 'string') return { type: asked };
  const isOurs = (found: { readonly modRevision: bigint } | undefined) =>
    found?.modRevision === asked.modRevision;

  const wakeup = new Wakeup(clock);
  {
    await using _watch = new KeyWatch(registry, lease.key, {
      seen: found => {
        if (!isOurs(found)) wakeup.wake();
      },
      resumed: () => undefined,
    });
    await wakeup.pause(PATIENCE + ROUND_TRIPS * (clock.monotonic() - begun), signal);
  }
  signal.throwIfAborted();
  return isOurs(await registry.get(lease.key)) ? { type: 'silent', lease: asked } : { type: 'alive' };
}

async function write(
  registry: Registry,
  lease: Lease,
  claim: Claimant,
): Promise<Lease | 'alive' | 'changed'> {
  try {
    const written = await registry.replace(lease, { ...lease.attributes, claim }, lease.storeLease);
    return written.ok ? written.lease : 'changed';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    // A store that forbids the claim forbids to take the lease as well.
    if (error.code === 'FORBIDDEN') return 'alive';
    if (error.code === 'LEASE_LOST') return 'changed';
    throw error;
  }
}
