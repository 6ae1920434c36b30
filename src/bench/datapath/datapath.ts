/**
 * Measures traffic over several paths in interleaved rounds, the programs of each host pinned to a processor. What a
 * virtual machine can do changes from minute to minute, so every figure becomes a ratio to that of host to host in the
 * same round, and the median of the rounds counts.
 */
import { fileURLToPath } from 'node:url';
import { run, start } from '../../sys/process.ts';
import { percentile } from '../distribution.ts';
import { OpenPath, type PathName, type Way } from './paths.ts';
import { PROCESSORS, pinned } from './processors.ts';
import type { Received, Traffic } from './traffic.ts';

export interface DatapathRow {
  readonly path: PathName;
  readonly streamGbps: number;
  readonly rrPerSecond: number;
  /** To host to host; absent when that was not measured. */
  readonly ratioStream?: number;
  readonly ratioRr?: number;
  /** Datagrams of 64 bytes that arrive in a second. */
  readonly smallPerSecond: number;
  /** Busy time of all processors, for any process. */
  readonly cpuSecondsPerGigabyte: number;
}

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

/** Of one round over one path. */
type Sample = Pick<DatapathRow, 'streamGbps' | 'rrPerSecond' | 'smallPerSecond' | 'cpuSecondsPerGigabyte'>;

export async function measureDatapath(options: DatapathOptions): Promise<DatapathRow[]> {
  const { paths, rounds, onProgress } = options;
  await using stack = new AsyncDisposableStack();
  const ways: Way[] = [];
  for (const path of paths) {
    onProgress(`preparing ${path}`);
    ways.push(stack.use(await OpenPath.open(path, options)).way);
  }
  const samples = new Map<PathName, Sample[]>(paths.map(path => [path, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) {
      onProgress(`round ${round + 1} of ${rounds}: ${way.path}`);
      samples.get(way.path)?.push(await measureWay(way, options));
    }
  }
  const limit = samples.get('host');
  return Array.from(samples, ([path, list]) => rowOf(path, list, limit));
}

function rowOf(
  path: PathName,
  samples: readonly Sample[],
  limit: readonly Sample[] | undefined,
): DatapathRow {
  const median = (of: (sample: Sample, round: number) => number) =>
    percentile(
      samples.map(of).toSorted((a, b) => a - b),
      0.5,
    );
  const ratio = (of: (sample: Sample) => number) =>
    median((sample, round) => of(sample) / of(limit?.[round] ?? sample));
  return {
    path,
    streamGbps: rounded(
      median(sample => sample.streamGbps),
      2,
    ),
    rrPerSecond: rounded(
      median(sample => sample.rrPerSecond),
      0,
    ),
    ...(limit && {
      ratioStream: rounded(
        ratio(sample => sample.streamGbps),
        3,
      ),
      ratioRr: rounded(
        ratio(sample => sample.rrPerSecond),
        3,
      ),
    }),
    smallPerSecond: rounded(
      median(sample => sample.smallPerSecond),
      0,
    ),
    cpuSecondsPerGigabyte: rounded(
      median(sample => sample.cpuSecondsPerGigabyte),
      3,
    ),
  };
}

const rounded = (value: number, digits: number) => Number(value.toFixed(digits));

async function measureWay(way: Way, options: DatapathOptions): Promise<Sample> {
  const stream = await runTraffic('stream', way, options);
  const rr = await runTraffic('rr', way, options);
  const small = await runTraffic('small', way, options);
  const gigabytes = stream.bytes / 1e9;
  return {
    streamGbps: (gigabytes * 8) / stream.seconds,
    rrPerSecond: rr.messages / rr.seconds,
    smallPerSecond: small.messages / small.seconds,
    cpuSecondsPerGigabyte: stream.busy / gigabytes,
  };
}

const SCRIPT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './traffic.ts' : './traffic.js', import.meta.url),
);

async function runTraffic(kind: Traffic, way: Way, { seconds, signal }: DatapathOptions): Promise<Received> {
  const [senders, receivers] = PROCESSORS;
  const traffic = (...args: readonly string[]) => [process.execPath, SCRIPT, ...args, way.ip, `${seconds}`];
  const receiver = await start(...pinned(receivers, traffic('receive', kind)), {
    namespaces: { net: way.to },
    pipeOutput: true,
  });
  try {
    const lines = linesOf(receiver.stdout ?? []);
    await lines.next();
    await run(...pinned(senders, traffic('send', kind)), {
      namespaces: { net: way.from },
      signal,
      timeout: seconds * 1000 + 30_000,
    });
    const { value } = await lines.next();
    if (value === undefined) throw new Error(`nothing arrived over ${way.path}`);
    return JSON.parse(value) as Received;
  } finally {
    receiver.kill('SIGKILL');
    await receiver.exited;
  }
}

async function* linesOf(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<string, undefined> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  return undefined;
}
