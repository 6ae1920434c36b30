/**
 * The parts of the store wired together: what the services are made of. Owns the database and the timers.
 */
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { AlarmType } from '../store/wire/generated/maintenance_pb.ts';
import { Access } from './auth/access.ts';
import { AuthStore } from './auth/auth-store.ts';
import type { Authorizer } from './auth/authorizer.ts';
import { Passwords } from './auth/passwords.ts';
import { RestrictedAccess } from './auth/restricted-access.ts';
import { Tokens } from './auth/tokens.ts';
import { identityOf } from './identity.ts';
import { Lessor } from './lease/lessor.ts';
import { CommitQueue, PartialWriteError } from './mvcc/commit-queue.ts';
import { type Commit, Mvcc, type MvccWriter } from './mvcc/mvcc.ts';
import { Checkpointer } from './sqlite/checkpointer.ts';
import { Database } from './sqlite/database.ts';
import { Quota } from './sqlite/quota.ts';
import { Tables } from './sqlite/tables.ts';
import { WatchHub } from './watch/watch-hub.ts';

export interface CoreOptions {
  /** The database file; made when it does not exist. */
  readonly path: string;
  readonly clock: Clock;
  /** Bytes of the database file; undefined: no limit. */
  readonly quota: bigint | undefined;
  /** Milliseconds between progress reports. */
  readonly progressMs: number;
  readonly log: Logger;
  /** Decides what callers with certain certificates may write. */
  readonly authorizer?: Authorizer;
  /** Called when an fsync failed, so that what is on the disk is unknown: ends the process, without closing the file. */
  readonly onDiskFailed: (error: Error) => void;
}

/** What the name of the copy for a snapshot ends with. */
export const SNAPSHOT_SUFFIX = '.snapshot';

/** A single member is its own leader, and was elected once. */
export const RAFT_TERM = 2n;

const LEASE_TICK_MS = 250;
const CHECKPOINT_MS = 5_000;
/** About how many pages of log a change takes, and a group besides its changes. */
const PAGES_PER_CHANGE = 2;
const PAGES_PER_GROUP = 3;
/** Groups after which the log is found too short, and the time between the steps in which it grows. */
const EXTEND_AFTER = 200;
const EXTEND_MS = 20;

export class Core implements AsyncDisposable {
  readonly database: Database;
  readonly mvcc: Mvcc;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly auth: AuthStore;
  readonly tokens: Tokens;
  readonly passwords = new Passwords();
  readonly access: Access;
  readonly quota: Quota;
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly #authorizer: Authorizer | undefined;
  readonly #queue: CommitQueue;
  readonly #log: Logger;
  readonly #checkpointer: Checkpointer;
  readonly #timers: NodeJS.Timeout[];
  /** Commits of the group that runs. */
  #commits: Commit[] = [];
  readonly #listeners: ((seconds: number) => void)[] = [];
  /** The reason of the last failure that was logged, by what was tried. */
  readonly #reported = new Map<string, string>();
  #groups = 0;
  #extending: NodeJS.Timeout | undefined;
  #closed = false;

