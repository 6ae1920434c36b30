/**
 * A file of lines, to which each change adds one, so that a change costs the same however much there is. Now and then it is
 * written anew, with what is left of the changes.
 *
 *     const journal = new Journal(path, () => linesOfAll());
 *     for (const line of await journal.read()) apply(line);
 *     await journal.add(['{"ip":"10.9.1.2"}']);
 *
 * What was added outlives the process at once, and the power a moment later: an addition does not wait for the disk, because
 * what a machine was doing when it lost its power is lost as well. A last line that is cut off was never added.
 */
import { type FileHandle, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isCode } from '../base/errors.ts';
import { removeUnfinished, writeFileAtomic } from './file.ts';

/** The file is written anew when it has as many lines again as it had then, and these. */
const SPARE_LINES = 512;
/** Milliseconds. */
const SYNC_INTERVAL = 1000;
const MODE = { mode: 0o600, directoryMode: 0o700 };

export class Journal implements AsyncDisposable {
  readonly path: string;
  readonly #snapshot: () => readonly string[];
  #file: FileHandle | undefined;
  #lines = 0;
  #most = SPARE_LINES;
  /** What the file says is not what was added, or it may end with half a line: it is written anew with the next change. */
  #isWrong = false;
  #waiting: string[] = [];
  /** One write after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #sync: Promise<void> | undefined;
  #syncedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** @param snapshot lines that say the same as all that were added until now */
  constructor(path: string, snapshot: () => readonly string[]) {
    this.path = path;
    this.#snapshot = snapshot;
  }

  /** The whole lines of the file; none when there is no file. @throws Error when it cannot be read */
  async read(): Promise<readonly string[]> {
    await removeUnfinished(this.path);
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if (isCode(error, 'ENOENT')) return [];
      throw error;
    }
    const lines = text.split('\n');
    this.#isWrong = lines.pop() !== '';
    this.#lines = lines.length;
    this.#most = SPARE_LINES + lines.length;
    return lines;
  }

  /** Whether the file ends with half a line, or did when it was read. */
  get isCut(): boolean {
    return this.#isWrong;
  }

  /** The file is written anew with the next change, whatever it has now. */
  distrust(): void {
    this.#isWrong = true;
  }

  /** Adds lines: another process reads them from now on. @throws Error why they are in memory only; the next call tries again */
  add(lines: readonly string[]): Promise<void> {
    this.#waiting.push(...lines);
    const result = this.#queue.then(() => this.#flush());
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** Deletes the file; nothing is added afterwards. */
  async remove(): Promise<void> {
    await this[Symbol.asyncDispose]();
    await rm(this.path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue;
    await this.#sync;
    await this.#close();
  }

  /** All that waits goes in one write; who comes later finds nothing to do, or tries again what failed. */
  async #flush(): Promise<void> {
    const lines = this.#waiting;
    this.#waiting = [];
    if (lines.length === 0 && !this.#isWrong) return;
    try {
      if (this.#isWrong || this.#lines + lines.length > this.#most) await this.#rewrite();
      else {
        this.#file ??= await this.#open();
        await this.#file.appendFile(`${lines.join('\n')}\n`);
        this.#lines += lines.length;
        this.#syncLater();
      }
    } catch (error) {
      this.#isWrong = true;
      throw error;
    }
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.path), { recursive: true, mode: MODE.directoryMode });
    return open(this.path, 'a', MODE.mode);
  }

  async #rewrite(): Promise<void> {
    await this.#close();
    const lines = this.#snapshot();
    await writeFileAtomic(this.path, lines.map(line => `${line}\n`).join(''), MODE);
    this.#lines = lines.length;
    this.#most = 2 * lines.length + SPARE_LINES;
    this.#isWrong = false;
  }

  /** At most once in a second, and one at a time: what comes meanwhile is on the disk with the next one. */
  #syncLater(): void {
    if (this.#timer !== undefined || this.#sync !== undefined) return;
    const rest = Math.max(0, this.#syncedAt + SYNC_INTERVAL - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sync = this.#synchronize().finally(() => (this.#sync = undefined));
    }, rest).unref();
  }

  async #synchronize(): Promise<void> {
    const file = this.#file;
    const lines = this.#lines;
    this.#syncedAt = performance.now();
    try {
      await file?.datasync();
      // Somebody has deleted it: what is added is nowhere.
      if ((await file?.stat())?.nlink === 0) this.#isWrong = true;
    } catch {
      this.#isWrong = true;
    }
    if (this.#file === file && this.#lines > lines) setImmediate(() => this.#syncLater());
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#sync;
    await file?.close();
  }
}
