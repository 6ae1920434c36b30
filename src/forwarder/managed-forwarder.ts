/**
 * A forwarder that runs, with the table it should have: for the agent. It states the table; `run` makes it so, adopts a
 * forwarder that an earlier agent has started, starts one when none runs, and again whenever it has ended.
 *
 * When `run` ends the forwarder continues, so that no packet is lost while the agent is not there.
 */
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import { isCode, messageOf, TulleError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { packageVersion } from '../base/version.ts';
import { Watchable } from '../base/watchable.ts';
import { endProcess } from '../sys/pidfd.ts';
import { ForwarderClient } from './control/client.ts';
import {
  CONTROL_VERSION,
  type ForwarderStats,
  type ForwarderTable,
  formatListen,
  type Hello,
} from './control/messages.ts';
import { ForwarderError } from './errors.ts';
import type { ForwarderOptions } from './run-forwarder.ts';
import { type ManagedForwarderOptions, startForwarder } from './start-forwarder.ts';
import { changesBetween } from './table-changes.ts';

export interface ForwarderState {
  /** The forwarder that is given the stated table; absent when none runs. */
  readonly pid?: number;
  /** Why none has it. */
  readonly lastError?: string;
  readonly hint?: string;
  /** How often one was started, since `run`. */
  readonly starts: number;
}

/** Milliseconds after one that did not start; doubled each time. */
const FIRST_DELAY = 100;
/** Milliseconds between two questions whether it works, and for the answer: a program that is stopped has no end to notice. */
const CHECK_INTERVAL = 5000;
const CHECK_PATIENCE = 5000;
/** One that lived as long as this did not fail to start. */
const PROVEN = 2000;

export class ManagedForwarder {
  readonly #options: ManagedForwarderOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** undefined until it was stated: a forwarder that is adopted goes on with what it has. */
  readonly #wanted = new Watchable<ForwarderTable | undefined>(undefined);
  /** What the forwarder has; undefined until it has been told. */
  readonly #has = new Watchable<ForwarderTable | undefined>(undefined);
  readonly state = new Watchable<ForwarderState>({ starts: 0 });
  #client: ForwarderClient | undefined;
  /** Ends the connection to the one that runs. */
  #over = new AbortController();
  /** When it began, on the monotonic clock. */
  #since = 0;

  constructor(options: ManagedForwarderOptions, clock: Clock, log: Logger) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
  }

  /** States the table; the forwarder follows, and `state` does not wait for it. */
  setTable(table: ForwarderTable): void {
    this.#wanted.set(table);
  }

  /** Resolves when the forwarder has the table that was stated last. @throws the signal's reason */
  async inSync(signal: AbortSignal): Promise<void> {
    await this.#has.until(table => table !== undefined && table === this.#wanted.value, signal);
  }

  /** Counters; undefined when no forwarder runs. @throws ForwarderError */
  async stats(): Promise<ForwarderStats | undefined> {
    return this.#client?.stats();
  }

  /**
   * This host does not have the device, so that whatever the forwarder has open is elsewhere: under another name, or in
   * another network namespace. Another forwarder makes a new one. What was seen before one has settled does not count.
   */
  replaceWithoutDevice(): void {
    if (this.#client === undefined || this.#clock.monotonic() - this.#since < PROVEN) return;
    const { device } = this.#options;
    this.#over.abort(new ForwarderError('FORWARDER_MISPLACED', `${device} was renamed or moved away`));
  }

  /** Works until `signal` aborts; the forwarder continues then. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const delay of backoff(FIRST_DELAY, 10_000)) {
        const began = this.#clock.monotonic();
        await this.#control(signal).catch((error: unknown) => this.#failed(error, signal));
        if (signal.aborted) return;
        if (this.#clock.monotonic() - began > PROVEN) break;
        // The first delay is shorter: then at once, because it may have been killed.
        if (delay > FIRST_DELAY) await this.#clock.sleep(delay, signal).catch(() => undefined);
      }
    }
  }

  /** From a connection to its end. */
  async #control(signal: AbortSignal): Promise<void> {
    using client = (await this.#adopt(signal)) ?? (await this.#start(signal));
    const over = new AbortController();
    this.#over = over;
    this.#since = this.#clock.monotonic();
    void client.closed.then(() =>
      over.abort(new ForwarderError('FORWARDER_ENDED', 'the forwarder has ended')),
    );
    try {
      this.#client = client;
      await together(
        AbortSignal.any([signal, over.signal]),
        until => this.#follow(client, until),
        until => this.#checkRegularly(client, until),
      );
      if (!signal.aborted) throw over.signal.reason;
    } catch (error) {
      // It would not let go of device and sockets when asked, or is not to be adopted again.
      if (isCode(error, 'FORWARDER_SILENT', 'FORWARDER_MISPLACED')) await endProcess(client.hello.process, 0);
      throw error;
    } finally {
      this.#client = undefined;
    }
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const { starts, pid } = this.state.value;
    this.#log.warn({ device: this.#options.device, pid, error: messageOf(error) }, 'no forwarder');
    const hint = error instanceof TulleError ? error.hint : undefined;
    this.state.set({ starts, lastError: messageOf(error), ...defined({ hint }) });
  }

  /** @throws ForwarderError FORWARDER_SILENT */
  async #checkRegularly(client: ForwarderClient, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(CHECK_INTERVAL, signal).catch(() => undefined);
      if (!signal.aborted) await client.check(CHECK_PATIENCE);
    }
  }

  /** Whatever is stated, the forwarder gets, until `signal` aborts. */
  async #follow(client: ForwarderClient, signal: AbortSignal): Promise<void> {
    let has: ForwarderTable | undefined;
    this.#has.set(has);
    const { pid } = client.hello.process;
    for await (const table of this.#wanted.changes(signal)) {
      this.state.set({ starts: this.state.value.starts, pid });
      if (table === undefined) continue;
      const changes = has === undefined ? undefined : changesBetween(has, table);
      if (changes === undefined) await client.setTable(table);
      else {
        for (const subnet of changes.deleted) await client.deleteRoute(subnet);
        for (const route of changes.set) await client.setRoute(route);
      }
      has = table;
      this.#has.set(table);
    }
  }

  /** One that runs already, if it is what is wanted. */
  async #adopt(signal: AbortSignal): Promise<ForwarderClient | undefined> {
    try {
      const client = await ForwarderClient.connect(this.#options.control, signal);
      if (isWanted(client.hello, this.#options)) return client;
      this.#log.info({ found: client.hello }, 'the forwarder that runs is replaced');
      client[Symbol.dispose]();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCode(error, 'FORWARDER_NOT_RUNNING'))
        this.#log.warn({ error: messageOf(error) }, 'a forwarder is replaced');
    }
    return undefined;
  }

  /** A new one, which takes over from one that runs. */
  async #start(signal: AbortSignal): Promise<ForwarderClient> {
    const onStarted = () => this.state.set({ ...this.state.value, starts: this.state.value.starts + 1 });
    return await startForwarder(this.#options, onStarted, signal);
  }
}

/** The forwarder at a control socket; undefined when none runs there. @throws ForwarderError */
export async function findForwarder(control: string): Promise<Hello | undefined> {
  try {
    using client = await ForwarderClient.connect(control);
    return client.hello;
  } catch (error) {
    if (isCode(error, 'FORWARDER_NOT_RUNNING')) return undefined;
    throw error;
  }
}

/** Ends the forwarder at a control socket, if there is one. @throws ForwarderError */
export async function stopForwarder(control: string): Promise<void> {
  try {
    using client = await ForwarderClient.connect(control);
    await client.stop();
  } catch (error) {
    if (!isCode(error, 'FORWARDER_NOT_RUNNING')) throw error;
  }
}

function isWanted(hello: Hello, { device, listen, mtu }: ForwarderOptions): boolean {
  return (
    hello.control === CONTROL_VERSION &&
    hello.version === packageVersion() &&
    hello.device === device &&
    hello.mtu === mtu &&
    hello.listen.join() === listen.map(({ ip, port }) => formatListen(ip, port)).join()
  );
}
