/** `tulle lab up`: a lab that stays, of equal hosts or of a topology file. */
import { Command, Option } from 'commander';
import { defined } from '../../base/defined.ts';
import { ParseError } from '../../base/errors.ts';
import { byFamily, type PerFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { CommandError } from '../../console/errors.ts';
import { withExamples } from '../../console/help.ts';
import { integer, jsonOption, value, withChoices } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { createLab } from '../lab.ts';
import { describeLab, summarizeLab } from '../record/record-view.ts';
import { validateConfig } from '../service/store.ts';
import { DEFAULT_LAB, nameFlag, parseLabName } from '../topology/lab-name.ts';
import { type LabPlan, planTopology } from '../topology/plan.ts';
import { type LabFamily, type LabRequest, MOST_CONTAINERS, MOST_HOSTS, planLab } from '../topology/simple.ts';
import { STORE_KINDS, type StoreKind } from '../topology/topology.ts';
import { familyOption, jsonObject, stepNoter, withLog } from './shared.ts';

const DEFAULT_CONTAINERS = 2;

interface UpOptions {
  /** A topology may have one, too. */
  readonly name?: string;
  readonly json?: true;
  readonly file?: string;
  readonly hosts: number;
  readonly containers?: number;
  readonly docker?: true;
  readonly plugin?: true;
  readonly bare?: true;
  readonly store: StoreKind;
  readonly family: LabFamily;
  readonly network?: NonNullable<LabRequest['network']>;
  readonly backendConfig?: Readonly<Record<string, unknown>>;
}

export function labUpCommand(): Command {
  const command = new Command('up')
    .description(
      'Make a lab: hosts, a store, an agent per host, containers; or all that a topology file says.',
    )
    .addOption(
      new Option(
        '-f, --file <topology>',
        'the lab of a YAML file (docs/guide/labs.md); - is standard input',
      ).conflicts([
        'hosts',
        'containers',
        'docker',
        'plugin',
        'bare',
        'store',
        'family',
        'network',
        'backendConfig',
      ]),
    )
    .addOption(new Option('--hosts <n>', 'number of hosts').argParser(integer(1, MOST_HOSTS)).default(2))
    .addOption(
      new Option(
        '--containers <n>',
        `containers per host (default: ${DEFAULT_CONTAINERS}; none with --plugin)`,
      ).argParser(integer(0, MOST_CONTAINERS)),
    )
    .option('--docker', 'a real dockerd per host, instead of bare namespaces as containers')
    .addOption(
      new Option(
        '--plugin',
        'with --docker: each agent serves `docker network create -d tulle --ipam-driver tulle` to its dockerd',
      ).conflicts('bare'),
    )
    .addOption(
      new Option('--bare', 'hosts only: no agents, no store, no containers').conflicts([
        'containers',
        'store',
        'network',
        'backendConfig',
      ]),
    )
    .addOption(
      withChoices(
        new Option('--store <kind>', 'the store that comes with Tulle, or real etcd'),
        STORE_KINDS,
        'a store',
      ).default('tulle'),
    )
    .addOption(familyOption())
    .addOption(
      new Option(
        '--network <cidr|json>',
        'blocks of the overlay, one per family, separated by a comma; or its whole configuration',
      ).argParser(value(parseNetwork)),
    )
    .addOption(
      new Option('--backend-config <json>', "the network's Backend object").argParser(value(jsonObject)),
    )
    .addOption(
      new Option('--name <name>', `name of the lab (default: that of the file, or ${DEFAULT_LAB})`).argParser(
        value(parseLabName),
      ),
    )
    .addOption(jsonOption())
    .action((options: UpOptions) => untilStopped(signal => up(options, signal)));
  return withExamples(command, [
    { line: 'lab up --hosts 2 --docker --name pair', does: 'two hosts with real Docker' },
    {
      line: 'lab up --docker --plugin',
      does: 'for `docker network create -d tulle --ipam-driver tulle blue`',
    },
    { line: 'lab up --hosts 2 --bare', does: 'two hosts on one wire, and nothing on them' },
    { line: 'lab up -f routed.yaml', does: 'hosts, segments and routers as the file says' },
    { line: 'lab up --family ipv6', does: 'hosts and containers without IPv4' },
    { line: `lab up --network 10.5.0.0/16 --backend-config '{"Type":"host-gw"}'`, does: 'another network' },
  ]);
}

async function up(options: UpOptions, signal: AbortSignal): Promise<void> {
  const plan = await planOf(options);
  if (plan.networkConfig !== undefined) await validateConfig(plan.networkConfig, signal);
  await using lab = await withLog(createLab(plan, { signal, onStep: stepNoter() }));
  const record = await lab.handOver();
  if (options.json === true) return printJson(describeLab(record));
  print(summarizeLab(record));
  const flag = nameFlag(record.name);
  const withAgent = plan.hosts.find(({ agent }) => agent !== undefined);
  const look =
    withAgent === undefined ? `${plan.hosts[0]?.name} -- ip address` : `${withAgent.name} -- tulle status`;
  note(`explore it: tulle lab exec${flag} ${look}; end it: tulle lab down${flag}`);
  const withPlugin = plan.hosts.find(({ docker }) => docker?.plugin === true);
  if (withPlugin !== undefined) {
    const create = 'docker network create -d tulle --ipam-driver tulle blue';
    note(`then on each host, for a network of all: tulle lab exec${flag} ${withPlugin.name} -- ${create}`);
  }
}

/** @throws ParseError, ConfigError */
async function planOf({
  file,
  name,
  docker,
  plugin,
  containers = plugin === true ? 0 : DEFAULT_CONTAINERS,
  bare,
  network,
  backendConfig,
  ...rest
}: UpOptions): Promise<LabPlan> {
  if (file === undefined) {
    if (network !== undefined && 'config' in network && backendConfig !== undefined) {
      throw new CommandError(
        'USAGE',
        '--network has the whole configuration, so that there is nothing for --backend-config to say',
        'put the Backend object into --network, or give only its CIDR',
      );
    }
    return planLab({
      name: name ?? DEFAULT_LAB,
      runtime: docker === true ? 'docker' : 'namespace',
      bare: bare === true,
      plugin: plugin === true,
      containers,
      ...rest,
      ...defined({ network, backend: backendConfig }),
    });
  }
  // The parser of YAML is loaded only for this.
  const { readTopology } = await import('../topology/read.ts');
  const topology = readTopology(file);
  return planTopology(topology, { name: name ?? topology.name ?? DEFAULT_LAB, source: file });
}

/** @throws ParseError */
function parseNetwork(
  text: string,
): PerFamily<Prefix> | { readonly config: Readonly<Record<string, unknown>> } {
  if (text.trimStart().startsWith('{')) return { config: jsonObject(text) };
  const blocks = text.split(',').map(each => Prefix.parse(each.trim()));
  const [first, second, ...more] = blocks;
  if (more.length > 0 || (second !== undefined && first?.family === second.family)) {
    throw new ParseError('a network', text, 'want one block of each family at most');
  }
  return byFamily(...blocks);
}
