/** `tulle bench converge`: the command line of the measurements in `converge.ts` and `usage.ts`. */
import { Command, Option } from 'commander';
import { withExamples } from '../../console/help.ts';
import { integer, list, value, wholeNumber, withChoices } from '../../console/options.ts';
import { note, print, printJson } from '../../console/output.ts';
import { requireRoot } from '../../console/require-root.ts';
import { untilStopped } from '../../console/signals.ts';
import { type Column, formatTable } from '../../console/table.ts';
import { writeFileAtomic } from '../../sys/file.ts';
import { checkDrawing, plotLines } from '../plot.ts';
import { withEtcd, withTulleStore } from '../store/servers.ts';
import { type ConvergeRow, measureConvergence } from './converge.ts';
import { measureAgents, SITUATIONS, type UsageRow } from './usage.ts';

const MOST_HOSTS = 250;
const MOST_PEERS = 60_000;
const DEFAULT_HOSTS = [1, 10, 100] as const;

interface Options {
  readonly hosts?: readonly number[];
  readonly agents: number;
  readonly flanneld?: string;
  readonly leases: number;
  readonly peers?: readonly number[];
  readonly store: 'etcd' | 'tulle';
  readonly svg?: string;
  readonly json?: true;
}

export function convergeCommand(): Command {
  const command = new Command('converge')
    .summary('time from a lease to a route in every kernel; cost of an agent')
    .description(
      'The time from a lease in the store to a route in the kernel of every other host, and the cost of an ' +
        'agent by the number of peers. The hosts run in this process, each with a network namespace, a netlink ' +
        'connection, a connection to the store, and the parts of an agent between the two. ' +
        'So they share one processor. A few real agents run beside them, and as many processes that do ' +
        'what flanneld does with a lease; `cpu ms` is the processor time of such a process for one more lease, with ' +
        'what it does later. The operations:\n' +
        '  burst   as many leases as there are hosts, written at the same moment\n' +
        '  one     one more lease at a time\n' +
        'The steps, in milliseconds since the lease was sent to the store:\n' +
        '  committed   the store has answered; hosts may have received the lease before\n' +
        '  received    a host has the watch event\n' +
        '  checked     the lease is a peer: decoded, valid, overlaps no other\n' +
        '  applied     the kernel has acknowledged neighbor, FDB entry, next hop and route\n' +
        '  announced   the kernel has announced the route, as another program sees it\n' +
        '  everywhere  announced on the last of all hosts\n' +
        'The situations in which an agent is measured:\n' +
        Object.entries(SITUATIONS)
          .map(([name, what]) => `  ${name.padEnd(10)}  ${what}`)
          .join('\n'),
    )
    .addOption(
      new Option(
        '--hosts <n,...>',
        `hosts in this process (default: ${DEFAULT_HOSTS.join()}; none when only --peers is given)`,
      ).argParser(list(wholeNumber(0, MOST_HOSTS))),
    )
    .addOption(new Option('--agents <n>', 'real agents beside them').argParser(integer(0, 20)).default(2))
    .addOption(
      new Option('--flanneld <path>', 'a real flanneld, to run instead of its procedure').argParser(
        value(text => text),
      ),
    )
    .addOption(new Option('--leases <n>', 'leases of `one`').argParser(integer(1, 1000)).default(30))
    .addOption(
      new Option('--peers <n,...>', 'measure one real agent on a network with this many peers').argParser(
        list(wholeNumber(0, MOST_PEERS)),
      ),
    )
    .addOption(
      withChoices(new Option('--store <name>', 'the store to use'), ['etcd', 'tulle'], 'a store').default(
        'etcd',
      ),
    )
    .addOption(new Option('--svg <file>', 'also draw milliseconds over hosts, of `one`, into a file'))
    .addOption(new Option('--json', 'print one JSON array: a row per step and per measured agent'))
    .action(runConverge);
  return withExamples(command, [
    { line: 'bench converge --hosts 10', does: 'a quick look: some seconds' },
    { line: 'bench converge --store tulle --svg converge.svg', does: 'on `tulle store`, with a drawing' },
    {
      line: 'bench converge --peers 0,1000,5000,20000',
      does: 'processor and memory of an agent: ten minutes',
    },
  ]);
}

