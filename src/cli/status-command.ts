/** `tulle status`: this host on one screen. */
import { Command } from 'commander';
import { type AgentOption, agentClient, socketOption } from './agent-option.ts';
import { EXIT } from './exit-codes.ts';
import { withExamples } from './help.ts';
import { jsonOption } from './options.ts';
import { print, printJson, warn } from './output.ts';
import { withProgress } from './progress.ts';
import { statusScreen } from './status-screen.ts';

interface StatusOptions extends AgentOption {
  readonly json?: true;
  readonly all?: true;
  readonly resync?: true;
}

export function statusCommand(): Command {
  const command = new Command('status')
    .description(
      'Show what the agent of this host holds, what it wants of the kernel, and why they differ.\n\n' +
        `Ends with ${EXIT.differs.status} when the host is not ready, and with ${EXIT.noAgent.status} when no agent runs.`,
    )
    .option('--all', 'every peer, with its entries in the kernel')
    .option('--resync', 'compare everything with the kernel first, and repair it')
    .addOption(jsonOption())
    .addOption(socketOption())
    .action(async (options: StatusOptions) => {
      const agent = agentClient(options);
      if (options.resync) {
        const { failures } = await withProgress('comparing with the kernel', agent.resync());
        for (const failure of failures) warn(failure);
      }
      const status = await agent.status();
      if (options.json) printJson(status);
      else print(statusScreen(status, { now: Date.now(), all: options.all === true }));
      if (!status.agent.ready) process.exitCode = EXIT.differs.status;
    });
  return withExamples(command, [
    { line: 'status', does: 'the lease, the store, the peers and the firewall of this host' },
    { line: 'status --all', does: 'with the route, neighbor and FDB entry of every peer' },
    {
      line: 'status --json | jq \'.peers[] | select(.state != "ok")\'',
      does: 'the peers that need attention',
    },
  ]);
}
