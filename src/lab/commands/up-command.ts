/** `tulle lab up`: a lab that stays. */
import { Command, Option } from 'commander';
import { withExamples } from '../../console/help.ts';
import { integer, jsonOption, value, withChoices } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { createLab } from '../lab.ts';
import { describeLab, summarizeLab } from '../record/record-view.ts';
import { validateConfig } from '../service/store.ts';
import { nameFlag } from '../topology/lab-name.ts';
import { type LabFamily, MOST_CONTAINERS, MOST_HOSTS, planLab } from '../topology/simple.ts';
import { STORE_KINDS, type StoreKind } from '../topology/topology.ts';
import { familyOption, jsonObject, type Named, nameOption, stepNoter, withLog } from './shared.ts';

export function labUpCommand(): Command {
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
      new Option('--backend-config <json>', "the network's Backend object").argParser(value(jsonObject)),
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
