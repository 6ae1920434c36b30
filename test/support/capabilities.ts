/** What a test needs of the machine: a missing capability skips with a reason on a laptop and fails in CI. */
import { spawnSync } from 'node:child_process';
import process from 'node:process';

/** Options for `test`: kernel objects need root. */
export const needsRoot = requires(process.getuid?.() === 0, 'needs root');

/** A missing capability skips the test with its reason; under CI=true the test runs, and fails. */
export function requires(available: boolean, reason: string): { skip: string | false } {
  return { skip: available || process.env['CI'] === 'true' ? false : reason };
}

/** Options for `test`: a kernel may be built without a kind of link, which no CI can install. */
export function needsLinkKind(kind: string): { skip: string | false } {
  if (needsRoot.skip !== false) return needsRoot;
  const args = ['--net', 'ip', 'link', 'add', 'tt', 'type', kind];
  const { status } = spawnSync('unshare', args, { timeout: 10_000 });
  return { skip: status === 0 ? false : `this kernel has no ${kind}` };
}
