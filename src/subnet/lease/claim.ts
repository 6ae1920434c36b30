/**
 * A question to the holder of a lease: do you live? It is written into the lease itself, where the holder looks anyway,
 * changes nothing for peers, and costs nothing while nobody asks.
 *
 *     claimant   puts TulleClaim into the lease                    lease stays on its holder's store lease
 *     holder     writes its lease again, without the question     at once, however busy it is with rivals
 *     claimant   has its answer; without one after a while nobody is there
 */
import type { Clock } from '../../base/clock.ts';
import { Wakeup } from '../../base/wakeup.ts';
import { StoreError } from '../../store/store.ts';
import type { Registry } from '../registry.ts';
import type { Claimant, Lease } from './lease.ts';
import { KeyWatch } from './lease-watch.ts';

/** Milliseconds that a holder has for its answer, on a machine that is busy with other things. */
const PATIENCE = 3_000;
/** The store may be far away, and the holder needs it three times: to hear, to read and to write. */
const ROUND_TRIPS = 10;

export type ClaimAnswer =
  | { readonly type: 'alive' }
  /** Nobody answered; the lease as it is with the question. */
  | { readonly type: 'silent'; readonly lease: Lease }
  /** Somebody else changed the lease at the same moment. */
  | { readonly type: 'changed' };

/** @throws StoreError; the signal's reason on abort */
export async function askHolder(
  registry: Registry,
  lease: Lease,
  { hostId, publicIp, publicIpv6 }: Claimant,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ClaimAnswer> {
  const claim = {
    ...(hostId === undefined ? {} : { hostId }),
    ...(publicIp === undefined ? {} : { publicIp }),
    ...(publicIpv6 === undefined ? {} : { publicIpv6 }),
  };
  const begun = clock.monotonic();
  const asked = await write(registry, lease, claim);
  if (typeof asked === 'string') return { type: asked };
  const isOurs = (found: { readonly modRevision: bigint } | undefined) =>
    found?.modRevision === asked.modRevision;

  const bell = new Wakeup(clock);
  const wake = () => bell.ring();
  signal.addEventListener('abort', wake, { once: true });
  try {
    await using _watch = new KeyWatch(registry, lease.key, {
      seen: found => {
        if (!isOurs(found)) wake();
      },
      resumed: () => undefined,
    });
    await bell.pause(PATIENCE + ROUND_TRIPS * (clock.monotonic() - begun));
  } finally {
    signal.removeEventListener('abort', wake);
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
    // A store that lets nobody ask lets nobody take it either.
    if (error.code === 'FORBIDDEN') return 'alive';
    if (error.code === 'LEASE_LOST') return 'changed';
    throw error;
  }
}
