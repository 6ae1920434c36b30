/** The identity of this host is saved once it is used, and reported on while it could not be. */
import { together } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import type { Watchable } from '../../base/watchable.ts';
import type { Health } from '../health/health.ts';
import type { KnownStateFile } from './known-state.ts';
import type { Identity } from './state-directory.ts';

export interface IdentityKeeperOptions {
  readonly identity: Identity;
  readonly knownFile: KnownStateFile;
  /** Changes whenever a new part of the identity may have been used. */
  readonly used: Watchable<unknown>;
  readonly health: Health;
  readonly clock: Clock;
}

/** Saves the identity of this host, tries again while the disk refuses, and reports on the state directory. */
export async function keepIdentity(options: IdentityKeeperOptions, signal: AbortSignal): Promise<void> {
  const { identity, knownFile, used, health, clock } = options;
  const report = () => health.report('state', identity.failure ?? knownFile.failure.value);
  const saving = async (until: AbortSignal) => {
    for await (const _ of used.changes(until)) {
      for (const delay of backoff(5000, 300_000)) {
        await identity.save();
        report();
        if (identity.failure === undefined || until.aborted) break;
        await clock.sleep(delay, until).catch(() => undefined);
      }
    }
  };
  const watching = async (until: AbortSignal) => {
    for await (const _ of knownFile.failure.changes(until)) report();
  };
  await together(signal, saving, watching);
}
