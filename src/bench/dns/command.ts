/** `tulle bench dns`: the command line of the measurement in `dns.ts`. */
import { Command, Option } from 'commander';
import { withExamples } from '../../console/help.ts';
import { integer, list, oneOf } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatTable } from '../../console/table.ts';
import { requirePrograms } from '../../lab/requirements.ts';
import { DNS_SHAPES, type DnsBenchResult, type DnsShape, measureDns } from './dns.ts';

interface Options {
  readonly names: number;
  readonly queries: number;
  readonly shapes: readonly DnsShape[];
  readonly json?: true;
}

export function dnsCommand(): Command {
  const command = new Command('dns')
    .summary('names of containers: how soon a container has an answer')
    .description(
      'A container asks for names of containers, of the resolver of Tulle and of dnsmasq with the same names, in turns on ' +
        'one bridge. The columns:\n' +
        '  us      microseconds from a question to its answer, one at a time\n' +
        '  a second  questions, 32 at a time\n' +
        '  ratio   of the median to that of dnsmasq',
    )
    .addOption(new Option('--names <n>', 'how many there are').argParser(integer(1, 60_000)).default(10_000))
    .addOption(
      new Option('--queries <n>', 'how many are asked of each server')
        .argParser(integer(320, 1_000_000))
        .default(20_000),
    )
    .addOption(
      new Option('--shapes <names>', 'only these')
        .argParser(list(oneOf(DNS_SHAPES, 'a shape')))
        .default(DNS_SHAPES, 'all'),
    )
    .addOption(new Option('--json', 'print one JSON array: {"shape", "names", "queries", "us", "perSecond"}'))
    .action(runDns);
  return withExamples(command, [
    { line: 'bench dns', does: '10,000 names, and dnsmasq beside it' },
    { line: 'bench dns --names 100 --queries 1000 --shapes tulle --json', does: 'fewer, for a script' },
  ]);
}

async function runDns({ names, queries, shapes, json }: Options): Promise<void> {
  if (shapes.includes('dnsmasq')) requirePrograms({ dnsmasq: 'dnsmasq-base' });
  note(`${names} names, ${queries} questions to each ...`);
  const results = await untilStopped(signal => measureDns({ names, queries, shapes, signal }));
  if (json) printJson(results);
  else print(tableOf(results));
}

function tableOf(results: readonly DnsBenchResult[]): string {
  const reference = results.find(({ shape }) => shape === 'dnsmasq')?.us.p50;
  const number = (title: string, cell: (row: DnsBenchResult) => string | number) =>
    ({ title, cell: (row: DnsBenchResult) => String(cell(row)), align: 'right' }) as const;
  return formatTable<DnsBenchResult>(
    [
      { title: 'shape', cell: ({ shape }) => shape },
      number('names', ({ names }) => names),
      number('us p50', ({ us }) => us.p50),
      number('p99', ({ us }) => us.p99),
      number('max', ({ us }) => us.max),
      number('a second', ({ perSecond }) => perSecond),
      number('ratio', ({ us }) => (reference === undefined ? '' : (us.p50 / reference).toFixed(2))),
    ],
    results,
  );
}
