/**
 * What a hostile client costs the others: one attack after the other on a store (attacks.ts), from a
 * process of its own, while an honest client asks for one key again and again, now and then over a new connection.
 */
import { fileURLToPath } from 'node:url';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { definitionOf } from '../../store/wire/service.ts';
import { run } from '../../sys/process.ts';
import { forgetPeak, usageOf } from '../../sys/usage.ts';
import { type Distribution, distributionOf } from '../distribution.ts';
import { headersFor, StoreConnection } from '../store/connection.ts';
import type { ServerUnderTest } from '../store/servers.ts';

export interface HostileRow {
  readonly store: 'tulle' | 'etcd';
  readonly attack: string;
  /** Milliseconds that the honest client waits for an answer. */
  readonly wait: Distribution;
  /** Requests of the honest client that were not answered. */
  readonly failures: number;
  /** The most memory that the server had, in MiB. */
  readonly peakMebibytes: number;
  /** Connections that the attacker had to make. */
  readonly connections: number;
}

const { put: PUT, range: RANGE } = definitionOf(KV);
const HEADERS = headersFor(RANGE.path);
const REQUEST = RANGE.requestSerialize({ key: Buffer.from('honest') });
/** What a range of everything has to carry: 16 MiB. */
const KEYS = 1024;
const VALUE = Buffer.alloc(16 * 1024);
/** Requests of the honest client over one connection. */
const REQUESTS_PER_CONNECTION = 50;
/** Milliseconds between its requests. */
const PAUSE_MS = 2;
/** An attack may take this much longer than it should, in milliseconds. */
const PATIENCE_MS = 30_000;

/** One attack on a store that runs. @throws ProcessError when the attacker does not end */
export async function measureAttack(
  server: ServerUnderTest,
  store: HostileRow['store'],
  attack: string,
  seconds: number,
  signal: AbortSignal,
): Promise<HostileRow> {
  await fill(server.port);
  forgetPeak(server.pid);
  const file = import.meta.url.endsWith('.ts') ? './client.ts' : './client.js';
  const script = fileURLToPath(new URL(file, import.meta.url));
  const over = new AbortController();
  const attacker = run(process.execPath, [script, attack, String(server.port), String(seconds)], {
    signal,
    timeout: seconds * 1000 + PATIENCE_MS,
  }).finally(() => over.abort());
  const [{ stdout }, honest] = await Promise.all([attacker, beHonest(server.port, over.signal)]);
  return {
    store,
    attack,
    ...honest,
    peakMebibytes: Math.round(usageOf(server.pid).peak / 2 ** 20),
    connections: Number(stdout),
  };
}

async function fill(port: number): Promise<void> {
  const connection = new StoreConnection(port);
  const headers = headersFor(PUT.path);
  for (let index = 0; index < KEYS; index++) {
    await connection.ask(headers, PUT.requestSerialize({ key: Buffer.from(`key${index}`), value: VALUE }));
  }
  connection.close();
}

async function beHonest(port: number, over: AbortSignal): Promise<Pick<HostileRow, 'wait' | 'failures'>> {
  const waits: number[] = [];
  let failures = 0;
  while (!over.aborted) {
    const connection = new StoreConnection(port);
    for (let asked = 0; asked < REQUESTS_PER_CONNECTION && !over.aborted && !connection.isClosed; asked++) {
      const before = performance.now();
      if (await connection.ask(HEADERS, REQUEST)) waits.push(performance.now() - before);
      else failures++;
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
    }
    connection.close();
  }
  return { wait: distributionOf(waits), failures };
}
