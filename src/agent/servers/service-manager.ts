/** Keeps the service manager (systemd) informed: ready once, a line of status, a sign of life where it wants one. */
import { together } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import type { ServiceManager } from '../../sys/notify.ts';
import type { Health } from '../health/health.ts';

/** Reports the state of `health` until `signal` aborts. */
export async function informServiceManager(
  manager: ServiceManager,
  health: Health,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const informing = async (until: AbortSignal) => {
    let wasReady = false;
    for await (const { ready, state, reason } of health.summary.changes(until)) {
      const status = reason === undefined ? state : `${state}: ${reason}`;
      manager.notify({ status, ...(ready && !wasReady ? { ready } : {}) });
      wasReady ||= ready;
    }
  };
  await together(signal, informing, until => giveSignsOfLife(manager, clock, until));
  manager.notify({ stopping: true, status: 'stopping' });
}

/** Comes from the event loop on purpose: a loop that hangs is what a watchdog is for. */
async function giveSignsOfLife(manager: ServiceManager, clock: Clock, signal: AbortSignal): Promise<void> {
  if (manager.watchdogTimeout === undefined) return;
  while (!signal.aborted) {
    manager.notify({ watchdog: true });
    // Half of the limit, as sd_watchdog_enabled(3) recommends.
    await clock.sleep(manager.watchdogTimeout / 2, signal).catch(() => undefined);
  }
}
