/** `tulle lab`: several hosts on this machine, to try Tulle, to reproduce a fault, and to test against. */
import { Argument, Command, Option } from 'commander';
import { ParseError } from '../base/errors.ts';
import { isObject } from '../base/fields.ts';
import { EXIT } from '../console/exit-codes.ts';
import { formatCount, formatDuration } from '../console/format.ts';
import { withExamples } from '../console/help.ts';
import { offering } from '../console/offers.ts';
import { integer, jsonOption, value, withChoices } from '../console/options.ts';
import { note, print, printJson } from '../console/output.ts';
import { untilStopped } from '../console/signals.ts';
import { formatTable } from '../console/table.ts';
import { runDemo } from './demo.ts';
import { LabError } from './errors.ts';
import { execIn, exitStatusOf } from './exec.ts';
import { createLab, destroyLab } from './lab.ts';
import { requireRecord, runningLabs } from './record/record.ts';
import { describeLab, LAB_COLUMNS, summarizeLab } from './record/record-view.ts';
import { requireRootForLab } from './requirements.ts';
import { scenarioCommand } from './scenario/scenario-command.ts';
import { withContainersAsTheyAre } from './service/docker.ts';
import { validateConfig } from './service/store.ts';
import { DEFAULT_LAB, nameFlag, parseLabName } from './topology/lab-name.ts';
import { LAB_FAMILIES, type LabFamily, MOST_CONTAINERS, MOST_HOSTS, planLab } from './topology/simple.ts';
import { STORE_KINDS, type StoreKind } from './topology/topology.ts';
import { formatMatrix } from './traffic/matrix.ts';
import { pingAll } from './traffic/ping.ts';

export function labCommand(): Command {
  const command = new Command('lab')
    .description(
      'Hosts made of namespaces on this machine: each has its own network, processes and agent, and its own ' +
        'files in /etc, /run and /var/lib. They change nothing outside, and leave nothing behind.',
    )
    // All commands have this; commander insists that it is said before `exec` is added.
    .enablePositionalOptions()
    .addCommand(up())
    .addCommand(down())
    .addCommand(list())
    .addCommand(exec())
    .addCommand(ping())
    .addCommand(scenarioCommand())
    .addCommand(demo());
  return withExamples(command, [
    { line: 'lab up --hosts 3', does: 'three hosts with two containers each' },
    { line: 'lab exec docker1 -- tulle status', does: 'the status of one host' },
    { line: 'lab ping', does: 'which containers reach each other' },
    { line: 'lab down', does: 'remove every trace' },
  ]);
}

const familyOption = () =>
  withChoices(
    new Option('--family <family>', 'addresses of hosts and containers'),
    Object.keys(LAB_FAMILIES),
    'a family',
  ).default('ipv4');

const nameOption = () =>
  offering(new Option('--name <name>', 'name of the lab'), 'labs')
    .default(DEFAULT_LAB)
    .argParser(value(parseLabName));

interface Named {
  readonly name: string;
  readonly json?: true;
}

