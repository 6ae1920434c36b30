/**
 * A file that has the content it should have: written only when it differs, and tried again for as long as it
 * takes when the disk is full or read-only.
 */
import { readFile } from 'node:fs/promises';
import { backoff, type Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { Watchable } from '../base/watchable.ts';
import { removeUnfinished, writeFileAtomic } from './file.ts';

export interface ManagedFileState {
  /** Whether the file has the wanted content. */
  readonly ok: boolean;
  readonly lastError?: string;
  /** The file belongs to another owner: which, in words. */
  readonly owner?: string;
}

export interface ManagedFileOptions {
  /** Called when the content of an existing file has changed. */
  readonly onReplaced?: (before: string, after: string) => void;
  /** The owner of an existing file, in words, when it is another one: then the file stays. */
  readonly ownerOf?: (content: string) => string | undefined;
}

export class ManagedFile {
  readonly path: string;
  readonly #clock: Clock;
  readonly #options: ManagedFileOptions;
  readonly #wanted = new Watchable<string | undefined>(undefined);
  readonly state = new Watchable<ManagedFileState>({ ok: false });

  constructor(path: string, clock: Clock, options: ManagedFileOptions = {}) {
    this.path = path;
    this.#clock = clock;
    this.#options = options;
  }

  /** States what the file should hold; `run` makes it so. */
  set(content: string): void {
    if (content === this.#wanted.value) return;
    this.state.set({ ok: false });
    this.#wanted.set(content);
  }

  /** Writes what is stated, whenever it is; ends when `signal` aborts. The file stays. */
  async run(signal: AbortSignal): Promise<void> {
    await removeUnfinished(this.path);
    for await (const content of this.#wanted.changes(signal)) {
      if (content !== undefined) await this.#write(signal);
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    for (const delay of backoff(1000, 60_000)) {
      // What is wanted may have changed since the last try.
      const content = this.#wanted.value ?? '';
      try {
        const before = await readIfAny(this.path);
        const owner = before === undefined ? undefined : this.#options.ownerOf?.(before);
        if (owner === undefined) {
          if (before !== content) await writeFileAtomic(this.path, content);
          if (before !== undefined && before !== content) this.#options.onReplaced?.(before, content);
          this.state.set({ ok: true });
          return;
        }
        this.state.set({ ok: false, owner });
      } catch (error) {
        this.state.set({ ok: false, lastError: messageOf(error) });
      }
      if (signal.aborted) return;
      await this.#clock.sleep(delay, signal).catch(() => undefined);
    }
  }
}

async function readIfAny(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
