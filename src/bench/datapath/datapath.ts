/** Measures traffic over several paths in interleaved rounds, the programs of each host pinned to a processor. */
import type { WhyNot } from './fast-path.ts';
import { type Carried, type LoadOptions, runLoad } from './load.ts';
import { countPast, type PastDevice } from './past-device.ts';
import { OpenPath, PATHS, type PathName, type Way } from './paths.ts';
import { PROCESSORS } from './processors.ts';
import { type DatapathRow, type Past, rowsOf, type Sample } from './rows.ts';
import { KINDS, type Traffic } from './traffic.ts';

export interface DatapathOptions {
  readonly paths: readonly PathName[];
  readonly rounds: number;
  /** Of each kind of traffic. */
  readonly seconds: number;
  /** Path of the program for the path of that name. */
  readonly flanneld?: string;
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

export async function measureDatapath(options: DatapathOptions): Promise<DatapathRow[]> {
  const { paths, rounds, seconds, onProgress, signal } = options;
  const [sender, receiver] = PROCESSORS;
  const isAhead = sender !== receiver && !paths.some(path => 'inUserSpace' in PATHS[path]);
  await using stack = new AsyncDisposableStack();
  const open: OpenPath[] = [];
  for (const path of paths) {
    onProgress(`preparing ${path}`);
    open.push(stack.use(await OpenPath.open(path, options)));
  }
  const samples = new Map<PathName, Sample[]>(paths.map(path => [path, []]));
  for (let round = 0; round < rounds; round++) {
    // What warms up or wears out in a round is at no path's expense.
    for (const { way } of round % 2 === 0 ? open : open.toReversed()) {
      onProgress(`round ${round + 1} of ${rounds}: ${way.path}`);
      samples.get(way.path)?.push(await measureWay(way, { seconds, isAhead, signal }));
    }
  }
  const whyNot = new Map<PathName, WhyNot>();
  for (const each of open) {
    const answer = await each.whyNot(signal);
    if (answer !== undefined) whyNot.set(each.way.path, answer);
  }
  return rowsOf(samples, whyNot);
}

async function measureWay(way: Way, options: LoadOptions): Promise<Sample> {
  const loads = {} as Record<Traffic, Carried>;
  const past = {} as Record<Traffic, PastDevice>;
  for (const kind of KINDS) {
    const load = () => runLoad(kind, way, options);
    if (way.tunnel === undefined) loads[kind] = await load();
    else ({ load: loads[kind], past: past[kind] } = await countPast(kind, way.tunnel, load));
  }
  const perSecond = (kind: Traffic) => loads[kind].received.messages / loads[kind].received.seconds;
  const { bytes, seconds, busy } = loads.stream.received;
  const gigabytes = bytes / 1e9;
  return {
    figures: {
      streamGbps: (gigabytes * 8) / seconds,
      rrPerSecond: perSecond('rr'),
      smallPerSecond: perSecond('small'),
      twoWayPerSecond: perSecond('two-way'),
      cpuSecondsPerGigabyte: busy / gigabytes,
    },
    ...(way.tunnel !== undefined && { past: past satisfies Past }),
  };
}
