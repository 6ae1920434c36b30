/**
 * What a client of HTTP/2 must not do (RFC 9113, RFC 7541), and what becomes of it: the connection or the stream ends
 * with the code that the RFC gives, or the connection is closed. The server is the one that serves our store.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { untilClosed, within } from '../../../test/support/eventually.ts';
import { silentLogger } from '../../base/log.ts';
import {
  ERROR,
  encodeFrame,
  encodeHeaders,
  encodeReset,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FrameReader,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from '../../bench/hostile/http2-frames.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { serviceOf } from '../rpc.ts';
import { GrpcServer } from './grpc-server.ts';

const { DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION } =
  FRAME;
const { END_HEADERS, END_STREAM, PADDED, ACK } = FLAG;
const PRIORITY = 2;
const NONE = Buffer.alloc(0);

const FIELDS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':authority', 'localhost'],
  [':path', '/etcdserverpb.KV/Put'],
  ['content-type', 'application/grpc'],
] as const;
const REQUEST = encodeHeaders(FIELDS);
/** The fields of a request, but for those of one name, and with others. */
const changed = (without: string, ...more: readonly (readonly [string, string])[]) =>
  encodeHeaders([...FIELDS.filter(([name]) => name !== without), ...more]);
const headers = (block: Uint8Array, flags: number = END_HEADERS | END_STREAM, stream = 1) =>
  encodeFrame(HEADERS, flags, stream, block);

interface Case {
  readonly what: string;
  readonly frames: readonly Buffer[];
  /** Codes that the connection may end with. */
  readonly connection?: readonly number[];
  /** Codes that the stream may end with; ending the connection with one of them will do as well. */
  readonly stream?: readonly number[];
}

const {
  PROTOCOL_ERROR,
  INTERNAL_ERROR,
  FRAME_SIZE_ERROR,
  FLOW_CONTROL_ERROR,
  COMPRESSION_ERROR,
  STREAM_CLOSED,
} = ERROR;

