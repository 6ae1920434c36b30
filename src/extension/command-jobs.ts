/**
 * Commands under way, a few at a time and one per subnet. Who asks waits a moment for the answer and is told later what
 * takes longer, so that a command that hangs delays nothing but itself.
 */
import { messageOf } from '../base/errors.ts';
import { increment, Watchable } from '../base/watchable.ts';

/** Commands that run at the same time. */
const AT_ONCE = 8;

export type CommandOutcome = Error | undefined;

/** What a command is run for. */
export interface JobPurpose {
  readonly subnet: string;
  /** What it is called: `SubnetAddCommand`. */
  readonly name: string;
  /** An outcome answers only who asks for the same. */
  readonly content: string;
}

interface Job extends JobPurpose {
  readonly ended: Promise<void>;
  /** Set when it has ended. */
  outcome?: { readonly error: CommandOutcome };
  /** Nobody waits for the answer. */
  isLate: boolean;
}

export class CommandJobs {
  readonly #jobs = new Map<string, Job>();
  /** How the last try for a subnet has failed, until one succeeds. */
  readonly #failures = new Map<string, string>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  /** Grows when one has ended that nobody waits for. */
  readonly lateEnds = new Watchable(0);

  /**
   * Begins the work, unless something is under way for the subnet already.
   *
   * @param patience settles when the answer is not waited for any longer
   * @returns why it failed: also that it is still running, and then asking again gives the outcome
   */
  async run(
    purpose: JobPurpose,
    patience: Promise<unknown>,
    work: () => Promise<void>,
  ): Promise<CommandOutcome> {
    const { subnet, name, content } = purpose;
    const job = this.#jobs.get(subnet) ?? this.#begin(purpose, work);
    await Promise.race([job.ended, patience]);
    if (job.outcome === undefined) {
      job.isLate = true;
      const failure = this.#failures.get(subnet);
      return new Error(`${job.name} is still running${failure === undefined ? '' : `; before, ${failure}`}`);
    }
    this.#forget(job);
    if (job.name === name && job.content === content) return job.outcome.error;
    // The next try is for this.
    return new Error(`${job.name} was running until now`);
  }

  #begin(purpose: JobPurpose, work: () => Promise<void>): Job {
    const ended = this.#inTurn(work, error => (job.outcome = { error }));
    const job: Job = { ...purpose, isLate: false, ended };
    this.#jobs.set(purpose.subnet, job);
    void ended.then(() => {
      const failure = job.outcome?.error?.message;
      if (failure === undefined) this.#failures.delete(job.subnet);
      else this.#failures.set(job.subnet, failure);
      if (!job.isLate) return;
      // Success is seen in what is held; a failure is told when it is asked for.
      if (failure === undefined) this.#forget(job);
      increment(this.lateEnds);
    });
    return job;
  }

  #forget(job: Job): void {
    if (this.#jobs.get(job.subnet) === job) this.#jobs.delete(job.subnet);
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await Promise.all(Array.from(this.#jobs.values(), ({ ended }) => ended));
  }

  async #inTurn(work: () => Promise<void>, onEnd: (error: CommandOutcome) => void): Promise<void> {
    if (this.#running >= AT_ONCE) await new Promise<void>(resolve => this.#waiting.push(resolve));
    else this.#running++;
    try {
      await work();
      onEnd(undefined);
    } catch (error) {
      onEnd(error instanceof Error ? error : new Error(messageOf(error)));
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
