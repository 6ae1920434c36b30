/** The thread of Checkpointer: on each message, copies the log into the database file, as far as it goes. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const database = new DatabaseSync(String(workerData), { timeout: 1000 });
database.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0');
const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');

parentPort?.on('message', () => {
  // {busy, log, checkpointed}: the last two in pages.
  parentPort?.postMessage({ ...checkpoint.get() });
});
