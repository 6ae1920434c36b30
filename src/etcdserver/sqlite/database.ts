/**
 * The SQLite file under the store: opening it safely, and the numbers it keeps about itself.
 *
 * A COMMIT appends to the write-ahead log, and `flush` is the fsync of that log: what is answered after it
 * survives a power cut. SQLite would do the same fsync by itself inside COMMIT (synchronous=FULL), but in this thread,
 * which has better things to do meanwhile; so it runs with synchronous=NORMAL, in which it still orders its own
 * writes (log before database, database before the log starts over), and the fsync before the answer is ours.
 *
 * The log is extended with zeros before it is needed: an fsync after writing into a file is about twice as quick as one
 * after making it longer, which has to change the file's length on the disk too. To SQLite the zeros are frames with a
 * wrong checksum, where a log ends.
 *
 * Two stores on one directory would each believe to be the only one. SQLite would let them: so there is a second,
 * empty database beside the first, which is locked as long as this process lives.
 *
 * SQLite repairs a torn write by itself: it was never acknowledged, and is ignored. Everything else that may have
 * happened to the files is looked for before they are opened (examination.ts), by what was acknowledged (acknowledged.ts)
 * and by checksums; what is not as it was written is refused, and the files are left as they are.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  openSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { type Acknowledged, AcknowledgedFile, NOTHING_YET, readAcknowledged } from './acknowledged.ts';
import { RESTART_PAGES } from './checkpointer.ts';
import { DatabaseError, diskFailed, translated, translating } from './database-error.ts';
import { examine, withChecksums } from './examination.ts';
import { keepPrivate, lock, OpenFiles, syncDirectory } from './files.ts';
import { migrate, NEWEST_REVISION } from './schema.ts';
import { LogIndex, NOTHING } from './write-ahead-log.ts';

/** The log at its longest: that many pages with a frame header of 24 bytes, and what comes during a checkpoint. */
const LOG_BYTES = (RESTART_PAGES + 4096) * (4096 + 24);
/** A step takes a millisecond. */
const LOG_STEP_BYTES = 1024 * 1024;

/** How long to wait for the thread of Checkpointer, in milliseconds; in practice never. */
const BUSY_MS = 1000;
/** KiB of page cache. */
const CACHE_KIB = 32 * 1024;

/** Pages of one step of a copy; between two steps the store works. */
const COPY_PAGES = 256;

const syncInBackground = promisify(fdatasync);

export class Database implements Disposable {
  readonly path: string;
  readonly #db: DatabaseSync;
  /** Descriptor of the write-ahead log. SQLite holds its locks on other files, so closing this one loses none. */
  readonly #log: number;
  readonly #index: LogIndex;
  readonly #acknowledged: AcknowledgedFile;
  readonly #files: OpenFiles;
  /** The newest one committed. */
  #revision = 0n;
  #committedBytes: bigint;
  /** How often the log was emptied: what was in it before is not to be looked for any more. */
  #emptied = 0;
  #damage: DatabaseError | undefined;
  readonly #resources: DisposableStack;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #restart: StatementSync;
  readonly #pageCount: StatementSync;
  readonly #freePages: StatementSync;
  readonly #pageSize: bigint;

  /**
   * Examines the files, opens them, and makes or migrates the tables.
   * @param options `acceptLoss`: goes on with what is left when writes that were acknowledged are lost.
   * @throws DatabaseError
   */
  static open(path: string, { acceptLoss = false }: { readonly acceptLoss?: boolean } = {}): Database {
    return translating(path, () => new Database(path, acceptLoss));
  }

  /** Looks for what `open` would refuse, and changes nothing. @throws DatabaseError */
  static examine(path: string): void {
    translating(path, () => {
      using _ = lock(path);
      examine(path, false);
    });
  }

