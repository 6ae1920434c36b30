/** `tulle bench join`: the command line of the measurement in `join.ts`. */
import { Command, Option } from 'commander';
import { withExamples } from '../../console/help.ts';
import { integer, list, oneOf } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatTable } from '../../console/table.ts';
import { withEtcd } from '../store/servers.ts';
import { JOIN_SHAPES, type JoinResult, type JoinShape, measureJoin } from './join.ts';

interface Options {
  readonly agents: number;
  readonly shapes: readonly JoinShape[];
  readonly json?: true;
}

export function joinCommand(): Command {
  const command = new Command('join')
    .summary('many hosts join at once: subnets leased, and by when')
    .description(
      'The start of a cluster: many agents start at the same moment on a /16, and each leases a subnet from one ' +
        'real etcd, which this command starts. All agents run in this process, each with a connection of its own. ' +
        "For comparison, the same run measures the same number of hosts with flannel's procedure. The columns:\n" +
        '  leases     in the store afterwards\n' +
        '  unique     of them, those that overlap no other\n' +
        '  exited     agents that gave up\n' +
        '  ms         from the start of all to the lease of each\n' +
        '  all known  ms until every agent knew every other; they follow their peers once all have a lease',
    )
    .addOption(new Option('--agents <n>', 'how many').argParser(integer(1, 250)).default(200))
    .addOption(
      new Option('--shapes <names>', 'only these')
        .argParser(list(oneOf(JOIN_SHAPES, 'a shape')))
        .default(JOIN_SHAPES, 'all'),
    )
    .addOption(
      new Option(
        '--json',
        'print one JSON array: {"shape", "agents", "leases", "unique", "exited", "ms", "allKnown"}',
      ),
    )
    .action(runJoin);
  return withExamples(command, [
    { line: 'bench join', does: '200 agents, and 200 hosts of flannel' },
    { line: 'bench join --agents 50 --shapes tulle --json', does: 'ours only, for a script' },
  ]);
}

async function runJoin({ agents, shapes, json }: Options): Promise<void> {
  const results = await untilStopped(signal =>
    withEtcd(signal, async ({ endpoint }) => {
      const rows: JoinResult[] = [];
      for (const shape of shapes) {
        note(`${agents} agents join as ${shape} ...`);
        rows.push(await measureJoin(shape, { endpoint, agents, signal }));
      }
      return rows;
    }),
  );
  if (json) printJson(results);
  else print(tableOf(results));
}

function tableOf(results: readonly JoinResult[]): string {
  const number = (title: string, cell: (row: JoinResult) => number | undefined) =>
    ({ title, cell: (row: JoinResult) => String(cell(row) ?? ''), align: 'right' }) as const;
  return formatTable<JoinResult>(
    [
      { title: 'shape', cell: ({ shape }) => shape },
      number('agents', ({ agents }) => agents),
      number('leases', ({ leases }) => leases),
      number('unique', ({ unique }) => unique),
      number('exited', ({ exited }) => exited),
      number('ms p50', ({ ms }) => ms?.p50),
      number('p99', ({ ms }) => ms?.p99),
      number('max', ({ ms }) => ms?.max),
      number('all known', ({ allKnown }) => allKnown),
    ],
    results,
  );
}
