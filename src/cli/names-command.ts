/** `tulle names`: how containers of the cluster are called, and where they are. */
import { Argument, Command, Option } from 'commander';
import type { NamedContainer } from '../api/names.ts';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { jsonOption } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { type Column, formatTable } from '../console/table.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';

interface NamesOptions extends AgentOption {
  readonly network?: string;
  readonly json?: true;
}

const COLUMNS: readonly Column<NamedContainer>[] = [
  { title: 'network', cell: ({ network }) => network },
  { title: 'address', cell: ({ address }) => address },
  { title: 'host', cell: ({ hostName, hostId }) => hostName ?? hostId },
  { title: 'names', cell: ({ names }) => names.join(' ') },
];

export function namesCommand(): Command {
  return withExamples(
    new Command('names')
      .description(
        'Show how containers of the cluster are called, as this host knows it, by network. Others on the same network find them by each of ' +
          'these names, and containers of all networks by NAME.NETWORK.tulle. The overlay is the network `default`.',
      )
      .addArgument(
        new Argument('[name]', 'show only who is called so: NAME, NAME.NETWORK or NAME.NETWORK.tulle'),
      )
      .addOption(new Option('--network <name>', 'show only this network'))
      .addOption(jsonOption())
      .addOption(socketOption())
      .addOption(networkOption())
      .action(showNames),
    [
      { line: 'names', does: 'all of them' },
      { line: 'names web', does: 'who is called web, on each network' },
      { line: 'names web.blue.tulle --json', does: 'the same for one network, for scripts' },
    ],
  );
}

async function showNames(name: string | undefined, { network, json, ...agent }: NamesOptions): Promise<void> {
  const all = await agentClient(agent).names();
  const shown = all.filter(
    one => (network === undefined || one.network === network) && (name === undefined || isCalled(one, name)),
  );
  if (json) printJson(shown);
  else if (shown.length > 0) print(formatTable(COLUMNS, shown));
  else if (name === undefined) note('no container has a name yet');
  if (shown.length === 0 && name !== undefined) {
    throw new CommandError(
      'NOT_FOUND',
      `nobody is called ${name}`,
      'see tulle names; a container is known when it has an address on a network of Tulle',
    );
  }
}

function isCalled({ names, network }: NamedContainer, asked: string): boolean {
  const text = asked.toLowerCase().replace(/\.$/, '');
  return names.some(name => [name, `${name}.${network}`, `${name}.${network}.tulle`].includes(text));
}
