/** nft(8), as each part of the firewall runs it. */
import { isCode } from '../base/errors.ts';
import type { RunResult } from '../sys/process.ts';
import { FirewallError, type RunProgram } from './engine.ts';

/** Whatever its exit status is. @param hint for a host without nft. @throws FirewallError NO_PROGRAM; ProcessError */
export async function runNft(
  run: RunProgram,
  args: readonly string[],
  { input, hint = 'install nftables' }: { readonly input?: string; readonly hint?: string } = {},
): Promise<RunResult> {
  try {
    return await run('nft', args, { anyStatus: true, ...(input !== undefined && { input }) });
  } catch (cause) {
    if (!isCode(cause, 'ENOENT')) throw cause;
    throw new FirewallError('NO_PROGRAM', 'nft is not installed', { op: 'nft', hint, cause });
  }
}
