/**
 * Group commit: what is submitted in one turn of the event loop runs in order in one SQLite transaction, and is
 * answered when that transaction is on the disk.
 *
 *     submit -> run the group, COMMIT -> waiting -> flush (fsync) -> settled: events go out, jobs are answered
 *                                            \-> the next groups run meanwhile
 *
 * The fsync happens in another thread while the next group runs here, so the disk and this thread work at the same
 * time; groups that finish during an fsync share the next one. A lonely small group is flushed at once in this
 * thread: that is quicker than a hop to another. What only reads is answered when everything it may have seen is
 * on the disk, which without writes is at once.
 *
 * A job returns its answer or throws; a throw is that job's own answer and touches no other. A job that has written
 * must not fail: requests are checked before they write. When one does all the same (PartialWriteError), or the COMMIT
 * fails, nothing of the group happened: every job gets the error, and `onRollback` lets the parts take their state
 * from the tables again. When an fsync fails, what is on the disk is unknown: from then on every job is refused, and
 * `onDiskFailed` ends the process. The next start reads the files and finds out (sqlite/examination.ts).
 *
 * What a full disk refuses may go through later, so after a COMMIT that failed the next group is tried; until one
 * succeeds, `failure` says why not.
 */
import { DatabaseError } from '../sqlite/database-error.ts';

/** Thrown by a job that failed after it had written; the whole group is undone. */
export class PartialWriteError extends Error {
  constructor(cause: unknown) {
    super('a request failed half way', { cause });
    this.name = 'PartialWriteError';
  }
}

export interface Transactional {
  begin(): void;
  /** What was done since `begin` is now visible, and not yet durable. */
  commit(): void;
  rollback(): void;
  /** Makes everything committed so far durable. */
  flush(): Promise<void>;
  /** The same, in this thread. */
  flushNow(): void;
}

export interface CommitHooks {
  /** After a COMMIT; what it returns is called when that commit is durable, before the answers. */
  onCommit(): () => void;
  onRollback(): void;
  /** After an fsync that failed; no job runs any more. */
  onDiskFailed(error: DatabaseError): void;
}

/** `alone`: in no transaction, and with no other job. */
type Kind = 'read' | 'write' | 'alone';

interface Job {
  readonly run: () => unknown;
  readonly kind: Kind;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome =
  | { readonly ok: true; readonly answer: unknown }
  | { readonly ok: false; readonly error: unknown };

/** A group that has run and waits for the disk. */
interface Group {
  readonly jobs: readonly Job[];
  readonly outcomes: readonly Outcome[];
  readonly onDurable: (() => void) | undefined;
}

/** Jobs in one transaction; more wait for the next, so that a commit stays a matter of milliseconds. */
const MAX_GROUP = 1024;
/** Jobs up to which a group is flushed in this thread, when no flush is under way. */
const SMALL_GROUP = 4;

export class CommitQueue {
  readonly #store: Transactional;
  readonly #hooks: CommitHooks;
  #jobs: Job[] = [];
  #scheduled = false;
  /** Committed, and not in the flush that is under way. */
  #waiting: Group[] = [];
  /** Settled by the flush that is under way. */
  #flushing: Group[] | undefined;
  #broken: DatabaseError | undefined;
  #failure: DatabaseError | undefined;

  constructor(store: Transactional, hooks: CommitHooks) {
    this.#store = store;
    this.#hooks = hooks;
  }

  /** Why the last group could not be written, or nothing works any more; undefined when all is well. */
  get failure(): Error | undefined {
    return this.#broken ?? this.#failure;
  }

  /** Runs a job that changes something. */
  write<T>(run: () => T): Promise<T> {
    return this.#submit(run, 'write');
  }

  /** Runs a job that only reads; it sees every write submitted before it. */
  read<T>(run: () => T): Promise<T> {
    return this.#submit(run, 'read');
  }

  /** Runs a job outside of any transaction. */
  alone<T>(run: () => T): Promise<T> {
    return this.#submit(run, 'alone');
  }

  #submit<T>(run: () => T, kind: Kind): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ run, kind, resolve: answer => resolve(answer as T), reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const jobs = this.#jobs.splice(0, this.#groupSize());
      if (this.#jobs.length > 0) this.#schedule();
      this.#run(jobs);
    });
  }

  #groupSize(): number {
    const alone = this.#jobs.findIndex(({ kind }) => kind === 'alone');
    return alone === 0 ? 1 : Math.min(alone === -1 ? this.#jobs.length : alone, MAX_GROUP);
  }

  #run(jobs: readonly Job[]): void {
    const outcomes: Outcome[] = [];
    let open = false;
    let onDurable: (() => void) | undefined;
    try {
      if (this.#broken !== undefined) throw this.#broken;
      for (const { run, kind } of jobs) {
        if (kind === 'write' && !open) {
          this.#store.begin();
          open = true;
        }
        outcomes.push(attempt(run));
      }
      if (open) {
        this.#store.commit();
        this.#failure = undefined;
        onDurable = this.#hooks.onCommit();
      }
    } catch (error) {
      const cause = error instanceof PartialWriteError ? error.cause : error;
      if (cause instanceof DatabaseError) this.#failure = cause;
      this.#store.rollback();
      this.#hooks.onRollback();
      for (const { reject } of jobs) reject(error);
      return;
    }
    const group = { jobs, outcomes, onDurable };
    if (open) this.#await(group);
    else if (this.#waiting.length > 0) this.#waiting.push(group);
    else if (this.#flushing !== undefined) this.#flushing.push(group);
    else settle(group);
  }

  /** A group that has written: it is settled once it is durable. */
  #await(group: Group): void {
    this.#waiting.push(group);
    if (this.#flushing !== undefined) return;
    if (group.jobs.length > SMALL_GROUP || this.#jobs.length > 0) {
      void this.#flush();
      return;
    }
    try {
      this.#store.flushNow();
      this.#settleAll(this.#takeWaiting());
    } catch (error) {
      this.#break(error, this.#takeWaiting());
    }
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const groups = this.#takeWaiting();
      this.#flushing = groups;
      try {
        await this.#store.flush();
        this.#flushing = undefined;
        this.#settleAll(groups);
      } catch (error) {
        this.#flushing = undefined;
        this.#break(error, [...groups, ...this.#takeWaiting()]);
      }
    }
  }

  #takeWaiting(): Group[] {
    const groups = this.#waiting;
    this.#waiting = [];
    return groups;
  }

  #settleAll(groups: readonly Group[]): void {
    for (const group of groups) settle(group);
  }

  #break(error: unknown, groups: readonly Group[]): void {
    const broken = new DatabaseError('DISK_FAILED', 'the store can no longer write to its disk', {
      cause: error,
      hint: 'check the health of the disk; the store examines its files at the next start',
    });
    this.#broken = broken;
    for (const { jobs } of groups) for (const { reject } of jobs) reject(error);
    this.#hooks.onDiskFailed(broken);
  }
}

function settle({ jobs, outcomes, onDurable }: Group): void {
  onDurable?.();
  for (const [index, { resolve, reject }] of jobs.entries()) {
    const outcome = outcomes[index];
    if (outcome?.ok === true) resolve(outcome.answer);
    else reject(outcome?.error);
  }
}

function attempt(run: () => unknown): Outcome {
  try {
    return { ok: true, answer: run() };
  } catch (error) {
    if (error instanceof PartialWriteError) throw error;
    return { ok: false, error };
  }
}
