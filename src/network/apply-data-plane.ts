/** Applies what is desired of the data plane, however long its kernel does not answer. */
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { ApplyReporter } from './apply-reporter.ts';
import type { Targets } from './targets.ts';

/** The data plane itself tries again what the kernel refuses; a kernel that does not answer is tried again here. */
export async function applyDataPlane(
  { dataPlane }: Pick<Targets, 'dataPlane'>,
  reporter: Pick<ApplyReporter, 'kernelUnreachable'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const delay of backoff(500, 30_000)) {
    try {
      await dataPlane.apply();
      return;
    } catch (error) {
      if (signal.aborted) return;
      reporter.kernelUnreachable(messageOf(error));
      await clock.sleep(delay, signal).catch(() => undefined);
    }
  }
}
