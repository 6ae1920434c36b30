/**
 * The load of `tulle bench store`, a process of its own. It speaks just enough gRPC to cost little: a prepared
 * header block, one write per request, and no look at an answer beyond whether it is one; so that what is measured
 * is the server, also with hundreds of clients on the same machine.
 *
 * Argument: a Load as JSON. Output: a LoadResult as JSON.
 */
import { connect, type Socket } from 'node:net';
import {
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FrameReader,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from '../store/http2/frames.ts';
import { encodeHeaders } from '../store/http2/hpack.ts';
import { frameMessage } from '../store/server/grpc-messages.ts';
import { KV } from '../store/wire/generated/kv_pb.ts';
import { Watch } from '../store/wire/generated/watch_pb.ts';
import { definitionOf } from '../store/wire/service.ts';

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

const headersFor = (path: string) =>
  encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ]);
const HEADERS = { put: headersFor(PUT.path), range: headersFor(RANGE.path), watch: headersFor(WATCH.path) };

/** One connection; answers go to whoever opened their stream. */
class Line {
  readonly #socket: Socket;
  readonly #listeners = new Map<number, (frame: 'data' | 'end', payload: Buffer) => void>();
  #nextId = 1;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.write(
      Buffer.concat([
        PREFACE,
        encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW]]),
        encodeWindowUpdate(0, MAX_WINDOW - 65_535),
      ]),
    );
    let taken = 0;
    const reader = new FrameReader((type, flags, id, payload) => {
      if (type === FRAME.SETTINGS && (flags & FLAG.ACK) === 0) {
        this.#socket.write(encodeFrame(FRAME.SETTINGS, FLAG.ACK, 0, Buffer.alloc(0)));
      } else if (type === FRAME.PING && (flags & FLAG.ACK) === 0) {
        this.#socket.write(encodeFrame(FRAME.PING, FLAG.ACK, 0, payload));
      } else if (type === FRAME.DATA) {
        taken += payload.byteLength;
        if (taken > MAX_WINDOW / 4) {
          this.#socket.write(encodeWindowUpdate(0, taken));
          taken = 0;
        }
        this.#listeners.get(id)?.('data', payload);
      } else if (type === FRAME.HEADERS && (flags & FLAG.END_STREAM) !== 0) {
        const listener = this.#listeners.get(id);
        this.#listeners.delete(id);
        listener?.('end', payload);
      }
    });
    this.#socket.on('data', chunk => reader.push(chunk));
  }

  open(
    headers: Buffer,
    message: Buffer,
    last: boolean,
    listener: (frame: 'data' | 'end', payload: Buffer) => void,
  ): void {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#listeners.set(id, listener);
    this.#socket.write(
      Buffer.concat([
        encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, id, headers),
        encodeFrame(FRAME.DATA, last ? FLAG.END_STREAM : 0, id, frameMessage(message)),
      ]),
    );
  }

  /** Whether the answer had a message, which an error does not have. */
  ask(headers: Buffer, message: Buffer): Promise<boolean> {
    return new Promise(resolve => {
      let answered = false;
      this.open(headers, message, true, frame => {
        if (frame === 'data') answered = true;
        else resolve(answered);
      });
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

const keyOf = (index: number) => Buffer.from(`bench/${String(index).padStart(8, '0')}`);

async function run(load: Load): Promise<LoadResult> {
  const latencies: number[] = [];
  let failures = 0;
  const start = performance.now();
  const end = start + load.seconds * 1000;
  const value = Buffer.alloc(load.valueBytes, 'v');
  const put = (index: number, content = value) => PUT.requestSerialize({ key: keyOf(index), value: content });

  const repeat = async (line: Line, headers: Buffer, message: () => Buffer) => {
    while (performance.now() < end) {
      const before = performance.now();
      if (await line.ask(headers, message())) latencies.push(performance.now() - before);
      else failures++;
    }
  };
  const lines = (count: number) => Array.from({ length: count }, () => new Line(load.port));

  let open: Line[] = [];
  switch (load.op) {
    case 'put':
      open = lines(load.clients);
      await Promise.all(
        open.map(line => repeat(line, HEADERS.put, () => put(Math.floor(Math.random() * load.keys)))),
      );
      break;
    case 'range': {
      open = lines(load.clients);
      const message = RANGE.requestSerialize({ key: keyOf(0), rangeEnd: keyOf(load.keys) });
      await Promise.all(open.map(line => repeat(line, HEADERS.range, () => message)));
      break;
    }
    case 'fill': {
      open = lines(load.clients);
      let next = 0;
      await Promise.all(
        open.map(async line => {
          while (next < load.keys) if (!(await line.ask(HEADERS.put, put(next++)))) failures++;
        }),
      );
      break;
    }
    case 'watch':
      open = lines(1 + Math.ceil(load.clients / WATCHERS_PER_CONNECTION));
      await fanOut(load, open, end, value, latencies);
      break;
  }
  for (const line of open) line.close();
  return { latencies, seconds: (performance.now() - start) / 1000, failures };
}

/** Puts one value after the other, each when every watcher has been told of the one before. */
async function fanOut(
  load: Load,
  lines: Line[],
  end: number,
  value: Buffer,
  latencies: number[],
): Promise<void> {
  const [writer, ...readers] = lines;
  if (writer === undefined) return;
  let told = 0;
  let wake: () => void = () => undefined;
  const until = async (count: number) => {
    while (told < count) await new Promise<void>(resolve => (wake = resolve));
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
      told++;
      wake();
    });
  }
  await until(load.clients);
  while (performance.now() < end) {
    const wanted = told + load.clients;
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
