/**
 * The commands of this host in their order:
 *
 *     prepare    PreStartupCommand, whose output is part of the plan
 *     set up     PostStartupCommand, when the plan is in use with a lease, and again when that changes
 *     table      SubnetAddCommand and SubnetRemoveCommand, once the host is set up
 *     leave      SubnetRemoveCommand for every peer and ShutdownCommand, when another backend is in use alone
 *
 * What fails is tried again, and reported meanwhile.
 */
import { together } from '../base/abort.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Watchable } from '../base/watchable.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import { readCommandRecord, writeCommandRecord } from './command-record.ts';
import { CommandTable } from './command-table.ts';
import { runCommand } from './run-command.ts';

/** Milliseconds between two tries. */
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 60_000;

/** What this host needs beside its peers. */
export interface HostSetup {
  /** Distinguishes what was done before: when that is done again, so is this. */
  readonly run?: number;
  /** Name of the link that entries of peers belong to. */
  readonly link: string;
  readonly startup?: HostCommand;
  readonly shutdown?: HostCommand;
}

export interface HostExtensionOptions {
  /** Where it is remembered what was made. */
  readonly recordFile: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Why this host is not set up, or not left; undefined when it is. */
  readonly onFailure: (reason: string | undefined) => void;
}

export class HostExtension implements AsyncDisposable {
  readonly #options: HostExtensionOptions;
  readonly table: CommandTable;
  readonly #wanted = new Watchable<{ readonly setup: HostSetup | undefined } | undefined>(undefined);
  readonly #stop = new AbortController();
  #shutdown: HostCommand | undefined;
  /** What was done last, as text. */
  #done: string | undefined;
  /** Nothing is written before it was read. */
  readonly #loaded: Promise<void>;
  #saving: Promise<void> | undefined;
  #saveNext: Promise<void> | undefined;

  constructor(options: HostExtensionOptions) {
    this.#options = options;
    this.table = new CommandTable({
      ...options,
      run: command => this.#run(command, this.#stop.signal),
      loaded: () => this.#loaded,
      remember: () => this.#save(),
    });
    this.#loaded = this.#load();
  }

  /** Runs a command that a plan needs. @returns its output @throws HostCommandError; `signal.reason` */
  async prepare(command: HostCommand, signal: AbortSignal): Promise<string> {
    return this.#run(command, signal);
  }

  /** States what the plan in use wants; undefined when it wants no commands. */
  use(setup: HostSetup | undefined): void {
    this.#wanted.set({ setup });
  }

  /** Sets up and leaves as it was stated, until `signal` aborts. What was made stays. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#stop.abort(signal.reason), { once: true });
    await this.#loaded;
    await together(
      signal,
      until => this.table.run(until),
      until => this.#follow(until),
    );
  }

  /** Ends what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.table.settled();
    await this.#save();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const wanted of this.#wanted.changes(signal)) {
      if (wanted === undefined) continue;
      const { setup } = wanted;
      const [text, work] =
        setup === undefined
          ? ['', () => this.#leave(signal)]
          : [JSON.stringify([setup.run, setup.link, setup.startup]), () => this.#setUp(setup, signal)];
      if (setup !== undefined) this.#shutdown = setup.shutdown;
      if (text === this.#done) continue;
      this.#done = undefined;
      this.table.setObstacle('this host is not set up for peers yet');
      if (await this.#untilDone(work, () => this.#wanted.value !== wanted, signal)) this.#done = text;
    }
  }

  /** Whether it was done; not, when something else is wanted meanwhile. */
  async #untilDone(work: () => Promise<void>, isOver: () => boolean, signal: AbortSignal): Promise<boolean> {
    for (const delay of backoff(FIRST_DELAY, LONGEST_DELAY)) {
      try {
        await work();
        this.#options.onFailure(undefined);
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        this.#options.onFailure(messageOf(error));
        this.table.setObstacle(messageOf(error));
      }
      const changed = this.#wanted.until(isOver, signal).catch(() => undefined);
      await Promise.race([this.#options.clock.sleep(delay, signal).catch(() => undefined), changed]);
      if (isOver() || signal.aborted) return false;
    }
    return false;
  }

  async #setUp({ link, startup }: HostSetup, signal: AbortSignal): Promise<void> {
    this.table.assign(link);
    await this.#save();
    if (startup !== undefined) await this.#run(startup, signal);
    this.table.setObstacle(undefined);
  }

  async #leave(signal: AbortSignal): Promise<void> {
    await this.table.removeAll();
    const left = this.table.entries.length;
    if (left > 0) throw new Error(`SubnetRemoveCommand has failed for ${left} of the former peers`);
    if (this.#shutdown !== undefined) await this.#run(this.#shutdown, signal);
    this.#shutdown = undefined;
    await this.#save();
  }

  async #run(command: HostCommand, signal: AbortSignal): Promise<string> {
    const { logger, clock } = this.#options;
    const started = clock.monotonic();
    const output = await runCommand(command, AbortSignal.any([signal, this.#stop.signal]));
    logger.debug({ command: command.name, ms: Math.round(clock.monotonic() - started) }, 'a command has run');
    return output;
  }

  async #load(): Promise<void> {
    const { recordFile: path, logger } = this.#options;
    try {
      const { shutdown, entries } = await readCommandRecord(path);
      this.#shutdown = shutdown;
      this.table.adopt(entries);
    } catch (error) {
      logger.warn({ path, error: messageOf(error) }, 'what commands have made before is not known');
    }
  }

  /** Writes are not made at the same time; many that wait are one. */
  #save(): Promise<void> {
    this.#saveNext ??= (async () => {
      await this.#loaded;
      await this.#saving;
      this.#saving = this.#saveNext;
      this.#saveNext = undefined;
      const { recordFile: path, logger } = this.#options;
      const shutdown = this.#shutdown;
      try {
        await writeCommandRecord(path, { ...(shutdown && { shutdown }), entries: this.table.entries });
      } catch (error) {
        logger.warn({ path, error: messageOf(error) }, 'what commands have made could not be written down');
      }
    })();
    return this.#saveNext;
  }
}