function up(): Command {
  interface Options extends Named {
    readonly hosts: number;
    readonly containers: number;
    readonly docker?: true;
    readonly bare?: true;
    readonly store: StoreKind;
    readonly family: LabFamily;
    readonly backendConfig?: Readonly<Record<string, unknown>>;
  }
  const command = new Command('up')
    .description('Make a lab: hosts, a store, an agent per host, containers.')
    .addOption(new Option('--hosts <n>', 'number of hosts').argParser(integer(1, MOST_HOSTS)).default(2))
    .addOption(
      new Option('--containers <n>', 'containers per host').argParser(integer(0, MOST_CONTAINERS)).default(2),
    )
    .option('--docker', 'a real dockerd per host, instead of bare namespaces as containers')
    .addOption(
      new Option('--bare', 'hosts only: no agents, no store, no containers').conflicts([
        'containers',
        'store',
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
      new Option('--backend-config <json>', "the network's Backend object").argParser(value(parseObject)),
    )
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(({ name, hosts, containers, docker, bare, store, family, backendConfig, json }: Options) =>
      untilStopped(async signal => {
        const plan = planLab({
          name,
          hosts,
          containers,
          runtime: docker === true ? 'docker' : 'namespace',
          store,
          family,
          bare: bare === true,
          ...(backendConfig === undefined ? {} : { backend: backendConfig }),
        });
        if (backendConfig !== undefined && plan.networkConfig !== undefined)
          await validateConfig(plan.networkConfig, signal);
        await using lab = await withLog(createLab(plan, { signal, onStep: stepNoter() }));
        const record = await lab.handOver();
        if (json === true) {
          printJson(describeLab(record));
          return;
        }
        print(summarizeLab(record));
        const flag = nameFlag(record.name);
        const [first] = record.hosts;
        const look = bare === true ? 'ip address' : 'tulle status';
        note(
          `explore it: tulle lab exec${flag} ${first?.name ?? ''} -- ${look}; end it: tulle lab down${flag}`,
        );
      }),
    );
  return withExamples(command, [
    { line: 'lab up --hosts 2 --docker --name s7', does: 'two hosts with real Docker' },
    { line: 'lab up --hosts 2 --bare', does: 'two hosts on one wire, and nothing on them' },
    { line: 'lab up --family ipv6', does: 'hosts and containers without IPv4' },
    { line: `lab up --backend-config '{"Type":"vxlan","VNI":5000}'`, does: 'another network' },
  ]);
}

function down(): Command {
  const command = new Command('down')
    .description('Remove a lab and every trace of it. Succeeds if there is none.')
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(async ({ name, json }: Named) => {
      const existed = await destroyLab(name);
      if (json === true) printJson({ name, existed });
      else print(existed ? `lab ${name} is gone` : `there was no lab named ${name}`);
    });
  return withExamples(command, [{ line: 'lab down --name s7', does: 'remove the lab with this name' }]);
}

function list(): Command {
  const command = new Command('list')
    .description('List the labs on this machine.')
    .addOption(jsonOption())
    .action(({ json }: Pick<Named, 'json'>) =>
      untilStopped(async signal => {
        requireRootForLab();
        const labs = await Promise.all(runningLabs().map(record => withContainersAsTheyAre(record, signal)));
        if (json === true) return printJson(labs.map(describeLab));
        if (labs.length === 0) return print('no labs');
        print(formatTable(LAB_COLUMNS, labs));
      }),
    );
  return withExamples(command, [
    { line: "lab list --json | jq '.[].hosts[].address'", does: 'where the hosts are, for a script' },
  ]);
}

function exec(): Command {
  const command = new Command('exec')
    .description('Run a program in a host (docker1) or in a container of it (docker1/c1).')
    .addArgument(offering(new Argument('<target>', 'host, or host/container'), 'lab-targets'))
    .argument('<program...>', 'program and its arguments')
    .addOption(nameOption())
    .passThroughOptions()
    .action(async (target: string, words: string[], { name }: Named) => {
      // Options after the target are the program's, and so commander hands on the separator, too.
      const [program = '', ...args] = words[0] === '--' ? words.slice(1) : words;
      process.exitCode = exitStatusOf(await execIn(requireRecord(name), target, program, args));
    });
  return withExamples(command, [
    { line: 'lab exec docker1 -- ip route', does: "the host's routes" },
    { line: 'lab exec docker1/c1 -- ping 188.172.50.2', does: 'ping from a container' },
    { line: 'lab exec --name s7 docker2 -- bash', does: 'a shell on a host of another lab' },
  ]);
}

function ping(): Command {
  const command = new Command('ping')
    .description('Ping every container from all other hosts and from their containers.')
    .addOption(new Option('--count <n>', 'packets per pair').argParser(integer(1, 10_000)).default(3))
    .addOption(nameOption())
    .addOption(jsonOption())
    .action(({ name, count, json }: Named & { readonly count: number }) =>
      untilStopped(async signal => {
        const report = await pingAll(requireRecord(name), { count, signal });
        if (json === true) printJson(report);
        else {
          print(formatMatrix(report));
          print(`${formatCount(report.pairs, 'pair')}, ${report.sent} packets sent, ${report.lost} lost`);
        }
        if (report.lost > 0) process.exitCode = EXIT.differs.status;
      }),
    );
  return withExamples(command, [
    {
      line: 'lab ping --count 10 || tulle lab exec docker1 -- tulle status',
      does: 'show the status if packets are lost',
    },
  ]);
}

function demo(): Command {
  const command = new Command('demo')
    .description(
      'Three hosts, the reachability matrix, and the journey of one packet; what `npm start` runs.',
    )
    .addOption(familyOption())
    .addOption(nameOption())
    .action(({ name, family }: Named & { readonly family: LabFamily }) =>
      untilStopped(signal => withLog(runDemo({ name, family }, signal))),
    );
  return withExamples(command, [
    { line: 'lab demo', does: 'see it once, and explore it until Ctrl-C' },
    { line: 'lab demo --family dual', does: 'the same with IPv6 beside IPv4' },
  ]);
}

/** Prints each step on stderr with the time it took. */
function stepNoter(): (step: string) => void {
  let last = performance.now();
  return step => {
    const now = performance.now();
    note(`${step} (${formatDuration(now - last)})`);
    last = now;
  };
}

/** The log of a daemon that failed is gone with its host; what it said last is shown before the error. */
async function withLog<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const log = error instanceof LabError ? error.context['log'] : undefined;
    if (typeof log === 'string' && log !== '') for (const line of log.split('\n')) note(`  | ${line}`);
    throw error;
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new ParseError('a JSON object', text, 'not JSON');
  }
  if (!isObject(parsed)) throw new ParseError('a JSON object', text, 'want {...}');
  return parsed;
}
