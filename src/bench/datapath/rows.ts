/**
 * What a machine can do changes from minute to minute, so every figure becomes a ratio to that of host to host in the
 * same round, and the median of the rounds counts; the rounds themselves show how far it can be trusted.
 */
import { percentile } from '../distribution.ts';
import type { WhyNot } from './fast-path.ts';
import type { PastDevice } from './past-device.ts';
import type { PathName } from './paths.ts';
import type { Traffic } from './traffic.ts';

export interface Figures {
  readonly streamGbps: number;
  readonly rrPerSecond: number;
  /** Datagrams of 64 bytes that arrive in a second, one way. */
  readonly smallPerSecond: number;
  /** The same while each is answered by another one. */
  readonly twoWayPerSecond: number;
  /** Busy time of all processors, for any process, during the stream. */
  readonly cpuSecondsPerGigabyte: number;
}

/** To host to host. */
export interface Ratios {
  readonly ratioStream: number;
  readonly ratioRr: number;
  readonly ratioSmall: number;
  readonly ratioTwoWay: number;
  /** Below 1 is less work. */
  readonly ratioCpu: number;
}

/** Shares of each load that went past the tunnel device, on a path where there is one. */
export type Past = Readonly<Record<Traffic, PastDevice>>;

/** Of one round over one path. */
export interface Sample {
  readonly figures: Figures;
  readonly past?: Past;
}

export interface Round extends Figures, Partial<Ratios> {
  /** Whether more went over this path than over docker-overlay; absent when that was not measured. */
  readonly ahead?: { readonly stream: boolean; readonly rr: boolean };
}

/** Medians of the rounds. The ratios are absent when host to host was not measured. */
export interface DatapathRow extends Figures, Partial<Ratios> {
  readonly path: PathName;
  readonly rounds: readonly Round[];
  readonly fastPath?: { readonly past: Past } & WhyNot;
}

const RATIOS = {
  ratioStream: 'streamGbps',
  ratioRr: 'rrPerSecond',
  ratioSmall: 'smallPerSecond',
  ratioTwoWay: 'twoWayPerSecond',
  ratioCpu: 'cpuSecondsPerGigabyte',
} as const satisfies Record<keyof Ratios, keyof Figures>;

/** Digits after the point. */
const DIGITS: Readonly<Record<keyof Figures, number>> = {
  streamGbps: 2,
  rrPerSecond: 0,
  smallPerSecond: 0,
  twoWayPerSecond: 0,
  cpuSecondsPerGigabyte: 3,
};
const RATIO_DIGITS = 3;

/** @param samples of each path one per round, in the same order. @param whyNot of the paths that have a tunnel device. */
export function rowsOf(
  samples: ReadonlyMap<PathName, readonly Sample[]>,
  whyNot: ReadonlyMap<PathName, WhyNot>,
): DatapathRow[] {
  const [limit, docker] = [samples.get('host'), samples.get('docker-overlay')];
  return Array.from(samples, ([path, list]) => {
    const rounds = list.map(({ figures }, round) =>
      roundOf(
        figures,
        limit?.[round]?.figures,
        path === 'docker-overlay' ? undefined : docker?.[round]?.figures,
      ),
    );
    const pasts = list.flatMap(({ past }) => past ?? []);
    return {
      path,
      ...figuresOf(key => median(list.map(({ figures }) => figures[key]))),
      ...(limit && ratiosOf(key => median(rounds.map(round => round[key] ?? Number.NaN)))),
      rounds,
      ...(pasts.length > 0 && {
        fastPath: { past: medianPast(pasts), ...(whyNot.get(path) ?? { obstacles: [], normalPackets: {} }) },
      }),
    };
  });
}

function roundOf(figures: Figures, limit: Figures | undefined, docker: Figures | undefined): Round {
  return {
    ...figuresOf(key => figures[key]),
    ...(limit && ratiosOf(key => figures[RATIOS[key]] / limit[RATIOS[key]])),
    ...(docker && {
      ahead: {
        stream: figures.streamGbps > docker.streamGbps,
        rr: figures.rrPerSecond > docker.rrPerSecond,
      },
    }),
  };
}

const medianPast = (pasts: readonly Past[]): Past => {
  const of = (kind: Traffic): PastDevice => ({
    sent: rounded(median(pasts.map(past => past[kind].sent)), RATIO_DIGITS),
    received: rounded(median(pasts.map(past => past[kind].received)), RATIO_DIGITS),
  });
  return { stream: of('stream'), rr: of('rr'), small: of('small'), 'two-way': of('two-way') };
};

const figuresOf = (of: (key: keyof Figures) => number): Figures =>
  mapKeys(DIGITS, key => rounded(of(key), DIGITS[key]));

const ratiosOf = (of: (key: keyof Ratios) => number): Ratios =>
  mapKeys(RATIOS, key => rounded(of(key), RATIO_DIGITS));

function mapKeys<Key extends string>(keys: Readonly<Record<Key, unknown>>, of: (key: Key) => number) {
  return Object.fromEntries((Object.keys(keys) as Key[]).map(key => [key, of(key)])) as Record<Key, number>;
}

const median = (values: readonly number[]) =>
  percentile(
    values.toSorted((a, b) => a - b),
    0.5,
  );

const rounded = (value: number, digits: number) => Number(value.toFixed(digits));
