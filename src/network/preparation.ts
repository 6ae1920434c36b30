/**
 * The command that the newest configuration needs to have run before a plan can be made of it. Its output is one of the
 * inputs of the plan. It runs again only when it is another one, or gets other values; a failure is tried again.
 */
import type { CommandResult, CommandResults } from '../backend/backend.ts';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { Watchable } from '../base/watchable.ts';
import type { HostCommand } from '../dataplane/tables/commands.ts';
import type { PlanRefusal } from './host-plan.ts';

/** Milliseconds between two tries. */
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 60_000;

interface Runner {
  /** Runs a command. @returns its output */
  prepare(command: HostCommand, signal: AbortSignal): Promise<string>;
}

export class Preparation implements CommandResults {
  readonly #clock: Clock;
  /** The command and its values, as text. */
  readonly #wanted = new Watchable<{ readonly command: HostCommand; readonly text: string } | undefined>(
    undefined,
  );
  #result: (CommandResult & { readonly text: string }) | undefined;
  #failure: { readonly text: string; readonly reason: string } | undefined;
  #runs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  resultOf(command: HostCommand): CommandResult | undefined {
    return this.#result?.text === JSON.stringify(command) ? this.#result : undefined;
  }

  /** States what is to be run; undefined when nothing is. */
  want(command: HostCommand | undefined): void {
    const text = JSON.stringify(command);
    if (text !== this.#wanted.value?.text) this.#wanted.set(command && { command, text });
  }

  /** Why the configuration that needs this command cannot be used yet. */
  refusalOf(command: HostCommand): PlanRefusal {
    const failed = this.#failure?.text === JSON.stringify(command) ? this.#failure : undefined;
    const failure =
      failed === undefined
        ? { code: 'COMMAND_RUNNING', reason: `${command.name} is running` }
        : {
            code: 'COMMAND_FAILED',
            reason: `the network configuration cannot be used: ${failed.reason}`,
            hint: `correct Backend.${command.name}, or what it needs on this host; the agent tries again by itself`,
          };
    return { failure, problems: [] };
  }

  /**
   * Runs what is wanted until `signal` aborts.
   * @param runner undefined where no commands are run, and none is wanted
   * @param onOutcome there is a result, or a failure
   */
  async run(runner: Runner | undefined, onOutcome: () => void, signal: AbortSignal): Promise<void> {
    if (runner === undefined) return;
    for await (const wanted of this.#wanted.changes(signal)) {
      if (wanted === undefined) continue;
      const isOver = () => this.#wanted.value !== wanted;
      for (const delay of backoff(FIRST_DELAY, LONGEST_DELAY)) {
        if (await this.#isRun(wanted, runner, signal)) {
          onOutcome();
          break;
        }
        if (signal.aborted) return;
        onOutcome();
        if (isOver()) break;
        const changed = this.#wanted.until(isOver, signal);
        await Promise.race([this.#clock.sleep(delay, signal), changed]).catch(() => undefined);
        if (isOver() || signal.aborted) break;
      }
    }
  }

  async #isRun(
    { command, text }: { readonly command: HostCommand; readonly text: string },
    runner: Runner,
    signal: AbortSignal,
  ): Promise<boolean> {
    // A try may undo what an earlier one has made, of whatever configuration.
    this.#result = undefined;
    try {
      const output = await runner.prepare(command, signal);
      this.#result = { text, output, run: this.#runs++ };
      this.#failure = undefined;
      return true;
    } catch (error) {
      this.#failure = { text, reason: messageOf(error) };
      return false;
    }
  }
}
