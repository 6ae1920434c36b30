/** `tulle bench mesh`: the command line of the measurement in `mesh-bench.ts`. */
import { Command, Option } from 'commander';
import { withExamples } from '../../console/help.ts';
import { integer } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatFacts } from '../../console/table.ts';
import { type MeshResult, measureMesh } from './mesh-bench.ts';

interface Options {
  readonly hosts: number;
  readonly seconds: number;
  readonly json?: true;
}

export function meshCommand(): Command {
  const command = new Command('mesh')
    .summary('hosts that ask each other: cost, and how soon all know of a dead one')
    .description(
      'The health mesh of many hosts, each a network namespace with sockets of its own, all in this process: how many ' +
        'echoes each sends, what that costs, and how soon all others know of a host that is gone.',
    )
    .addOption(new Option('--hosts <n>', 'how many').argParser(integer(3, 500)).default(100))
    .addOption(
      new Option('--seconds <n>', 'of calm that are measured').argParser(integer(1, 600)).default(20),
    )
    .addOption(
      new Option(
        '--json',
        'print one JSON object: {"hosts", "perSecond", "processor", "firstKnown", "allKnown", "falseAlarms"}',
      ),
    )
    .action(runMesh);
  return withExamples(command, [
    { line: 'bench mesh', does: '100 hosts, one of which dies' },
    { line: 'bench mesh --hosts 20 --seconds 5 --json', does: 'fewer, for a script' },
  ]);
}

async function runMesh({ hosts, seconds, json }: Options): Promise<void> {
  note(`${hosts} hosts ask each other, until all have answered all ...`);
  const result = await untilStopped(signal => measureMesh({ hosts, calm: seconds * 1000, signal }));
  if (json) printJson(result);
  else print(factsOf(result));
}

const factsOf = (result: MeshResult): string =>
  formatFacts([
    ['hosts', String(result.hosts)],
    ['echoes', `${result.perSecond} a second from each`],
    ['processor', `${(result.processor * 100).toFixed(3)} % of one, for each host`],
    ['a dead host', `known to the first after ${result.firstKnown} ms, to all after ${result.allKnown} ms`],
    ['false alarms', String(result.falseAlarms)],
  ]);
