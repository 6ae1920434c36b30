/**
 * Compacts by itself, in one of etcd's two ways: keep the history of the last N revisions, or of the last so many
 * hours. Without it the history grows until the quota is used up.
 */
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Core } from '../core.ts';

export type AutoCompaction =
  | { readonly mode: 'revision'; readonly keep: bigint }
  | { readonly mode: 'periodic'; readonly keepMs: number };

/** How often the number of revisions is looked at. */
const REVISION_INTERVAL_MS = 300_000;
/** Revisions are noted this often within the time to keep, but not more than once in a minute. */
const SAMPLES = 10;
const SHORTEST_SAMPLE_MS = 60_000;

/** Runs until `signal` aborts. */
export async function compactAutomatically(
  core: Core,
  policy: AutoCompaction,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const interval =
    policy.mode === 'revision' ? REVISION_INTERVAL_MS : Math.max(SHORTEST_SAMPLE_MS, policy.keepMs / SAMPLES);
  const samples: { readonly at: number; readonly revision: bigint }[] = [];
  while (!signal.aborted) {
    await clock.sleep(interval, signal).catch(() => undefined);
    if (signal.aborted) return;
    const { revision } = core.mvcc;
    samples.push({ at: clock.monotonic(), revision });
    const target =
      policy.mode === 'revision' ? revision - policy.keep : oldEnough(samples, policy.keepMs, clock);
    if (target === undefined || target <= core.mvcc.compactedRevision || target < 1n) continue;
    try {
      await core.update(() => core.mvcc.compact(target));
      await core.sweep();
      log.info({ revision: target }, 'compacted');
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'could not compact; it will be tried again');
    }
  }
}

/** The newest revision that is at least `keepMs` old; samples before it are forgotten. */
function oldEnough(
  samples: { readonly at: number; readonly revision: bigint }[],
  keepMs: number,
  clock: Clock,
): bigint | undefined {
  const limit = clock.monotonic() - keepMs;
  const index = samples.findLastIndex(sample => sample.at <= limit);
  return index === -1 ? undefined : samples.splice(0, index + 1).at(-1)?.revision;
}
