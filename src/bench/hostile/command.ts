/** `tulle bench hostile`: the command line of the attacks in `attacks.ts`. */
import { Command, Option } from 'commander';
import { ParseError } from '../../base/errors.ts';
import { withExamples } from '../../console/help.ts';
import { integer, list } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { untilStopped } from '../../console/signals.ts';
import { type Column, formatTable } from '../../console/table.ts';
import { withEtcd, withTulleStore } from '../store/servers.ts';
import { ATTACKS } from './attacks.ts';
import { type HostileRow, measureAttack } from './hostile.ts';

interface Options {
  readonly attacks: readonly string[];
  readonly seconds: number;
  readonly json?: true;
}

const NAMES = ATTACKS.map(({ name }) => name);

export function hostileCommand(): Command {
  const width = Math.max(...NAMES.map(name => name.length));
  const command = new Command('hostile')
    .summary('what a hostile client costs the other clients of a store')
    .description(
      '`tulle store` and the installed etcd, attacked on loopback by one client while another one reads ' +
        `a key all the time:\n${ATTACKS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}`,
    )
    .addOption(
      new Option('--attacks <names>', 'only these attacks').argParser(list(attackName)).default(NAMES, 'all'),
    )
    .addOption(new Option('--seconds <n>', 'length of one attack').argParser(integer(1, 600)).default(4))
    .addOption(
      new Option(
        '--json',
        'print one JSON array: {"store", "attack", "wait", "failures", "peakMebibytes", "connections"}',
      ),
    )
    .action(runHostileBench);
  return withExamples(command, [
    { line: 'bench hostile', does: 'everything: two minutes' },
    {
      line: 'bench hostile --attacks rapid-reset,one-byte-frames --seconds 20',
      does: 'two attacks, for longer',
    },
  ]);
}

async function runHostileBench({ attacks, seconds, json }: Options): Promise<void> {
  const rows = await untilStopped(async signal => {
    const measured: HostileRow[] = [];
    for (const attack of attacks) {
      // A fresh store each: what one attack leaves behind is not counted for the next.
      for (const [store, withStore] of [['tulle', withTulleStore] as const, ['etcd', withEtcd] as const]) {
        note(`measuring ${attack}, ${store} ...`);
        measured.push(
          await withStore(signal, server => measureAttack(server, store, attack, seconds, signal)),
        );
      }
    }
    return measured;
  });
  if (json) printJson(rows);
  else print(formatTable(COLUMNS, rows));
}

const COLUMNS: readonly Column<HostileRow>[] = [
  { title: 'attack', cell: row => row.attack },
  { title: 'store', cell: row => row.store },
  { title: 'p50 ms', cell: row => String(row.wait.p50), align: 'right' },
  { title: 'p99 ms', cell: row => String(row.wait.p99), align: 'right' },
  { title: 'max ms', cell: row => String(row.wait.max), align: 'right' },
  { title: 'failed', cell: row => String(row.failures), align: 'right' },
  { title: 'peak MiB', cell: row => String(row.peakMebibytes), align: 'right' },
];

function attackName(text: string): string {
  if (NAMES.includes(text)) return text;
  throw new ParseError('an attack', text, `want one of ${NAMES.join(', ')}`);
}
