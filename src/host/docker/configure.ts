/**
 * Puts the plan into daemon.json, and gives back what was there before.
 *
 * Beside the file, `daemon.json.before-tulle` keeps it as it was before the first change, for a person to look at and for
 * `--undo`. It is made once: a later change starts from a file that is partly ours.
 */
import { chown, readFile, realpath, rm, stat } from 'node:fs/promises';
import { isCode } from '../../base/errors.ts';
import { RESOLVER_ADDRESS } from '../../console/defaults.ts';
import { CommandError } from '../../console/errors.ts';
import { DaemonJson } from '../../docker/daemon-json.ts';
import { parseSubnetEnv, type SubnetFile } from '../../subnet/subnet-env.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { applyChanges, planUndo, type SettingChange } from './plan.ts';

export const DAEMON_JSON = '/etc/docker/daemon.json';

/** A daemon.json as it is on the disk. */
export interface DaemonFile {
  /** Where its bytes are: links are followed, and stay. */
  readonly path: string;
  readonly exists: boolean;
  readonly config: DaemonJson;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** @throws ConfigError with the place of what is no JSON; SysError */
export async function readDaemonFile(given: string): Promise<DaemonFile> {
  try {
    const path = await realpath(given);
    const { mode, uid, gid } = await stat(path);
    const config = DaemonJson.parse(await readFile(path, 'utf8'), given);
    return { path, exists: true, config, mode: mode & 0o777, uid, gid };
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    return { path: given, exists: false, config: DaemonJson.parse(''), mode: 0o644, uid: 0, gid: 0 };
  }
}

export const backupOf = ({ path }: Pick<DaemonFile, 'path'>) => `${path}.before-tulle`;

/** Writes the file with these changes; the first time a copy of the former is kept. */
export async function writeChanges(file: DaemonFile, changes: readonly SettingChange[]): Promise<void> {
  if ((await readIfAny(backupOf(file))) === undefined) {
    // Of no file an empty one is kept.
    await writeOwned(backupOf(file), file.exists ? file.config.text : '', file);
  }
  await writeOwned(file.path, applyChanges(file.config, changes).text, file);
}

/** What `--undo` would change; undefined when nothing was ever changed. @throws ConfigError */
export async function undoChanges(file: DaemonFile): Promise<readonly SettingChange[] | undefined> {
  const former = await readIfAny(backupOf(file));
  return former === undefined ? undefined : planUndo(file.config, DaemonJson.parse(former, backupOf(file)));
}

/** Gives back what was there; a file that has nothing else is removed when there was none. */
export async function undoInFile(file: DaemonFile, changes: readonly SettingChange[]): Promise<void> {
  const restored = applyChanges(file.config, changes);
  const former = await readIfAny(backupOf(file));
  if (restored.keys.length === 0 && former === '') await rm(file.path, { force: true });
  else if (changes.length > 0) await writeOwned(file.path, restored.text, file);
  await rm(backupOf(file), { force: true });
}

/** Puts back a file as it was read. */
export async function restoreFile(file: DaemonFile): Promise<void> {
  if (file.exists) await writeOwned(file.path, file.config.text, file);
  else await rm(file.path, { force: true });
}

async function writeOwned(path: string, text: string, { mode, uid, gid }: DaemonFile): Promise<void> {
  await writeFileAtomic(path, text, { mode });
  if (uid !== 0 || gid !== 0) await chown(path, uid, gid);
}

async function readIfAny(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** What the agent of this host leased last. @throws CommandError NOT_NOW */
export async function readLease(path: string): Promise<SubnetFile> {
  const text = await readIfAny(path);
  const lease = text === undefined ? undefined : parseSubnetEnv(text);
  if (lease?.gateway.ipv4 !== undefined || lease?.gateway.ipv6 !== undefined) return lease;
  throw new CommandError(
    'NOT_NOW',
    text === undefined ? `there is no ${path}: no agent has leased a subnet here` : `${path} names no subnet`,
    'start one: tulle up; `tulle status` says what it waits for',
  );
}

/** Whether this host has the address at which its agent answers questions for names. */
export const hasResolver = (addresses: readonly { readonly ip: { toString(): string } }[]): boolean =>
  addresses.some(({ ip }) => ip.toString() === RESOLVER_ADDRESS);
