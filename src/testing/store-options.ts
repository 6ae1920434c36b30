/** What `StoreServer.start` needs, for a test: a free port of loopback, no limits. */
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/log.ts';

export const storeOptions = (dataDir: string) => ({
  name: 'test',
  dataDir,
  listen: [{ host: '127.0.0.1', port: 0 }],
  advertise: ['http://127.0.0.1:2379'],
  quota: undefined,
  autoCompaction: undefined,
  progressMs: 600_000,
  clock: systemClock,
  log: silentLogger,
});
