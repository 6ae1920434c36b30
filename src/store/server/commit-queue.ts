/**
 * Group commit: what is submitted in one turn of the event loop runs in order in one SQLite transaction, costs one
 * fsync, and is answered after it.
 *
 * A job reads, or writes through the parts of the store, and returns its answer or throws; a throw is that job's
 * own answer and touches no other. A job that has written must not fail: requests are checked before they write.
 * When one does all the same (HalfDone), or the commit itself fails, nothing of the group happened: every job gets
 * the error, and `onRollback` lets the parts take their state from the tables again.
 */

/** Thrown by a job that failed after it had written; the whole group is undone. */
export class HalfDone extends Error {
  constructor(cause: unknown) {
    super('a request failed half way', { cause });
    this.name = 'HalfDone';
  }
}

export interface Transactional {
  begin(): void;
  /** Returns once everything since `begin` is durable. */
  commit(): void;
  rollback(): void;
}

export interface CommitHooks {
  /** After the commit and before the answers; the group took so long, fsync included. */
  onCommit(seconds: number): void;
  onRollback(): void;
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

/** Jobs in one transaction; more wait for the next, so that a commit stays a matter of milliseconds. */
const MAX_GROUP = 1024;

export class CommitQueue {
  readonly #store: Transactional;
  readonly #hooks: CommitHooks;
  #jobs: Job[] = [];
  #scheduled = false;

  constructor(store: Transactional, hooks: CommitHooks) {
    this.#store = store;
    this.#hooks = hooks;
  }

  /** Runs a job that changes something. */
  write<T>(run: () => T): Promise<T> {
    return this.#submit(run, 'write');
  }

  /** Runs a job that only reads; it sees every write submitted before it, and is answered after their commit. */
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
      const group = this.#jobs.splice(0, this.#groupSize());
      if (this.#jobs.length > 0) this.#schedule();
      this.#commit(group);
    });
  }

  #groupSize(): number {
    const alone = this.#jobs.findIndex(({ kind }) => kind === 'alone');
    return alone === 0 ? 1 : Math.min(alone === -1 ? this.#jobs.length : alone, MAX_GROUP);
  }

  #commit(group: readonly Job[]): void {
    const outcomes: Outcome[] = [];
    let open = false;
    const start = performance.now();
    try {
      for (const { run, kind } of group) {
        if (kind === 'write' && !open) {
          this.#store.begin();
          open = true;
        }
        outcomes.push(attempt(run));
      }
      if (open) this.#store.commit();
    } catch (error) {
      this.#store.rollback();
      this.#hooks.onRollback();
      for (const { reject } of group) reject(error);
      return;
    }
    if (open) this.#hooks.onCommit((performance.now() - start) / 1000);
    for (const [index, { resolve, reject }] of group.entries()) {
      const outcome = outcomes[index];
      if (outcome?.ok === true) resolve(outcome.answer);
      else reject(outcome?.error);
    }
  }
}

function attempt(run: () => unknown): Outcome {
  try {
    return { ok: true, answer: run() };
  } catch (error) {
    if (error instanceof HalfDone) throw error;
    return { ok: false, error };
  }
}
