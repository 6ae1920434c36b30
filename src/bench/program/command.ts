/** `tulle bench program`: the command line of the measurements in `program.ts`. */
import { Command, Option } from 'commander';
import { formatNumber } from '../../console/format.ts';
import { withExamples } from '../../console/help.ts';
import { list, oneOf, wholeNumber } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { requireRoot } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';
import { formatTable } from '../../console/table.ts';
import { requirePrograms } from '../../lab/requirements.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { checkDrawing, plotLines } from '../plot.ts';
import {
  measureProgram,
  OPERATIONS,
  type ProgramOperation,
  type ProgramRow,
  SHAPE_NAMES,
} from './program.ts';
import type { ShapeName } from './shapes.ts';

const MOST_PEERS = 200_000;

interface Options {
  readonly peers: readonly number[];
  readonly shapes: readonly ShapeName[];
  readonly ops: readonly ProgramOperation[];
  readonly json?: true;
  readonly svg?: string;
}

export function programCommand(): Command {
  const command = new Command('program')
    .summary('program peers into the kernel: Tulle, flannel, iproute2')
    .description(
      'The cost of programming peers into the kernel of a fresh namespace, in three ways in one run:\n' +
        '  engine    the data plane of the agent\n' +
        '  flannel   neighbor, FDB entry and plain route per peer, one answered request at a time\n' +
        '  iproute2  the same entries through `ip -batch` and `bridge -batch`\n' +
        'The operations:\n' +
        '  cold      from an empty device to all peers\n' +
        '  one       one peer among all gets another MAC and underlay address (median of 9)\n' +
        '  resync    one peer in 100 has lost its entries; they are repaired\n' +
        '  noop      nothing is wrong; verify that\n' +
        'flannel and iproute2 cannot compare: for them resync and noop write everything again.\n' +
        'What takes under 5 seconds in all is measured three times, for the median.',
    )
    .addOption(
      new Option('--peers <n,...>', 'numbers of peers')
        .argParser(list(wholeNumber(1, MOST_PEERS, 'a number of peers')))
        .default([1000, 5000, 20_000, 50_000], '1000,5000,20000,50000'),
    )
    .addOption(
      new Option('--shapes <names>', 'only these')
        .argParser(list(oneOf(SHAPE_NAMES, 'a shape')))
        .default(SHAPE_NAMES, 'all'),
    )
    .addOption(
      new Option('--ops <names>', 'only these operations')
        .argParser(list(oneOf(OPERATIONS, 'an operation')))
        .default(OPERATIONS, 'all'),
    )
    .addOption(new Option('--svg <file>', 'also draw milliseconds over peers, from empty, into a file'))
    .addOption(new Option('--json', 'print one JSON array: {"peers", "shape", "op", "ms", "writes"}'))
    .action(runProgram);
  return withExamples(command, [
    { line: 'bench program --peers 1000,5000', does: 'a quick look: some seconds' },
    { line: 'bench program --svg program.svg', does: 'everything: about ten minutes' },
    { line: 'bench program --shapes engine --ops noop --peers 20000 --json', does: 'a no-op resync alone' },
  ]);
}

async function runProgram(options: Options): Promise<void> {
  requireRoot('the measurement makes network namespaces');
  if (options.shapes.includes('iproute2'))
    requirePrograms({ nsenter: 'util-linux', ip: 'iproute2', bridge: 'iproute2' });
  await checkDrawing(options.svg, options.ops.includes('cold') ? undefined : 'the operation cold (--ops)');
  const rows = await untilStopped(signal =>
    measureProgram({
      sizes: options.peers,
      shapes: options.shapes,
      operations: options.ops,
      onProgress: onceEach(what => note(`measuring ${what} ...`)),
      signal,
    }),
  );
  if (options.svg !== undefined) await writeFileAtomic(options.svg, drawing(rows));
  if (options.json) printJson(rows);
  else print(tableOf(rows));
}

/** Reports once what is measured several times. */
function onceEach(report: (what: string) => void): (what: string) => void {
  const reported = new Set<string>();
  return what => {
    if (!reported.has(what)) report(what);
    reported.add(what);
  };
}

/** One line per number of peers and operation, and how many times faster the engine is. */
function tableOf(rows: readonly ProgramRow[]): string {
  const lines = rows
    .filter((row, index) => rows.findIndex(other => sameLine(row, other)) === index)
    .sort((a, b) => OPERATIONS.indexOf(a.op) - OPERATIONS.indexOf(b.op) || a.peers - b.peers);
  const find = (line: ProgramRow, shape: ShapeName) =>
    rows.find(row => sameLine(row, line) && row.shape === shape);
  const ratio = (line: ProgramRow, shape: ShapeName) => {
    const [ours, theirs] = [find(line, 'engine'), find(line, shape)];
    return ours === undefined || theirs === undefined ? '' : `${(theirs.ms / ours.ms).toFixed(1)}x`;
  };
  const measured = SHAPE_NAMES.filter(shape => rows.some(row => row.shape === shape));
  return formatTable<ProgramRow>(
    [
      { title: 'op', cell: ({ op }) => op },
      { title: 'peers', cell: ({ peers }) => formatNumber(peers), align: 'right' },
      ...measured.flatMap(shape => [
        {
          title: `${shape} ms`,
          cell: (line: ProgramRow) => formatNumber(find(line, shape)?.ms, 1),
          align: 'right' as const,
        },
        {
          title: 'writes',
          cell: (line: ProgramRow) => formatNumber(find(line, shape)?.writes),
          align: 'right' as const,
        },
      ]),
      ...measured
        .filter(shape => shape !== 'engine')
        .map(shape => ({
          title: `vs ${shape}`,
          cell: (line: ProgramRow) => ratio(line, shape),
          align: 'right' as const,
        })),
    ],
    lines,
  );
}

const sameLine = (a: ProgramRow, b: ProgramRow) => a.op === b.op && a.peers === b.peers;

function drawing(rows: readonly ProgramRow[]): string {
  return plotLines({
    title: 'Programming peers into an empty device',
    x: 'peers (logarithmic)',
    y: 'milliseconds (logarithmic)',
    series: SHAPE_NAMES.map(name => ({
      name,
      points: rows
        .filter(({ shape, op }) => shape === name && op === 'cold')
        .map(({ peers, ms }) => [peers, ms]),
    })),
  });
}
