/** What a process that runs for months has to do besides its work. */
import process from 'node:process';
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Latest } from '../base/latest.ts';
import type { Logger } from '../base/log.ts';
import type { Health } from './health.ts';
import type { KnownStateFile } from './known-state.ts';
import type { Identity } from './state-directory.ts';

export interface IdentityKeeperOptions {
  readonly identity: Identity;
  readonly knownFile: KnownStateFile;
  /** Changes whenever a new part of the identity may have been used. */
  readonly used: Latest<unknown>;
  readonly health: Health;
  readonly clock: Clock;
}

/** Saves the identity of this host, tries again while the disk refuses, and reports on the state directory. */
export async function keepIdentity(options: IdentityKeeperOptions, signal: AbortSignal): Promise<void> {
  const { identity, knownFile, used, health, clock } = options;
  const report = () => health.report('state', identity.trouble ?? knownFile.trouble.value);
  const saving = async (until: AbortSignal) => {
    for await (const _ of used.changes(until)) {
      for (const delay of backoff(5000, 300_000)) {
        await identity.save();
        report();
        if (identity.trouble === undefined || until.aborted) break;
        await clock.sleep(delay, until).catch(() => undefined);
      }
    }
  };
  const watching = async (until: AbortSignal) => {
    for await (const _ of knownFile.trouble.changes(until)) report();
  };
  await together(signal, saving, watching);
}

/**
 * An error that nobody expected is told as what it is, and the process works on, until disposal. What the agent
 * does is compared with what is wanted over and over, so a step that was lost is made up for.
 */
export function surviveDefects(health: Health, logger: Logger): Disposable {
  const onDefect = (error: unknown) => {
    const text = messageOf(error);
    const stack = error instanceof Error ? error.stack : undefined;
    logger.error({ error: text, stack }, 'a defect in the agent');
    const title = 'the agent met an error that nobody expected';
    const hint = 'report it with the log; a restart of the agent disturbs no container';
    health.warn('defect', [{ id: 'defect', code: 'DEFECT', severity: 'error', title, text, hint }]);
  };
  process.on('uncaughtException', onDefect).on('unhandledRejection', onDefect);
  return {
    [Symbol.dispose]: () => {
      process.off('uncaughtException', onDefect).off('unhandledRejection', onDefect);
    },
  };
}
