/** `bench program`: what it costs to make a kernel know its peers, by number of peers, shape and operation. */
import { deleteLink } from '../../dataplane/links/link.ts';
import { BENCH_DEVICE, BenchHost, type BenchPeer, pathsTo, pathTo } from './bench-host.ts';
import { lose, SHAPES, type Shape, type ShapeName } from './shapes.ts';

export const OPERATIONS = ['cold', 'one', 'resync', 'noop'] as const;
export type ProgramOperation = (typeof OPERATIONS)[number];

export const SHAPE_NAMES = Object.keys(SHAPES) as ShapeName[];

/** One measurement; the unit of `--json`. */
export interface ProgramRow {
  readonly peers: number;
  readonly shape: ShapeName;
  readonly op: ProgramOperation;
  /** Milliseconds from the request to the last answer of the kernel. */
  readonly ms: number;
  /** Modifying requests. */
  readonly writes: number;
}

export interface ProgramOptions {
  readonly sizes: readonly number[];
  readonly shapes: readonly ShapeName[];
  readonly operations: readonly ProgramOperation[];
  /** Called before each measurement. */
  readonly onProgress: (what: string) => void;
  readonly signal?: AbortSignal;
}

/** What takes less than this is measured several times, each time in a fresh namespace, for its median. */
const SHORT_MS = 5000;
const ROUNDS = 3;
/** Peers of a first round that is not reported: a benchmark is not to measure the compiler. */
const WARM_UP = 500;
/** Changes of one peer that are measured, for their median. */
const SAMPLES = 9;
/** Of the peers, how many lose their entries before a resync: one in this many. */
const LOST = 100;

/** Measures everything that is asked for, one thing at a time, each shape in a namespace of its own. */
export async function measureProgram(options: ProgramOptions): Promise<ProgramRow[]> {
  options.onProgress('nothing yet, to warm up');
  const silent = { ...options, onProgress: () => undefined };
  for (const shape of options.shapes) await measureShape(shape, WARM_UP, silent);
  const rows: ProgramRow[] = [];
  for (const peers of options.sizes) {
    for (const shape of options.shapes) rows.push(...(await measureRounds(shape, peers, options)));
  }
  return rows;
}

async function measureRounds(
  shape: ShapeName,
  peers: number,
  options: ProgramOptions,
): Promise<ProgramRow[]> {
  const rounds: ProgramRow[][] = [];
  let isShort = true;
  while (isShort && rounds.length < ROUNDS) {
    const started = performance.now();
    rounds.push(await measureShape(shape, peers, options));
    isShort = performance.now() - started < SHORT_MS;
  }
  return options.operations.flatMap(op => median(rounds.flatMap(rows => rows.filter(row => row.op === op))));
}

/** The one in the middle, by time; none of none. */
function median<Timed extends { readonly ms: number }>(samples: readonly Timed[]): Timed[] {
  return samples
    .toSorted((a, b) => a.ms - b.ms)
    .slice(Math.floor(samples.length / 2), Math.floor(samples.length / 2) + 1);
}

async function measureShape(
  name: ShapeName,
  peers: number,
  { operations, onProgress, signal }: ProgramOptions,
): Promise<ProgramRow[]> {
  const rows: ProgramRow[] = [];
  await using host = await BenchHost.create();
  await using shape = await SHAPES[name](host);
  const measure = async (op: ProgramOperation, sample: () => Promise<Sample>) => {
    // Nothing can be measured in an empty table, so the first one always runs.
    if (op !== 'cold' && !operations.includes(op)) return;
    signal?.throwIfAborted();
    onProgress(`${peers} peers, ${name}, ${op}`);
    const { ms, writes } = await sample();
    if (operations.includes(op)) rows.push({ peers, shape: name, op, ms: Number(ms.toFixed(3)), writes });
  };
  const paths = pathsTo(peers);
  await measure('cold', () => timed(() => shape.cold(paths)));
  await assertProgrammed(host, name, peers);
  await measure('one', () => movePeers(shape, peers));
  await measure('resync', () => loseAndResync(host, shape, paths));
  await assertProgrammed(host, name, peers);
  await measure('noop', () => timed(() => shape.resync()));
  // Taken down here, not in the background of the next measurement.
  const device = await host.rtnetlink.links.get(BENCH_DEVICE);
  if (device !== undefined) await deleteLink(host.rtnetlink, device.index);
  return rows;
}

interface Sample {
  readonly ms: number;
  readonly writes: number;
}

async function timed(work: () => Promise<number>): Promise<Sample> {
  const started = performance.now();
  const writes = await work();
  return { ms: performance.now() - started, writes };
}

/** The median of several peers' moves, spread over the table. */
async function movePeers(shape: Shape, peers: number): Promise<Sample> {
  const samples: Sample[] = [];
  for (let sample = 1; sample <= SAMPLES; sample++) {
    // Peers that are not among those that lose their entries afterwards.
    const number = Math.min(peers - 1, Math.floor((sample * peers) / (SAMPLES + 1)) | 1);
    samples.push(await timed(() => shape.one(pathTo(number, sample))));
  }
  const [middle = { ms: 0, writes: 0 }] = median(samples);
  return middle;
}

async function loseAndResync(host: BenchHost, shape: Shape, paths: readonly BenchPeer[]): Promise<Sample> {
  await lose(
    host,
    paths.filter((_, index) => index % LOST === 0),
  );
  return await timed(() => shape.resync());
}

/** A measurement of work that was not done would be worth nothing. */
async function assertProgrammed(host: BenchHost, name: ShapeName, peers: number): Promise<void> {
  const { rtnetlink } = host;
  const oif = (await rtnetlink.links.get(BENCH_DEVICE))?.index ?? 0;
  const counts = {
    routes: (await rtnetlink.routes.list({ family: 'ipv4', table: 254, oif })).length,
    neighbors: (await rtnetlink.neighbors.list({ index: oif, family: 'ipv4' })).length,
    'FDB entries': (await rtnetlink.fdb.list(oif)).length,
  };
  for (const [what, count] of Object.entries(counts)) {
    if (count < peers) throw new Error(`${name} programmed ${count} ${what} for ${peers} peers`);
  }
}
