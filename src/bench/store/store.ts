/**
 * `tulle store` against etcd: the same load on the same disk, in turns, so that a moment in which the machine is
 * busy hits both. The load comes from a process of its own (load.ts).
 */
import { fileURLToPath } from 'node:url';
import { run } from '../../sys/process.ts';
import { usageOf } from '../../sys/usage.ts';
import { percentile } from '../distribution.ts';
import type { Load, LoadResult } from './load.ts';
import { withEtcd, withTulleStore } from './servers.ts';

export const STORE_OPERATIONS = ['put', 'range', 'watch', 'memory'] as const;
export type StoreOperation = (typeof STORE_OPERATIONS)[number];

export interface StoreRow {
  readonly store: 'tulle' | 'etcd';
  readonly op: 'put' | 'range' | 'watch';
  readonly clients: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Puts, ranges, or events delivered. */
  readonly perSecond: number;
}

export interface MemoryRow {
  readonly store: 'tulle' | 'etcd';
  readonly op: 'memory';
  readonly keys: number;
  /** Resident memory of the process. */
  readonly mebibytes: number;
}

export interface StoreBenchOptions {
  readonly operations: readonly StoreOperation[];
  /** Numbers of clients that put. */
  readonly clients: readonly number[];
  /** Seconds of one measurement. */
  readonly seconds: number;
  /** Measurements of each, in turns. */
  readonly rounds: number;
  readonly onProgress: (what: string) => void;
  readonly signal: AbortSignal;
}

/** Keys in play while putting, keys of one range, watchers, keys for the memory. */
const KEYS = 100_000;
const RANGE_KEYS = 10_000;
const RANGE_CLIENTS = 1;
const WATCHERS = 1000;
const VALUE_BYTES = 256;
/** A load may take this much longer than it should before it is given up, in milliseconds. */
const PATIENCE_MS = 120_000;

interface Server {
  readonly store: 'tulle' | 'etcd';
  readonly port: number;
  readonly pid: number;
}

/** @throws SysError ENOENT when etcd is not installed */
export async function measureStore(options: StoreBenchOptions): Promise<(StoreRow | MemoryRow)[]> {
  const { signal, operations } = options;
  return withEtcd(signal, etcd =>
    withTulleStore(signal, async tulle => {
      const servers: Server[] = [
        { store: 'tulle', ...tulle },
        { store: 'etcd', ...etcd },
      ];
      const rows: (StoreRow | MemoryRow)[] = [];
      // Before the puts, which would leave etcd and us with different amounts of history.
      if (operations.includes('memory')) {
        for (const server of servers) rows.push(await memory(server, options));
      }
      if (operations.includes('put')) {
        for (const clients of options.clients)
          rows.push(...(await inTurns(servers, 'put', clients, KEYS, options)));
      }
      if (operations.includes('range')) {
        for (const server of servers) await load(server, 'fill', 16, RANGE_KEYS, options);
        rows.push(...(await inTurns(servers, 'range', RANGE_CLIENTS, RANGE_KEYS, options)));
      }
      if (operations.includes('watch')) {
        rows.push(...(await inTurns(servers, 'watch', WATCHERS, KEYS, options)));
      }
      return rows;
    }),
  );
}

/** The median round of each server. */
async function inTurns(
  servers: readonly Server[],
  op: 'put' | 'range' | 'watch',
  clients: number,
  keys: number,
  options: StoreBenchOptions,
): Promise<StoreRow[]> {
  const rounds = new Map<Server, StoreRow[]>(servers.map(server => [server, []]));
  for (let round = 1; round <= options.rounds; round++) {
    for (const server of servers) {
      options.onProgress(`${op} with ${clients} clients, ${server.store}, round ${round}`);
      const result = await load(server, op, clients, keys, options);
      rounds.get(server)?.push({ store: server.store, op, clients, ...summary(result) });
    }
  }
  return [...rounds.values()].flatMap(rows => {
    const sorted = rows.toSorted((a, b) => a.perSecond - b.perSecond);
    return sorted[Math.floor(sorted.length / 2)] ?? [];
  });
}

function summary({ latencies, seconds }: LoadResult): Pick<StoreRow, 'p50Ms' | 'p99Ms' | 'perSecond'> {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(percentile(sorted, share) * 1000) / 1000;
  return { p50Ms: at(0.5), p99Ms: at(0.99), perSecond: Math.round(sorted.length / seconds) };
}

async function memory(server: Server, options: StoreBenchOptions): Promise<MemoryRow> {
  options.onProgress(`memory with ${KEYS} keys, ${server.store}`);
  await load(server, 'fill', 64, KEYS, options);
  const { resident } = usageOf(server.pid);
  return { store: server.store, op: 'memory', keys: KEYS, mebibytes: Math.round(resident / 2 ** 20) };
}

async function load(
  { port }: Server,
  op: Load['op'],
  clients: number,
  keys: number,
  { seconds, signal }: StoreBenchOptions,
): Promise<LoadResult> {
  const file = import.meta.url.endsWith('.ts') ? './load.ts' : './load.js';
  const script = fileURLToPath(new URL(file, import.meta.url));
  const job: Load = { op, port, clients, seconds, keys, valueBytes: VALUE_BYTES };
  const { stdout } = await run(process.execPath, [script, JSON.stringify(job)], {
    signal,
    timeout: seconds * 1000 + PATIENCE_MS,
    maxOutput: 256 * 1024 * 1024,
  });
  const result = JSON.parse(stdout) as LoadResult;
  if (result.failures > 0) throw new Error(`${result.failures} requests of ${op} failed`);
  return result;
}
