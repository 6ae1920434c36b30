/**
 * Checkpoints: the changes in the write-ahead log are copied into the database file, so that the log can start
 * over. That is many scattered writes and an fsync, tens of milliseconds in which no request would be served; so another
 * thread does it, on a connection of its own, while this one goes on writing to the log. The log starts over with
 * the first write that finds all of it copied. Under constant load that never happens, so now and then what was
 * written during a checkpoint, which is little, is copied here.
 *
 *     this thread    write ... write ... write ... write | finish | write (log starts over)
 *     other thread     [ checkpoint ]    [ checkpoint ]
 *
 * The thread is started when there is something to do for the first time.
 */
import { Worker } from 'node:worker_threads';

/** Pages of log after which a checkpoint is due: 16 MiB, so that a hot page is copied once and not often. */
const CHECKPOINT_PAGES = 4096;

/** Pages of log after which it is made to start over. */
export const RESTART_PAGES = 4 * CHECKPOINT_PAGES;

export interface Checkpointed {
  readonly path: string;
  /** Copies what is left and lets the log start over. */
  finishCheckpoint(): void;
}

export class Checkpointer implements AsyncDisposable {
  readonly #database: Checkpointed;
  readonly #onError: (error: unknown) => void;
  #worker: Worker | undefined;
  #pages = 0;
  #running = false;

  constructor(database: Checkpointed, onError: (error: unknown) => void) {
    this.#database = database;
    this.#onError = onError;
  }

  /** So many pages went into the log; an estimate is good enough. Outside of a transaction only. */
  wrote(pages: number): void {
    this.#pages += pages;
    if (this.#pages < CHECKPOINT_PAGES || this.#running) return;
    this.#pages = 0;
    this.#running = true;
    this.#thread().postMessage('checkpoint');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  #thread(): Worker {
    this.#worker ??= this.#start();
    return this.#worker;
  }

  #start(): Worker {
    // From the source, or from what `npm run build` made of it.
    const file = import.meta.url.endsWith('.ts') ? './checkpoint-worker.ts' : './checkpoint-worker.js';
    const worker = new Worker(new URL(file, import.meta.url), { workerData: this.#database.path });
    worker.unref();
    worker.on('message', ({ log }: { readonly log: number }) => {
      this.#running = false;
      if (log < RESTART_PAGES) return;
      try {
        this.#database.finishCheckpoint();
      } catch (error) {
        this.#onError(error);
      }
    });
    worker.on('error', error => {
      // SQLite checkpoints by itself when the log has grown far beyond what is usual.
      this.#worker = undefined;
      this.#running = false;
      this.#onError(error);
    });
    return worker;
  }
}
