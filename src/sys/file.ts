/** Files that are whole or not there: a reader never sees half of one, and a crash never leaves one in its place. */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface WriteFileOptions {
  /** Permissions, whatever the umask; default 0644. */
  readonly mode?: number;
  /** Permissions of directories that have to be made; default 0755. */
  readonly directoryMode?: number;
}

/**
 * Puts `content` at `path` in one step, over whatever is there, and onto the disk. Missing directories are made.
 *
 * @param content in pieces when it is long: each is made when the one before it is written.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | Iterable<string>,
  { mode = 0o644, directoryMode = 0o755 }: WriteFileOptions = {},
): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: directoryMode });
  const temporary = join(directory, `${temporaryPrefix(path)}${randomUUID()}`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      // open(2) takes the umask off; chmod does not.
      await file.chmod(mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/**
 * Removes what writers of `path` that were killed have left beside it. For the start of a program that is the only
 * one to write there; a directory that cannot be read is left as it is.
 */
export async function removeUnfinished(path: string): Promise<void> {
  const directory = dirname(path);
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (name.startsWith(temporaryPrefix(path))) await rm(join(directory, name), { force: true });
  }
}

/** Hidden, so that a program that reads all files of a directory passes over it. */
const temporaryPrefix = (path: string) => `.${basename(path)}.`;

/** The rename itself is safe on disk only when the directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
