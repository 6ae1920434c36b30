/** `tulle ports`: which ports of this host lead to which containers. */
import { Command } from 'commander';
import { withExamples } from '../console/help.ts';
import { jsonOption } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';
import { portTable } from './ports-screen.ts';

interface PortsOptions extends AgentOption {
  readonly json?: true;
}

export function portsCommand(): Command {
  const command = new Command('ports')
    .description(
      'Show ports of this host that lead to containers on networks of Tulle. Docker itself shows none of them: ' +
        '`docker ps` lists ports of its own networks only.',
    )
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (options: PortsOptions) => {
      const ports = await agentClient(options).ports();
      if (options.json) return printJson(ports);
      if (ports.length > 0) return print(portTable(ports, Date.now()));
      note('no port of this host leads to a container');
    });
  return withExamples(command, [
    { line: 'ports', does: 'host port, container, network and since when' },
    { line: 'ports --json', does: 'the same for a script, one entry per address family' },
  ]);
}
