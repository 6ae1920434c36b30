/** `tulle network`: Ethernet networks over all hosts, beside the subnets that hosts lease. */
import { Argument, Command, Option } from 'commander';
import { defined } from '../base/defined.ts';
import { connectCommand, disconnectCommand } from '../cli/network-connect-command.ts';
import { CommandError } from '../console/errors.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { integer, jsonOption, port, repeated } from '../console/options.ts';
import { MOST_VNI } from '../subnet/segment/segment-key.ts';
import {
  createNetwork,
  deleteNetwork,
  inspectNetwork,
  listNetworks,
  releaseFromNetwork,
} from './networks.ts';
import { addStoreOptions, type StoreCommandOptions, withSegments } from './store-options.ts';

type WithJson = StoreCommandOptions & { readonly json?: true };

interface CreateOptions extends WithJson {
  readonly subnet: readonly string[];
  readonly vni?: number;
  readonly gateway?: readonly string[];
  readonly internal?: true;
  readonly rangeLength?: readonly number[];
  readonly docker?: true;
  readonly mtu?: number;
  readonly port?: number;
  readonly floodLimit?: number;
}

const CREATE_EXAMPLES = [
  { line: 'network create blue --subnet 10.9.0.0/16', does: 'one Ethernet segment over all hosts' },
  {
    line: 'network create green --subnet 10.8.0.0/16 --subnet fd00:8::/64',
    does: 'with IPv4 and IPv6',
  },
  {
    line: 'network create red --subnet 172.30.0.0/24 --range-length 26 --docker',
    does: 'also as a Docker network of each of 3 hosts; Docker has half of each range',
  },
  { line: 'network create lan --subnet 10.7.0.0/24 --internal', does: 'without a way out' },
];

export function networkCommand(): Command {
  const command = new Command('network').description(
    'Ethernet networks over all hosts: containers on them have one subnet, see the same broadcasts, and are ' +
      'reached by their MAC addresses. Each is apart from the others and from the network of `tulle config`.',
  );
  command.addCommand(createCommand());
  command.addCommand(connectCommand()).addCommand(disconnectCommand());
  const list = addStoreOptions(command.command('list'))
    .alias('ls')
    .description(
      'List all networks. DOCKER is `yes` for one made with --docker, `plugin` for one that the Docker of this host ' +
        'has with the driver tulle.',
    )
    .addOption(jsonOption())
    .action((options: WithJson) => withSegments(options, registry => listNetworks(registry, options)));
  withExamples(list, [{ line: 'network list', does: 'subnet, VNI and size of each' }]);
  const inspect = addStoreOptions(command.command('inspect'))
    .description('Show one network: its hosts, which addresses they give out, and the containers on it.')
    .addArgument(nameArgument())
    .addOption(jsonOption())
    .action((name: string, options: WithJson) =>
      withSegments(options, registry => inspectNetwork(registry, name, options)),
    );
  withExamples(inspect, [
    { line: 'network inspect blue', does: 'who is on it' },
    { line: "network inspect blue --json | jq -r '.endpoints[].ip'", does: 'the addresses, for a script' },
  ]);
  const remove = addStoreOptions(command.command('delete'))
    .alias('rm')
    .description('Delete a network from all hosts. Refused while containers are on it.')
    .addArgument(nameArgument())
    .option('--force', 'also while containers are on it: they lose this network')
    .addOption(jsonOption())
    .action((name: string, options: WithJson & { force?: true }) =>
      withSegments(options, registry => deleteNetwork(registry, name, options)),
    );
  withExamples(remove, [{ line: 'network delete blue', does: 'remove it everywhere' }]);
  const release = addStoreOptions(command.command('release'))
    .description(
      'Take from a host that will not come back what it has of a network: its ranges, which it keeps for as long as ' +
        'the network exists, and the addresses of its containers. Refused while the host is on the network.',
    )
    .addArgument(nameArgument())
    .addArgument(offering(new Argument('<host>', 'host name or host id'), 'hosts'))
    .option('--force', 'also while the host is on the network; one that runs takes what it needs again')
    .addOption(jsonOption())
    .action((name: string, host: string, options: WithJson & { force?: true }) =>
      withSegments(options, registry => releaseFromNetwork(registry, name, host, options)),
    );
  withExamples(release, [{ line: 'network release blue docker3', does: 'docker3 is gone for good' }]);
  return withExamples(command, [
    ...CREATE_EXAMPLES.slice(0, 1),
    { line: 'network list', does: 'all networks' },
    { line: 'network inspect blue', does: 'who is on it' },
    { line: 'network delete blue', does: 'remove it everywhere' },
  ]);
}

function createCommand(): Command {
  const command = addStoreOptions(new Command('create'))
    .description(
      'Make a network; every host has it a moment later. Refused, with every reason at once, when its subnet overlaps ' +
        'another network, or holds an address of a host.',
    )
    .argument('<name>', 'up to 32 of a-z, 0-9, dot, hyphen and underscore')
    .addOption(
      new Option('--subnet <cidr>', 'addresses of the containers; once for each address family')
        .argParser(repeated(text => text))
        .makeOptionMandatory(),
    )
    .option('--l2', 'an Ethernet network: the only kind there is, and the default')
    .addOption(
      new Option(
        '--vni <number>',
        'identifier of the network in tunnel packets (default: a free one)',
      ).argParser(integer(1, MOST_VNI)),
    )
    .addOption(
      new Option(
        '--gateway <ip>',
        'address that every host has on it, once for each address family, or none (default: the first of the subnet)',
      ).argParser(repeated(text => text)),
    )
    .option('--internal', 'no gateway, and no way to other networks')
    .addOption(
      new Option(
        '--range-length <bits>',
        'prefix length of the range of addresses that a host gets at a time; once for each --subnet, in their order ' +
          '(default: /24 of a /16, /28 of a /24)',
      ).argParser(repeated(integer(1, 126))),
    )
    .option('--docker', 'make a Docker network of this name on each host where Docker runs')
    .addOption(
      new Option(
        '--mtu <bytes>',
        'MTU of the containers (default: what the underlay of this host carries; without an agent 1450)',
      ).argParser(integer(68, 65_535)),
    )
    .addOption(new Option('--port <number>', 'UDP port of the tunnel (default: 4789)').argParser(port))
    .addOption(
      new Option(
        '--flood-limit <packets>',
        'broadcast, multicast and unknown unicast packets a second that a host sends to the others; more are dropped',
      ).argParser(integer(1, 1_000_000)),
    )
    .addOption(jsonOption())
    .action((name: string, options: CreateOptions) => {
      const request = requestOf(name, options);
      return withSegments(options, registry => createNetwork(registry, request, options));
    });
  return withExamples(command, CREATE_EXAMPLES);
}

const nameArgument = () => offering(new Argument('<name>', 'name of the network'), 'networks');

function requestOf(name: string, options: CreateOptions) {
  const { subnet, vni, gateway, internal, rangeLength, docker, mtu, floodLimit } = options;
  const isNone = gateway?.includes('none') === true;
  if (isNone && gateway.length > 1) {
    throw new CommandError(
      'USAGE',
      '--gateway none and a gateway exclude each other',
      'leave out one of the two',
    );
  }
  return {
    name,
    subnets: subnet,
    ...defined({
      vni,
      gateways: isNone ? ('none' as const) : gateway,
      internal,
      rangeLengths: rangeLength,
      docker,
      mtu,
      port: options.port,
      floodLimit,
    }),
  };
}