async function runConverge(options: Options): Promise<void> {
  const { store, peers, agents, flanneld, leases, svg, json } = options;
  const sizes = options.hosts ?? (peers === undefined ? DEFAULT_HOSTS : []);
  requireRoot('the measurement makes network namespaces');
  await checkDrawing(svg, sizes.length > 0 ? undefined : 'hosts (--hosts)');
  const withStore = store === 'etcd' ? withEtcd : withTulleStore;
  const onProgress = (what: string) => note(`${what} ...`);
  const [rows, usages] = await untilStopped(async signal => {
    const measured: ConvergeRow[] = [];
    for (const hosts of sizes) {
      const each = await withStore(signal, ({ endpoint }) =>
        measureConvergence({
          endpoint,
          hosts,
          agents,
          ...(flanneld && { flanneld }),
          leases,
          onProgress,
          signal,
        }),
      );
      measured.push(...each);
    }
    const measuredAgents = await (peers === undefined
      ? []
      : withStore(signal, ({ endpoint }) => {
          const ascending = peers.toSorted((a, b) => a - b);
          return measureAgents({ endpoint, sizes: ascending, onProgress, signal });
        }));
    return [measured, measuredAgents];
  });
  if (svg !== undefined) await writeFileAtomic(svg, drawing(rows));
  if (json) return printJson([...rows, ...usages]);
  if (rows.length > 0) print(formatTable(STEP_COLUMNS, rows));
  if (usages.length > 0) print(formatTable(USAGE_COLUMNS, usages));
}

const STEP_COLUMNS: readonly Column<ConvergeRow>[] = [
  { title: 'hosts', cell: ({ hosts }) => String(hosts), align: 'right' },
  { title: 'op', cell: ({ op }) => op },
  { title: 'step', cell: ({ step }) => step },
  { title: 'of', cell: ({ of }) => of },
  { title: 'p50 ms', cell: ({ p50 }) => p50.toFixed(1), align: 'right' },
  { title: 'p95', cell: ({ p95 }) => p95.toFixed(1), align: 'right' },
  { title: 'p99', cell: ({ p99 }) => p99.toFixed(1), align: 'right' },
  { title: 'max', cell: ({ max }) => max.toFixed(1), align: 'right' },
  { title: 'cpu ms', cell: ({ cpuMs }) => cpuMs?.toFixed(2) ?? '', align: 'right' },
];

const USAGE_COLUMNS: readonly Column<UsageRow>[] = [
  { title: 'peers', cell: ({ peers }) => String(peers), align: 'right' },
  { title: 'situation', cell: ({ situation }) => situation },
  {
    title: 'subnet ms',
    cell: ({ subnetMs }) => (subnetMs === undefined ? '' : String(subnetMs)),
    align: 'right',
  },
  {
    title: 'ready ms',
    cell: ({ readyMs }) => (readyMs === undefined ? '' : String(readyMs)),
    align: 'right',
  },
  { title: 'cpu ms', cell: ({ cpuMs }) => String(cpuMs), align: 'right' },
  { title: 'peak MB', cell: ({ peakMb }) => peakMb.toFixed(1), align: 'right' },
  { title: 'then', cell: ({ residentMb }) => residentMb.toFixed(1), align: 'right' },
  { title: 'anonymous', cell: ({ anonymousMb }) => anonymousMb.toFixed(1), align: 'right' },
];

function drawing(rows: readonly ConvergeRow[]): string {
  const points = (step: ConvergeRow['step'], of: ConvergeRow['of'], value: 'p50' | 'p99') =>
    rows
      .filter(row => row.op === 'one' && row.step === step && row.of === of)
      .map(row => [row.hosts, row[value]] as const);
  return plotLines({
    title: 'From a lease in the store to a route in the kernel',
    x: 'hosts (logarithmic)',
    y: 'milliseconds (logarithmic)',
    series: [
      { name: 'last host, p50', points: points('everywhere', 'all', 'p50') },
      { name: 'a host, p99', points: points('announced', 'hosts', 'p99') },
      { name: 'a host, p50', points: points('announced', 'hosts', 'p50') },
      { name: 'committed, p50', points: points('committed', 'all', 'p50') },
    ],
  });
}
