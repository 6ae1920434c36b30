/** What published ports leave behind: a table of nftables, which goes on without an agent. */
import { isCode } from '../base/errors.ts';
import { runNft } from '../firewall/nft.ts';
import { portTableName } from '../firewall/ports/port-table.ts';
import { run as runProgram } from '../sys/process.ts';
import type { Leftover } from './cleanup.ts';

/** @param prefix of the keys of the network */
export async function portLeftovers(prefix: string, run = runProgram): Promise<readonly Leftover[]> {
  const table = portTableName(prefix);
  try {
    const { status } = await runNft(run, ['-t', 'list', 'table', 'inet', table]);
    if (status !== 0) return [];
  } catch (error) {
    // A host without nft has no such table.
    if (isCode(error, 'NO_PROGRAM')) return [];
    throw error;
  }
  return [
    {
      what: 'firewall rules of published ports',
      remove: () => runNft(run, ['delete', 'table', 'inet', table]),
    },
  ];
}