  private constructor(path: string, acceptLoss: boolean) {
    this.path = path;
    using undo = new DisposableStack();
    // SQLite gives its log and its index the mode of the database, and everything it makes what the umask leaves.
    for (const suffix of ['', '-wal', '-shm', '-ack']) {
      if (existsSync(`${path}${suffix}`)) chmodSync(`${path}${suffix}`, 0o600);
    }
    undo.use(lock(path));
    examine(path, acceptLoss);
    keepPrivate(path);
    this.#acknowledged = undo.use(new AcknowledgedFile(path));
    const before = acceptLoss ? undefined : readAcknowledged(path);
    if (before === undefined || before === 'damaged') this.#acknowledged.writeNow(NOTHING_YET);
    else this.#revision = before.revision;
    syncDirectory(dirname(path));
    this.#index = undo.use(new LogIndex(`${path}-shm`));
    this.#db = withChecksums(new DatabaseSync(path, { timeout: BUSY_MS }));
    undo.defer(() => this.#close());
    this.#db.exec('PRAGMA journal_mode = WAL');
    this.#db.exec('PRAGMA synchronous = NORMAL');
    // Checkpointer is to be first; this is for the case that it cannot.
    this.#db.exec(`PRAGMA wal_autocheckpoint = ${2 * RESTART_PAGES}`);
    this.#db.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    this.#db.exec('PRAGMA foreign_keys = ON');
    migrate(this.#db, path);
    this.#log = openSync(`${path}-wal`, 'r+');
    undo.defer(() => closeSync(this.#log));
    syncDirectory(dirname(path));
    this.#files = new OpenFiles([path, `${path}-wal`, `${path}-ack`]);
    this.#begin = this.#db.prepare('BEGIN IMMEDIATE');
    this.#commit = this.#db.prepare('COMMIT');
    this.#restart = this.prepare('PRAGMA wal_checkpoint(RESTART)');
    this.#pageCount = this.prepare('PRAGMA page_count');
    this.#freePages = this.prepare('PRAGMA freelist_count');
    this.#pageSize = this.prepare('PRAGMA page_size').get()?.['page_size'] as bigint;
    this.#committedBytes = this.#total();
    this.#revision = this.prepare(NEWEST_REVISION).get()?.['revision'] as bigint;
    // A file that can only be read is found now; and what a killed process has committed is made durable.
    this.begin();
    this.rollback();
    this.flushNow();
    this.#resources = undo.move();
  }

  /** What was found damaged while it was read; the next start examines everything. */
  get damage(): DatabaseError | undefined {
    return this.#damage;
  }

  /** Why nothing that is written now would last; files that come back are good again. */
  get removal(): DatabaseError | undefined {
    return this.#files.removal;
  }

  /** Runs a job that reads or writes. @throws DatabaseError for SQLite's errors and for damage, which is remembered. */
  attempt<T>(job: () => T): T {
    try {
      return job();
    } catch (error) {
      throw this.noted(error);
    }
  }

  /** The same for an error that was caught. */
  noted(error: unknown): Error {
    const noted = translated(this.path, error);
    if (noted instanceof DatabaseError && noted.code === 'CORRUPT_DATABASE') this.#damage ??= noted;
    return noted;
  }

  /** A statement whose integers are bigints: lease ids use all 64 bits. */
  prepare(sql: string): StatementSync {
    const statement = this.#db.prepare(sql);
    statement.setReadBigInts(true);
    return statement;
  }

  begin(): void {
    this.#begin.run();
  }

  /** Visible now, durable after `flush`. @throws DatabaseError, and nothing of it happened. */
  commit(): void {
    const { removal } = this.#files;
    if (removal !== undefined) throw removal;
    translating(this.path, () => {
      // Asked within the transaction it costs no locks of its own.
      const total = this.#total();
      this.#commit.run();
      this.#committedBytes = total;
    });
  }

  /** Bytes of the file, as of the newest commit. */
  get committedBytes(): bigint {
    return this.#committedBytes;
  }

  /** The commit made this revision the newest: when it is durable, it is recorded as acknowledged. */
  reached(revision: bigint): void {
    this.#revision = revision;
  }

  /** Everything committed so far is on the disk when this resolves, and recorded as acknowledged. */
  async flush(): Promise<void> {
    try {
      const committed = this.#committed();
      const emptied = this.#emptied;
      await syncInBackground(this.#log);
      if (emptied === this.#emptied) this.#acknowledged.write(committed);
    } catch (error) {
      throw diskFailed(this.path, error);
    }
  }

  /** The same, in this thread. */
  flushNow(): void {
    try {
      const committed = this.#committed();
      fdatasyncSync(this.#log);
      this.#acknowledged.write(committed);
    } catch (error) {
      throw diskFailed(this.path, error);
    }
  }

  #committed(): Acknowledged {
    return { revision: this.#revision, log: this.#index.position() };
  }

  /** Makes the log one step longer, up to the length at which it starts over. @returns whether that is reached. */
  extendLog(): boolean {
    const { size } = fstatSync(this.#log);
    if (size >= LOG_BYTES) return true;
    writeSync(this.#log, new Uint8Array(LOG_STEP_BYTES), 0, LOG_STEP_BYTES, size);
    return false;
  }

  rollback(): void {
    if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
  }

  /** Bytes of the file, and bytes of it that hold something. */
  size(): { readonly total: bigint; readonly inUse: bigint } {
    const total = this.#total();
    const free = this.#freePages.get()?.['freelist_count'] as bigint;
    return { total, inUse: total - free * this.#pageSize };
  }

  #total(): bigint {
    return (this.#pageCount.get()?.['page_count'] as bigint) * this.#pageSize;
  }

  /** Copies what is left of the log into the file, so that the log starts over with the next write. */
  finishCheckpoint(): void {
    translating(this.path, () => this.#restart.get());
  }

  /** Gives free pages back to the file system. Outside of a transaction only. */
  defragment(): void {
    translating(this.path, () => {
      this.#db.exec('VACUUM');
      if (this.#emptyLog()) this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      this.#committedBytes = this.#total();
    });
  }

  /** Writes a consistent copy to `target` while the store goes on. */
  async copyTo(target: string): Promise<void> {
    keepPrivate(target);
    await backup(this.#db, target, { rate: COPY_PAGES });
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** Brings everything into the database file and records that the log is not needed. @returns whether it is so. */
  #emptyLog(): boolean {
    if (this.#db.prepare('PRAGMA wal_checkpoint(RESTART)').get()?.['busy'] !== 0) return false;
    this.#acknowledged.writeNow({ revision: this.#revision, log: NOTHING });
    this.#emptied++;
    return true;
  }

  /** SQLite removes the log when it closes, so that must not be needed any more. */
  #close(): void {
    try {
      this.#emptyLog();
    } catch {
      // The disk takes nothing any more. SQLite then leaves the log as well.
    }
    this.#db.close();
  }
}
