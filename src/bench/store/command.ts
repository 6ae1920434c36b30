/** `tulle bench store`: the command line of the measurements in `store.ts`. */
import { Command, Option } from 'commander';
import { ParseError } from '../../base/errors.ts';
import { withExamples } from '../../console/help.ts';
import { integer, list } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { type Column, formatTable } from '../../console/table.ts';
import {
  type MemoryRow,
  measureStore,
  STORE_OPERATIONS,
  type StoreOperation,
  type StoreRow,
} from './store.ts';

interface Options {
  readonly clients: readonly number[];
  readonly ops: readonly StoreOperation[];
  readonly seconds: number;
  readonly rounds: number;
  readonly json?: true;
}

export function storeBenchCommand(): Command {
  const command = new Command('store')
    .summary('`tulle store` and etcd: puts, ranges, watches, memory')
    .description(
      'Compare `tulle store` with the installed etcd, on the same disk, in one run, one after the other:\n' +
        '  put     256 bytes to random keys of 100,000, each client waiting for its answer\n' +
        '  range   10,000 keys in one answer\n' +
        '  watch   1,000 watchers of one prefix, from the put to the event at each of them\n' +
        '  memory  resident memory with 100,000 keys',
    )
    .addOption(
      new Option('--clients <n,...>', 'numbers of clients that put')
        .argParser(list(clientCount))
        .default([1, 16, 256], '1,16,256'),
    )
    .addOption(
      new Option('--ops <names>', 'only these operations')
        .argParser(list(operation))
        .default(STORE_OPERATIONS, 'all'),
    )
    .addOption(new Option('--seconds <n>', 'length of one measurement').argParser(integer(1, 600)).default(5))
    .addOption(
      new Option('--rounds <n>', 'measurements of each, in turns; the median counts')
        .argParser(integer(1, 99))
        .default(3),
    )
    .addOption(
      new Option('--json', 'print one JSON array: {"store","op","clients","p50Ms","p99Ms","perSecond"}'),
    )
    .action(runStoreBench);
  return withExamples(command, [
    { line: 'bench store', does: 'everything: about three minutes' },
    { line: 'bench store --ops put --clients 1,256 --json', does: 'the two numbers that matter most' },
  ]);
}

async function runStoreBench({ ops, json, ...options }: Options): Promise<void> {
  const rows = await untilStopped(signal =>
    measureStore({ ...options, operations: ops, onProgress: what => note(`measuring ${what} ...`), signal }),
  );
  if (json) printJson(rows);
  else print(formatTable(COLUMNS, rows));
}

const number = (value: number) => String(value);

const COLUMNS: readonly Column<StoreRow | MemoryRow>[] = [
  { title: 'op', cell: row => row.op },
  { title: 'clients', cell: row => (row.op === 'memory' ? '' : number(row.clients)), align: 'right' },
  { title: 'store', cell: row => row.store },
  { title: 'p50 ms', cell: row => (row.op === 'memory' ? '' : number(row.p50Ms)), align: 'right' },
  { title: 'p99 ms', cell: row => (row.op === 'memory' ? '' : number(row.p99Ms)), align: 'right' },
  { title: 'per second', cell: row => (row.op === 'memory' ? '' : number(row.perSecond)), align: 'right' },
  {
    title: 'MiB',
    cell: row => (row.op === 'memory' ? number(row.mebibytes) : ''),
    align: 'right',
    verbatim: true,
  },
];

function clientCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 4096) return count;
  throw new ParseError('a number of clients', text, 'want 1 to 4096');
}

function operation(text: string): StoreOperation {
  const found = STORE_OPERATIONS.find(name => name === text);
  if (found !== undefined) return found;
  throw new ParseError('an operation', text, `want one of ${STORE_OPERATIONS.join(', ')}`);
}
