/** The log of a daemon (agent, store): JSON lines on stderr, one per change of state, times in ISO 8601. */
import { destination, pino } from 'pino';
import type { Logger } from '../base/log.ts';

/** @param verbosity flannel's `-v`: 0 tells changes of state, 1 and more also what led to them. */
export function openLog(verbosity: number): Logger {
  return pino(
    {
      level: verbosity > 0 ? 'debug' : 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    // Synchronous: the last line before a crash is the one that matters, and lines are few.
    destination({ fd: 2, sync: true }),
  );
}
