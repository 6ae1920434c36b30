/**
 * The load of `tulle bench store`, a process of its own. Its connections cost little (connection.ts), so
 * that what is measured is the server, also with hundreds of clients on the same machine.
 *
 * Argument: a Load as JSON. Output: a LoadResult as JSON.
 */
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { Watch } from '../../store/wire/generated/watch_pb.ts';
import { definitionOf } from '../../store/wire/service.ts';
import { headersFor, StoreConnection } from './connection.ts';

export interface Load {
  readonly op: 'put' | 'range' | 'watch' | 'fill';
  readonly port: number;
  /** Connections that each wait for an answer before they ask again; for `watch`, watchers. */
  readonly clients: number;
  readonly seconds: number;
  /** Keys that are put (in random order), filled, or read at once. */
  readonly keys: number;
  readonly valueBytes: number;
}

export interface LoadResult {
  /** Milliseconds from request to answer; for `watch`, from a put to its event at each watcher. */
  readonly latencies: readonly number[];
  readonly seconds: number;
  readonly failures: number;
}

const PUT = definitionOf(KV).put;
const RANGE = definitionOf(KV).range;
const WATCH = definitionOf(Watch).watch;
/** Watchers on one connection, as a client library would share it. */
const WATCHERS_PER_CONNECTION = 50;
/** Digits of a time at the end of a value, in microseconds. */
const STAMP_DIGITS = 14;

const HEADERS = { put: headersFor(PUT.path), range: headersFor(RANGE.path), watch: headersFor(WATCH.path) };

const keyOf = (index: number) => Buffer.from(`bench/${String(index).padStart(8, '0')}`);

async function run(load: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  let failures = 0;
  const start = performance.now();
  const end = start + load.seconds * 1000;
  const value = Buffer.alloc(load.valueBytes, 'v');
  const put = (index: number, content = value) => PUT.requestSerialize({ key: keyOf(index), value: content });

  const repeat = async (connection: StoreConnection, headers: Buffer, message: () => Buffer) => {
    while (performance.now() < end) {
      const before = performance.now();
      if (await connection.ask(headers, message())) latencies.push(performance.now() - before);
      else failures++;
    }
  };
  const connections = (count: number) => Array.from({ length: count }, () => new StoreConnection(load.port));

  let open: StoreConnection[] = [];
  switch (load.op) {
    case 'put':
      open = connections(load.clients);
      await Promise.all(
        open.map(connection =>
          repeat(connection, HEADERS.put, () => put(Math.floor(Math.random() * load.keys))),
        ),
      );
      break;
    case 'range': {
      open = connections(load.clients);
      const message = RANGE.requestSerialize({ key: keyOf(0), rangeEnd: keyOf(load.keys) });
      await Promise.all(open.map(connection => repeat(connection, HEADERS.range, () => message)));
      break;
    }
    case 'fill': {
      open = connections(load.clients);
      let next = 0;
      await Promise.all(
        open.map(async connection => {
          while (next < load.keys) if (!(await connection.ask(HEADERS.put, put(next++)))) failures++;
        }),
      );
      break;
    }
    case 'watch':
      open = connections(1 + Math.ceil(load.clients / WATCHERS_PER_CONNECTION));
      await fanOut(load, open, end, value, latencies);
      break;
  }
  for (const connection of open) connection.close();
  return { latencies, seconds: (performance.now() - start) / 1000, failures };
}

/** Puts one value after the other, each when every watcher has received the one before. */
async function fanOut(
  load: Load,
  connections: StoreConnection[],
  end: number,
  value: Buffer,
  latencies: number[],
): Promise<void> {
  const [writer, ...readers] = connections;
  if (writer === undefined) return;
  let received = 0;
  let wake: () => void = () => undefined;
  const until = async (count: number) => {
    while (received < count) await new Promise<void>(resolve => (wake = resolve));
  };
  const request = WATCH.requestSerialize({
    requestUnion: { case: 'createRequest', value: { key: keyOf(0), rangeEnd: keyOf(load.keys) } },
  });
  for (let index = 0; index < load.clients; index++) {
    let created = false;
    readers[index % readers.length]?.open(HEADERS.watch, request, false, (frame, payload) => {
      if (frame !== 'data') return;
      // The value is the last field of an event, and the time the last part of the value.
      if (created) {
        const sent = Number(payload.toString('latin1', payload.byteLength - STAMP_DIGITS)) / 1000;
        latencies.push(performance.now() - sent);
      }
      created = true;
      received++;
      wake();
    });
  }
  await until(load.clients);
  while (performance.now() < end) {
    const wanted = received + load.clients;
    const stamp = String(Math.round(performance.now() * 1000)).padStart(STAMP_DIGITS, '0');
    const content = Buffer.concat([value.subarray(0, value.byteLength - STAMP_DIGITS), Buffer.from(stamp)]);
    await writer.ask(HEADERS.put, PUT.requestSerialize({ key: keyOf(1), value: content }));
    await until(wanted);
  }
}

if (import.meta.main) {
  const load = JSON.parse(process.argv[2] ?? '{}') as Load;
  process.stdout.write(JSON.stringify(await run(load)), () => process.exit());
}
