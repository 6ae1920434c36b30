/** `tulle network connect` and `disconnect`: what is connected is on this host, so that its agent does it. */
import { Argument, Command, Option } from 'commander';
import { defined } from '../base/defined.ts';
import { withExamples } from '../console/help.ts';
import { jsonOption, repeated } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { type AgentOption, agentClient, networkOption, socketOption } from './agent-option.ts';

interface ConnectOptions extends AgentOption {
  readonly ip?: readonly string[];
  readonly mac?: string;
  readonly json?: true;
}

const nameArgument = () => new Argument('<name>', 'the network');
const targetArgument = () =>
  new Argument(
    '<target>',
    'namespace of `ip netns`, Docker container, path of a namespace, or id of a process',
  );

export function connectCommand(): Command {
  const command = new Command('connect')
    .description(
      'Connect a network namespace of this host to a network: an address, a link, routes. All of it or nothing.\n\n' +
        'The address is the next free one of the range that this host has leased, so that no other host is asked. ' +
        'Where a namespace and a Docker container have one name, write netns:NAME or docker:NAME. ' +
        'A container that is started anew has a new namespace: connect it again, or make it a container of a network with --docker.',
    )
    .addArgument(nameArgument())
    .addArgument(targetArgument())
    .addOption(
      new Option(
        '--ip <address>',
        'this address instead of the next free one; once for each family',
      ).argParser(repeated((text: string) => text)),
    )
    .addOption(new Option('--mac <address>', 'MAC address of the link (default: a random one)'))
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (name: string, target: string, options: ConnectOptions) => {
      const { ip = [], mac } = options;
      const report = await agentClient(options).connect(name, { target, ips: [...ip], ...defined({ mac }) });
      if (options.json) return printJson(report);
      const { container, network, addresses, link, mtu, gateways } = report;
      print(`${container} is connected to ${network}: ${addresses.join(' and ')} on ${link}, MTU ${mtu}`);
      if (gateways.length > 0) print(`default route via ${gateways.join(' and ')}`);
      if (!report.published) note('the store does not answer; other hosts learn of it when it does');
    });
  return withExamples(command, [
    { line: 'network connect blue web', does: 'the namespace or Docker container web' },
    { line: 'network connect blue web --ip 10.9.1.7', does: 'with this address' },
    { line: 'network connect blue /run/netns/web', does: 'a namespace by its path' },
  ]);
}

export function disconnectCommand(): Command {
  const command = new Command('disconnect')
    .description(
      'Disconnect a namespace from a network: its link is removed, its address is free again. Also what is left of a ' +
        'namespace that is gone, by its name.',
    )
    .addArgument(nameArgument())
    .addArgument(targetArgument())
    .addOption(jsonOption())
    .addOption(networkOption())
    .addOption(socketOption())
    .action(async (name: string, target: string, options: ConnectOptions) => {
      const report = await agentClient(options).disconnect(name, { target });
      if (options.json) return printJson(report);
      const { container, network, addresses } = report;
      const freed = addresses.length === 0 ? '' : `: ${addresses.join(' and ')} free again`;
      print(`${container} is disconnected from ${network}${freed}`);
    });
  return withExamples(command, [{ line: 'network disconnect blue web', does: 'leaves nothing' }]);
}