const CASES: readonly Case[] = [
  // 4.1, 4.2, 4.3
  {
    what: 'a frame larger than allowed',
    frames: [headers(REQUEST, END_HEADERS), encodeFrame(DATA, 0, 1, Buffer.alloc(16_385))],
    connection: [FRAME_SIZE_ERROR],
  },
  {
    what: 'a header block that cannot be decoded',
    frames: [headers(Buffer.from([0x80]))],
    connection: [COMPRESSION_ERROR],
  },
  {
    what: 'another frame within a header block',
    frames: [headers(REQUEST, END_STREAM), encodeFrame(PING, 0, 0, Buffer.alloc(8))],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a header block of another stream within a header block',
    frames: [headers(REQUEST, END_STREAM), headers(REQUEST, END_HEADERS | END_STREAM, 3)],
    connection: [PROTOCOL_ERROR],
  },
  // 5.1
  {
    what: 'data on a stream that was never opened',
    frames: [encodeFrame(DATA, END_STREAM, 1, NONE)],
    connection: [PROTOCOL_ERROR, STREAM_CLOSED],
  },
  {
    what: 'a reset of a stream that was never opened',
    frames: [encodeReset(1, ERROR.CANCEL)],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a window for a stream that was never opened',
    frames: [encodeWindowUpdate(1, 100)],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a stream with a number of the server',
    frames: [headers(REQUEST, END_HEADERS | END_STREAM, 2)],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'data on a stream that the client has ended',
    frames: [headers(REQUEST), encodeFrame(DATA, END_STREAM, 1, NONE)],
    connection: [STREAM_CLOSED],
    stream: [STREAM_CLOSED],
  },
  {
    what: 'headers on a stream that the client has ended',
    frames: [headers(REQUEST), headers(REQUEST)],
    connection: [STREAM_CLOSED, PROTOCOL_ERROR],
    stream: [STREAM_CLOSED],
  },
  // 6.1 to 6.10
  {
    what: 'data on stream 0',
    frames: [encodeFrame(DATA, 0, 0, Buffer.from('x'))],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'more padding than data',
    frames: [headers(REQUEST, END_HEADERS), encodeFrame(DATA, PADDED, 1, Buffer.from([9, 0]))],
    connection: [PROTOCOL_ERROR],
  },
  { what: 'headers on stream 0', frames: [headers(REQUEST, END_HEADERS, 0)], connection: [PROTOCOL_ERROR] },
  {
    what: 'more padding than headers',
    frames: [headers(Buffer.from([255]), END_HEADERS | PADDED)],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a priority of a wrong size',
    frames: [encodeFrame(PRIORITY, 0, 1, Buffer.alloc(4))],
    connection: [FRAME_SIZE_ERROR],
    stream: [FRAME_SIZE_ERROR],
  },
  { what: 'a reset of stream 0', frames: [encodeReset(0, ERROR.CANCEL)], connection: [PROTOCOL_ERROR] },
  {
    what: 'a reset of a wrong size',
    frames: [headers(REQUEST, END_HEADERS), encodeFrame(RST_STREAM, 0, 1, Buffer.alloc(3))],
    connection: [FRAME_SIZE_ERROR],
  },
  {
    what: 'an acknowledgement of settings with something in it',
    frames: [encodeFrame(SETTINGS, ACK, 0, Buffer.alloc(6))],
    connection: [FRAME_SIZE_ERROR],
  },
  { what: 'settings of a stream', frames: [encodeFrame(SETTINGS, 0, 1, NONE)], connection: [PROTOCOL_ERROR] },
  {
    what: 'settings that are cut short',
    frames: [encodeFrame(SETTINGS, 0, 0, Buffer.alloc(5))],
    connection: [FRAME_SIZE_ERROR],
  },
  {
    what: 'a setting for pushing that is neither on nor off',
    frames: [encodeSettings([[SETTING.ENABLE_PUSH, 2]])],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a window that is too large, as a setting',
    frames: [encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW + 1]])],
    connection: [FLOW_CONTROL_ERROR],
  },
  {
    what: 'a frame size below the least, which ended the store before (E1)',
    frames: [encodeSettings([[SETTING.MAX_FRAME_SIZE, 1]])],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a frame size above the most',
    frames: [encodeSettings([[SETTING.MAX_FRAME_SIZE, 2 ** 24]])],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a push',
    frames: [encodeFrame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([Buffer.from([0, 0, 0, 2]), REQUEST]))],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a ping on a stream',
    frames: [encodeFrame(PING, 0, 1, Buffer.alloc(8))],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'a ping of a wrong size',
    frames: [encodeFrame(PING, 0, 0, Buffer.alloc(7))],
    connection: [FRAME_SIZE_ERROR],
  },
  {
    what: 'a goodbye on a stream',
    frames: [encodeFrame(GOAWAY, 0, 1, Buffer.alloc(8))],
    connection: [PROTOCOL_ERROR],
  },
  { what: 'a window that does not grow', frames: [encodeWindowUpdate(0, 0)], connection: [PROTOCOL_ERROR] },
  {
    what: 'a window of a stream that does not grow',
    frames: [headers(REQUEST, END_HEADERS), encodeWindowUpdate(1, 0)],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'a window of a wrong size',
    frames: [encodeFrame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3))],
    connection: [FRAME_SIZE_ERROR],
  },
  {
    what: 'a window that is too large',
    frames: [encodeWindowUpdate(0, MAX_WINDOW), encodeWindowUpdate(0, MAX_WINDOW)],
    connection: [FLOW_CONTROL_ERROR],
  },
  {
    what: 'a window of a stream that is too large',
    frames: [
      headers(REQUEST, END_HEADERS),
      encodeWindowUpdate(1, MAX_WINDOW),
      encodeWindowUpdate(1, MAX_WINDOW),
    ],
    stream: [FLOW_CONTROL_ERROR],
  },
  {
    what: 'nothing to continue',
    frames: [encodeFrame(CONTINUATION, END_HEADERS, 1, REQUEST)],
    connection: [PROTOCOL_ERROR],
  },
  {
    what: 'headers that go on after they have ended',
    frames: [headers(REQUEST, END_HEADERS), encodeFrame(CONTINUATION, END_HEADERS, 1, REQUEST)],
    connection: [PROTOCOL_ERROR],
  },
  // 8.1, 8.2, 8.3
  {
    what: 'a header in upper case',
    frames: [headers(changed('', ['X-Test', 'a']))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'an unknown pseudo header',
    frames: [headers(encodeHeaders([[':test', 'a'], ...FIELDS]))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: "a response's pseudo header",
    frames: [headers(encodeHeaders([...FIELDS, [':status', '200']]))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'a pseudo header after the others',
    frames: [headers(changed(':path', [':path', '/']))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'a header of the connection',
    frames: [headers(changed('', ['connection', 'keep-alive']))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'te with something else than trailers',
    frames: [headers(changed('', ['te', 'gzip']))],
    stream: [PROTOCOL_ERROR],
  },
  { what: 'no method', frames: [headers(changed(':method'))], stream: [PROTOCOL_ERROR] },
  { what: 'no scheme', frames: [headers(changed(':scheme'))], stream: [PROTOCOL_ERROR] },
  { what: 'no path', frames: [headers(changed(':path'))], stream: [PROTOCOL_ERROR] },
  {
    what: 'two methods',
    frames: [headers(encodeHeaders([[':method', 'POST'], ...FIELDS]))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'trailers that do not end the request',
    frames: [headers(REQUEST, END_HEADERS), headers(encodeHeaders([['x-test', 'a']]), END_HEADERS)],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'a pseudo header in the trailers',
    frames: [headers(REQUEST, END_HEADERS), headers(encodeHeaders([[':method', 'POST']]))],
    stream: [PROTOCOL_ERROR],
  },
  {
    what: 'a content-length that is not the sum of the data',
    frames: [
      headers(changed('', ['content-length', '1']), END_HEADERS),
      encodeFrame(DATA, END_STREAM, 1, Buffer.from('test')),
    ],
    connection: [INTERNAL_ERROR],
    stream: [PROTOCOL_ERROR],
  },
  // RFC 7541, 4.2, 5.2, 6.1, 6.3
  {
    what: 'a header table larger than allowed',
    frames: [headers(Buffer.from([0x3f, 0xe2, 0x1f]))],
    connection: [COMPRESSION_ERROR],
  },
  {
    what: 'a change of the header table at the end of a block',
    frames: [headers(Buffer.concat([REQUEST, Buffer.from([0x20])]))],
    connection: [COMPRESSION_ERROR],
  },
  {
    what: 'a reference to a header that is not there',
    frames: [headers(Buffer.from([0xfe]))],
    connection: [COMPRESSION_ERROR],
  },
];

/** A server, and a client that has said what every client says first. */
async function served(t: TestContext): Promise<{ readonly port: number; readonly client: Socket }> {
  const never = new Promise<never>(() => undefined);
  const grpc = new GrpcServer([serviceOf(KV, { put: () => never })], 1000, silentLogger, () => undefined);
  const server = createServer(socket => grpc.accept(socket)).listen(0, '127.0.0.1');
  await within('the server listens', once(server, 'listening'));
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const client = connect(address.port, '127.0.0.1').on('error', () => undefined);
  t.after(() => {
    client.destroy();
    grpc.close();
    server.close();
  });
  client.write(Buffer.concat([PREFACE, encodeSettings()]));
  return { port: address.port, client };
}

type End = { readonly connection: number | 'closed' } | { readonly stream: number };

/** How the connection, or a stream of it, ends first. */
async function endOf(client: Socket): Promise<End> {
  const { promise, resolve } = Promise.withResolvers<End>();
  const reader = new FrameReader((type, _flags, _stream, payload) => {
    if (type === GOAWAY) resolve({ connection: payload.readUInt32BE(4) });
    else if (type === RST_STREAM) resolve({ stream: payload.readUInt32BE(0) });
  });
  client.on('data', chunk => reader.push(chunk)).once('close', () => resolve({ connection: 'closed' }));
  return promise;
}

for (const { what, frames, connection = [], stream = [] } of CASES) {
  test(`${what} ends with the code for it`, { timeout: 60_000 }, async t => {
    const { client } = await served(t);
    client.write(Buffer.concat(frames));
    const end = await endOf(client);
    if ('stream' in end) assert.ok(stream.includes(end.stream), `stream ended with ${end.stream}`);
    else if (end.connection !== 'closed') {
      assert.ok(
        [...connection, ...stream].includes(end.connection),
        `connection ended with ${end.connection}`,
      );
    }
  });
}

test('something else than the preface ends the connection', { timeout: 60_000 }, async t => {
  const { port } = await served(t);
  const client = connect(port, '127.0.0.1').on('error', () => undefined);
  client.resume().write('INVALID CONNECTION PREFACE\r\n\r\n');
  await within('the connection is closed', untilClosed(client));
});
