/** `tulle cleanup`: removes every trace of Tulle and flannel from this host. */
import { Command, Option } from 'commander';
import { AgentClient } from '../api/client.ts';
import { isCode } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { socketOption } from '../cli/agent-option.ts';
import { CommandError } from '../cli/errors.ts';
import { formatCount } from '../cli/format.ts';
import { withExamples } from '../cli/help.ts';
import { jsonOption } from '../cli/options.ts';
import { note, print, printJson } from '../cli/output.ts';
import { STATE_DIRECTORY, SUBNET_FILE } from '../cli/places.ts';
import { requireRoot } from '../cli/require-root.ts';
import { wrap } from '../cli/table.ts';
import type { Leftover } from './cleanup.ts';

interface Options {
  readonly socket: string;
  readonly subnetFile: string;
  readonly stateDir: string;
  readonly keepState?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function cleanupCommand(): Command {
  const command = new Command('cleanup')
    .description(
      'Remove what Tulle or flannel left on this host: devices, routes, firewall rules, files. The containers of ' +
        'this host can then no longer talk to those of others.\n\n' +
        'The lease in the store is not touched: it expires by itself, or `tulle lease release` frees it. The data ' +
        "of a store on this host stays too: it is the whole network's.",
    )
    .option('-n, --dry-run', 'only list what would be removed')
    .option('--keep-state', 'keep the state directory, and with it the identity of this host')
    .addOption(new Option('--subnet-file <file>', 'file that Docker and CNI read').default(SUBNET_FILE))
    .addOption(new Option('--state-dir <dir>', 'state directory of the agent').default(STATE_DIRECTORY))
    .addOption(jsonOption())
    .addOption(socketOption())
    .action(async (options: Options) => {
      requireRoot('cleanup takes devices, routes and rules away');
      await refuseWhileAgentRuns(options.socket);
      // Loaded only now: help and a refusal should answer at once.
      const { Firewall } = await import('../firewall/firewall.ts');
      const { connectRoute } = await import('../netlink/connect-route.ts');
      const { agentFiles, findLeftovers } = await import('./cleanup.ts');
      await using rtnetlink = connectRoute();
      const leftovers = await findLeftovers({
        rtnetlink,
        firewall: new Firewall({ log: silentLogger }),
        paths: agentFiles({
          subnetFile: options.subnetFile,
          socket: options.socket,
          ...(options.keepState ? {} : { stateDirectory: options.stateDir }),
        }),
      });
      if (!options.dryRun) await removeAll(leftovers);
      report(leftovers, options);
    });
  return withExamples(command, [
    { line: 'cleanup --dry-run', does: 'what is there' },
    { line: 'cleanup', does: 'remove it, after the agent was stopped' },
    {
      line: 'cleanup --keep-state',
      does: 'remove it and keep who this host is, to come back with the same subnet',
    },
  ]);
}

/** A running agent would put everything back. */
async function refuseWhileAgentRuns(socketPath: string): Promise<void> {
  let pid: number;
  try {
    ({ pid } = await new AgentClient({ socketPath }).status());
  } catch (error) {
    if (isCode(error, 'AGENT_NOT_RUNNING')) return;
    throw error;
  }
  throw new CommandError('NOT_NOW', `an agent is running (process ${pid})`, 'stop it first, then clean up');
}

/** Goes on after a failure: what can be removed is removed. @throws AggregateError */
async function removeAll(leftovers: readonly Leftover[]): Promise<void> {
  const failures: Error[] = [];
  for (const { what, remove } of leftovers) {
    try {
      await remove();
    } catch (cause) {
      failures.push(new CommandError('FAILED', `could not remove ${what}`, undefined, cause));
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'this host is not clean');
}

function report(leftovers: readonly Leftover[], { dryRun, json }: Options): void {
  const found = leftovers.map(({ what }) => what);
  if (json) {
    printJson({ removed: dryRun === undefined, found });
    return;
  }
  for (const what of found) print(wrap(what, 2));
  const verb = dryRun ? 'would be removed' : 'removed';
  note(
    found.length === 0
      ? 'nothing of Tulle or flannel is on this host'
      : `${formatCount(found.length, 'thing')} ${verb}`,
  );
}