  /** @throws DatabaseError */
  constructor({ path, clock, log, quota, progressMs, authorizer, onDiskFailed }: CoreOptions) {
    this.#log = log;
    removeLeftovers(path);
    this.database = Database.open(path);
    const tables = new Tables(this.database);
    ({ clusterId: this.clusterId, memberId: this.memberId } = identityOf(tables));
    this.mvcc = new Mvcc(tables);
    this.lessor = new Lessor(this.database, tables, clock);
    this.hub = new WatchHub(this.mvcc);
    this.auth = new AuthStore(this.database, tables);
    this.tokens = new Tokens(clock);
    this.#authorizer = authorizer;
    this.#resetAuthorizer();
    const keysOfLease = (id: bigint) => this.mvcc.keysOfLease(id);
    const get = (key: Uint8Array) => tables.get(key);
    const restricted =
      authorizer && new RestrictedAccess({ authorizer, lessor: this.lessor, keysOfLease, get });
    this.access = new Access({ auth: this.auth, tokens: this.tokens, restricted, keysOfLease });
    this.quota = new Quota(this.database, tables, quota);
    this.#queue = new CommitQueue(this.database, {
      onCommit: () => this.#committed(),
      onRollback: () => this.#reload(),
      onDiskFailed,
    });
    this.#checkpointer = new Checkpointer(this.database, error => this.#reportOnce('checkpoint', error));
    this.#timers = [
      setInterval(() => this.#expireLeases(), LEASE_TICK_MS),
      setInterval(() => this.#checkpointLeases(), CHECKPOINT_MS),
      setInterval(() => this.hub.reportProgress(), progressMs),
    ];
    this.sweepAlone();
  }

  /** Why the store does not serve, for a probe; empty when it does. */
  get problems(): string[] {
    const alarms = [...this.quota.alarms].map(alarm =>
      alarm === AlarmType.NOSPACE ? 'ALARM NOSPACE' : 'ALARM CORRUPT',
    );
    const { damage, removal } = this.database;
    const failures = [this.#queue.failure, damage, removal].filter(error => error !== undefined);
    return [...alarms, ...new Set(failures.map(messageOf))];
  }

  /** What every answer begins with; without a `revision` it is that of the state a job sees. */
  header(revision = this.mvcc.revision) {
    return { clusterId: this.clusterId, memberId: this.memberId, revision, raftTerm: RAFT_TERM };
  }

  /** Runs a job that reads, in order with the writes around it; answered when what it saw is durable. */
  read<T>(job: () => T): Promise<T> {
    return this.#queue.read(() => this.database.attempt(job));
  }

  /** Runs a job that changes keys; its changes are one revision. */
  write<T>(job: (writer: MvccWriter) => T): Promise<T> {
    return this.#queue.write(() => {
      const writer = this.mvcc.write();
      try {
        const answer = this.database.attempt(() => job(writer));
        const commit = this.mvcc.finish(writer);
        if (commit !== undefined) {
          this.#commits.push(commit);
          for (const change of commit.changes) this.#authorizer?.follow(change);
        }
        return answer;
      } catch (error) {
        throw writer.changed ? new PartialWriteError(error) : error;
      }
    });
  }

  /** Runs a job that changes something besides keys. */
  update<T>(job: () => T): Promise<T> {
    return this.#queue.write(() => this.database.attempt(job));
  }

  /** Runs a job outside of any transaction, with no other job. */
  alone<T>(job: () => T): Promise<T> {
    return this.#queue.alone(job);
  }

  /** The listener is called with the seconds that it took to make each group durable. */
  onCommit(listener: (seconds: number) => void): void {
    this.#listeners.push(listener);
  }

  /** Deletes what a compaction left over, a little per turn of the event loop. */
  async sweep(): Promise<void> {
    while (this.mvcc.sweeping && !this.#closed) await this.update(() => this.mvcc.sweep());
  }

  /** The same in the background; what fails now is swept after the next compaction. */
  sweepAlone(): void {
    this.sweep().catch((error: unknown) => this.#reportOnce('remove old history', error));
  }

  /** Waits for what was submitted, writes down the leases' time, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearInterval(this.#extending);
    await this.update(() => this.lessor.checkpoint()).catch((error: unknown) =>
      this.#reportOnce('save the leases', error),
    );
    await this.#checkpointer[Symbol.asyncDispose]();
    this.database[Symbol.dispose]();
  }

  /** @returns what is to be done when the group is durable: no change is published that could still be undone. */
  #committed(): () => void {
    const start = performance.now();
    this.database.reached(this.mvcc.revision);
    const commits = this.#commits;
    const changes = commits.reduce((sum, commit) => sum + commit.changes.length, 0);
    this.#checkpointer.wrote(PAGES_PER_GROUP + PAGES_PER_CHANGE * changes);
    this.#commits = [];
    if (++this.#groups % EXTEND_AFTER === 0) this.#extendLog();
    return () => {
      this.#reported.clear();
      for (const commit of commits) this.hub.publish(commit);
      const seconds = (performance.now() - start) / 1000;
      for (const listener of this.#listeners) listener(seconds);
    };
  }

  #reload(): void {
    this.#commits = [];
    this.mvcc.reload();
    this.lessor.reload();
    this.auth.reload();
    this.quota.reload();
    this.#resetAuthorizer();
  }

  #resetAuthorizer(): void {
    if (this.#authorizer === undefined) return;
    const range = { ...this.#authorizer.keys, single: false };
    const all = { range, revision: 0n, limit: 0n, keysOnly: false, countOnly: false };
    this.#authorizer.reset(this.mvcc.range(all).kvs);
  }

  /** A step at a time, and not for a store that is hardly written to. */
  #extendLog(): void {
    this.#extending ??= setInterval(() => {
      try {
        if (!this.database.extendLog()) return;
      } catch (error) {
        this.#reportOnce('extend the log', error);
      }
      clearInterval(this.#extending);
      this.#extending = undefined;
    }, EXTEND_MS);
  }

  #expireLeases(): void {
    for (const id of this.lessor.due()) {
      // The lease may be revoked by a client while this job waits for its turn.
      const expire = (writer: MvccWriter) => this.lessor.has(id) && this.lessor.revoke(id, writer);
      this.write(expire).catch((error: unknown) => this.#reportOnce('expire a lease', error));
    }
  }

  #checkpointLeases(): void {
    // After a failure it is also the attempt that finds out whether the disk takes writes again.
    if (!this.lessor.needsCheckpoint && this.#queue.failure === undefined) return;
    this.update(() => this.lessor.checkpoint()).catch((error: unknown) =>
      this.#reportOnce('save the leases', error),
    );
  }

  /** Once for each reason, until something could be done again: a full disk would fill the log as well. */
  #reportOnce(what: string, error: unknown): void {
    const reason = messageOf(error);
    if (this.#reported.get(what) === reason) return;
    this.#reported.set(what, reason);
    this.#log.error({ error: reason }, `could not ${what}; it will be tried again`);
  }
}

/** Copies for snapshots that a crash has left. */
function removeLeftovers(path: string): void {
  for (const name of readdirSync(dirname(path))) {
    if (name.startsWith(basename(path)) && name.endsWith(SNAPSHOT_SUFFIX)) rmSync(join(dirname(path), name));
  }
}
