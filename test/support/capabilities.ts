/** What a test needs of the machine: a missing capability skips with a reason on a laptop and fails in CI. */
import process from 'node:process';

/** Options for `test`: kernel objects need root. */
export const needsRoot = requires(process.getuid?.() === 0, 'needs root');

/** A missing capability skips the test with its reason; under CI=true the test runs, and fails. */
export function requires(available: boolean, reason: string): { skip: string | false } {
  return { skip: available || process.env['CI'] === 'true' ? false : reason };
}
