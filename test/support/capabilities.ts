/** What a test needs of the machine: a missing capability skips with a reason on a laptop and fails in CI. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import process from 'node:process';

/** Options for `test`: kernel objects need root. */
export const needsRoot = requires(process.getuid?.() === 0, 'needs root');

/** A missing capability skips the test with its reason; under CI=true the test runs, and fails. */
export function requires(available: boolean, reason: string): { skip: string | false } {
  return { skip: available || process.env['CI'] === 'true' ? false : reason };
}

/** Whether this kernel has a kind of link, which no CI can install; without root it is taken to have it. */
export function hasLinkKind(kind: string): boolean {
  if (process.getuid?.() !== 0) return true;
  const args = ['--net', 'ip', 'link', 'add', 'tt', 'type', kind];
  return spawnSync('unshare', args, { timeout: 60_000 }).status === 0;
}

/** Whether a program is installed. */
export function hasProgram(name: string): boolean {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return directories.some(directory => existsSync(`${directory}/${name}`));
}
