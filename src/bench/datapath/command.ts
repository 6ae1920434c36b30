/** `tulle bench datapath`: the command line of the measurements in `datapath.ts`. */
import { accessSync, constants } from 'node:fs';
import { Command, Option } from 'commander';
import { messageOf } from '../../base/errors.ts';
import { CommandError } from '../../console/errors.ts';
import { withExamples } from '../../console/help.ts';
import { list, oneOf, wholeNumber } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatTable } from '../../console/table.ts';
import { requireCapabilities, requirePrograms } from '../../lab/requirements.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { checkDrawing } from '../plot.ts';
import { measureDatapath } from './datapath.ts';
import { PATH_NAMES, PATHS, type PathName } from './paths.ts';
import { drawing, PATH_COLUMNS, pathFacts } from './table.ts';

interface Options {
  readonly paths: readonly PathName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly flanneld?: string;
  readonly json?: true;
  readonly svg?: string;
}

/** What is measured unless something else is asked for: all that this machine has. */
const USUAL = PATH_NAMES.filter(name => name !== 'flanneld');

export function datapathCommand(): Command {
  const width = Math.max(...PATH_NAMES.map(name => name.length));
  const command = new Command('datapath')
    .summary('container to container over two hosts: Tulle, host to host, Docker')
    .description(
      'What the ways across cost, between two hosts of a lab on this machine, each as a ratio to host to host in the ' +
        'same round. The programs of each host, sender or receiver among them, are pinned to one processor, and run before all others there unless a path has a forwarder in user space; medians of interleaved rounds. The paths:\n' +
        PATH_NAMES.map(name => `  ${name.padEnd(width)}  ${PATHS[name].does}`).join('\n') +
        '\nThe columns:\n' +
        '  stream   one TCP connection\n' +
        '  rr       requests of one byte, answered one at a time\n' +
        '  small    datagrams of 64 bytes that arrive in a second\n' +
        '  two-way  the same, while each is answered by another one\n' +
        '  s/GB     seconds that all processors work for 10^9 bytes of the stream\n' +
        'Of a path with a tunnel device between agents it is said how much of each load went past that device, that is, the ' +
        'fast path; and why not, as the agents say. A flow of one way alone never takes it.',
    )
    .addOption(
      new Option('--paths <names>', 'only these')
        .argParser(list(oneOf(PATH_NAMES, 'a path')))
        .default(USUAL, 'all but flanneld, and that too with --flanneld'),
    )
    .addOption(
      new Option('--rounds <n>', 'how often each is measured')
        .argParser(wholeNumber(1, 100, 'a number of rounds'))
        .default(5),
    )
    .addOption(
      new Option('--seconds <n>', 'how long each load runs')
        .argParser(wholeNumber(1, 60, 'a number of seconds'))
        .default(2),
    )
    .addOption(
      new Option('--flanneld <path>', 'a flanneld, or a program with its flags, for the path of that name'),
    )
    .addOption(new Option('--svg <file>', 'also draw the ratios into a file'))
    .addOption(
      new Option(
        '--json',
        'print one JSON array of {"path", "streamGbps", "rrPerSecond", "smallPerSecond", "twoWayPerSecond", "cpuSecondsPerGigabyte", ' +
          '"ratioStream", "ratioRr", "ratioSmall", "ratioTwoWay", "ratioCpu", "rounds": [the same of each round, and ' +
          '"ahead": {"stream", "rr"} of docker-overlay], "fastPath": {"past", "obstacles", "normalPackets"}}',
      ),
    )
    .action(runDatapath);
  return withExamples(command, [
    { line: 'bench datapath', does: 'all paths: about four minutes' },
    {
      line: 'bench datapath --paths host,vxlan,fast,docker-overlay --rounds 9 --json',
      does: 'the fast path, without it, and Docker, more exactly',
    },
    { line: 'bench datapath --flanneld /usr/bin/flanneld', does: 'and a flanneld beside them' },
  ]);
}

async function runDatapath(given: Options): Promise<void> {
  const options = { ...given, paths: pathsOf(given) };
  const runtime = options.paths.some(path => 'runtime' in PATHS[path]) ? 'docker' : 'namespace';
  requireCapabilities({ docker: runtime === 'docker' });
  requirePrograms({ taskset: 'util-linux', chrt: 'util-linux' });
  await checkDrawing(options.svg, options.paths.includes('host') ? undefined : 'the path host (--paths)');
  const rows = await untilStopped(signal =>
    measureDatapath({ ...options, onProgress: what => note(`${what} ...`), signal }),
  );
  if (options.svg !== undefined) await writeFileAtomic(options.svg, drawing(rows));
  if (options.json) printJson(rows);
  else print([formatTable(PATH_COLUMNS, rows), ...pathFacts(rows)].join('\n'));
}

/** @throws CommandError */
function pathsOf({ paths, flanneld }: Options): readonly PathName[] {
  if (flanneld === undefined) {
    if (!paths.includes('flanneld')) return paths;
    throw new CommandError(
      'USAGE',
      'the path flanneld needs a program',
      'name one: --flanneld /usr/bin/flanneld',
    );
  }
  try {
    accessSync(flanneld, constants.X_OK);
  } catch (error) {
    throw new CommandError('NOT_FOUND', `--flanneld: ${messageOf(error)}`);
  }
  return paths === USUAL ? PATH_NAMES : paths;
}
