/**
 * The packet path from outside: a thread of its own, so that a question or a change is answered at once
 * however many packets there are, and no packet waits for an answer to be written.
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { close, pipe } from '../../sys/libc.ts';
import { Counters } from './counters.ts';
import type { DataPathDescriptors } from './data-path.ts';
import type { DataPathNotice, DataPathOrder, DataPathSetup } from './data-path-messages.ts';
import { MOST_SLOTS } from './route-table.ts';
import type { RouteTableData } from './routes.ts';

export class DataPathThread {
  readonly counters = new Counters(MOST_SLOTS);
  readonly #worker: Worker;
  readonly #orders: MessagePort;
  readonly #wake = pipe();
  readonly #applied = new Int32Array(new SharedArrayBuffer(4));
  /** Rejects when the thread fails; never resolves. */
  readonly failed: Promise<never>;
  #lastNumber = 0;
  #isForwarding = false;

  private constructor(mtu: number) {
    const { port1, port2 } = new MessageChannel();
    const setup: DataPathSetup = {
      orders: port2,
      counters: this.counters.shared,
      applied: this.#applied.buffer,
      mtu,
    };
    this.#orders = port1;
    // From the source, or from what `npm run build` made of it.
    const file = import.meta.url.endsWith('.ts') ? './data-path-worker.ts' : './data-path-worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData: setup, transferList: [port2] });
    this.failed = new Promise((_, reject) => {
      this.#worker.once('error', reject);
      this.#worker.once('messageerror', reject);
    });
    // A later await sees it; until then it is no unhandled rejection.
    this.failed.catch(() => undefined);
  }

  /** Starts the thread and loads its program; it has no descriptors yet. */
  static async start(mtu: number): Promise<DataPathThread> {
    const thread = new DataPathThread(mtu);
    await thread.#noticed('loaded');
    return thread;
  }

  /** Packets flow from now on, by this table. */
  forward(descriptors: Omit<DataPathDescriptors, 'wake'>, table: RouteTableData): void {
    this.#isForwarding = true;
    this.#order({ do: 'forward', descriptors: { ...descriptors, wake: this.#wake.read }, table });
  }

  /** Resolves when the packet path uses this table and no other. */
  async route(table: RouteTableData): Promise<void> {
    await this.#carryOut({ do: 'route', number: ++this.#lastNumber, table });
  }

  /** Resolves when the packet path has come to where it takes orders. */
  async check(): Promise<void> {
    await this.#carryOut({ do: 'check', number: ++this.#lastNumber });
  }

  async #carryOut(order: Extract<DataPathOrder, { readonly number: number }>): Promise<void> {
    const { number } = order;
    this.#order(order);
    for (let now = Atomics.load(this.#applied, 0); now < number; now = Atomics.load(this.#applied, 0)) {
      const { async, value } = Atomics.waitAsync(this.#applied, 0, now);
      if (async) await Promise.race([value, this.failed]);
    }
  }

  /** Resolves when the descriptors are used no more. */
  async stop(): Promise<void> {
    if (this.#isForwarding) {
      const stopped = this.#noticed('stopped');
      this.#order({ do: 'stop' });
      await stopped;
    }
    await this.#worker.terminate();
    this.#orders.close();
    close(this.#wake.read);
    close(this.#wake.write);
  }

  #order(order: DataPathOrder): void {
    this.#orders.postMessage(order);
    writeSync(this.#wake.write, Uint8Array.of(1));
  }

  async #noticed(wanted: DataPathNotice['is']): Promise<void> {
    const [notice] = (await Promise.race([once(this.#worker, 'message'), this.failed])) as [DataPathNotice];
    if (notice.is !== wanted) throw new Error(`the packet path is ${notice.is}, not ${wanted}`);
  }
}
