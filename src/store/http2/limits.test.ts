/** What a hostile or broken peer may make us do, and what becomes of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Http2Connection, type OnRequest } from './connection.ts';
import {
  ERROR,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FrameReader,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from './frames.ts';
import { encodeHeaders } from './hpack.ts';

const REQUEST = encodeHeaders([[':path', '/']]);
const { END_HEADERS, END_STREAM, PADDED } = FLAG;

/** Answers nothing. */
const silent: OnRequest = () => ({ data: () => undefined, reset: () => undefined, drained: () => undefined });

interface Frame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** A server and one peer of it, which has said what every peer says first. */
async function pair(
  t: TestContext,
  onRequest: OnRequest = silent,
  settings: readonly (readonly [number, number])[] = [],
) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const peer = connect(address.port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  new Http2Connection(socket, onRequest, assert.ifError);
  peer.on('error', () => undefined);
  peer.write(Buffer.concat([PREFACE, encodeSettings(settings)]));
  t.after(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  return { peer, socket };
}

/** The first frame the peer gets that is wanted; undefined when the connection ends before. */
async function received(peer: Socket, wanted: (frame: Frame) => boolean): Promise<Frame | undefined> {
  const { promise, resolve } = Promise.withResolvers<Frame | undefined>();
  const reader = new FrameReader((type, _flags, streamId, payload) => {
    const frame = { type, streamId, payload: Buffer.from(payload) };
    if (wanted(frame)) resolve(frame);
  });
  peer.on('data', chunk => reader.push(chunk)).on('close', () => resolve(undefined));
  return promise;
}

const headers = (block: Uint8Array, flags: number = END_HEADERS, streamId = 1) =>
  encodeFrame(FRAME.HEADERS, flags, streamId, block);
/** A field that goes into the header table (RFC 7541, 6.2.1); its entry counts 38 bytes more than the value. */
const indexed = (bytes: number) =>
  Buffer.concat([
    Buffer.from([0x40, 6]),
    Buffer.from('x-name'),
    Buffer.from([0x7f, ((bytes - 127) & 0x7f) | 0x80, (bytes - 127) >> 7]),
    Buffer.alloc(bytes, 'a'),
  ]);
const NEWEST = Buffer.from([0x80 | 62]);
const SECOND = Buffer.from([0x80 | 63]);

const BROKEN: readonly (readonly [string, readonly Buffer[], number])[] = [
  ['more padding than frame', [headers(Buffer.from([9]), END_HEADERS | PADDED)], ERROR.PROTOCOL_ERROR],
  [
    'a header block without end',
    [
      headers(REQUEST, 0),
      ...Array<Buffer>(5).fill(encodeFrame(FRAME.CONTINUATION, 0, 1, Buffer.alloc(16_000))),
    ],
    ERROR.ENHANCE_YOUR_CALM,
  ],
  [
    'a small header block that unpacks to a large one',
    [headers(Buffer.concat([indexed(4000), ...Array<Buffer>(20).fill(NEWEST)]))],
    ERROR.ENHANCE_YOUR_CALM,
  ],
  // 4097: one more than allowed.
  ['a header table larger than allowed', [headers(Buffer.from([0x3f, 0xe2, 0x1f]))], ERROR.COMPRESSION_ERROR],
  [
    'a header that had to leave the table',
    [headers(Buffer.concat([indexed(2100), indexed(2100), SECOND]))],
    ERROR.COMPRESSION_ERROR,
  ],
  [
    'another frame within a header block',
    [headers(REQUEST, 0), encodeFrame(FRAME.PING, 0, 0, Buffer.alloc(8))],
    ERROR.PROTOCOL_ERROR,
  ],
  ['nothing to continue', [encodeFrame(FRAME.CONTINUATION, END_HEADERS, 1, REQUEST)], ERROR.PROTOCOL_ERROR],
  ["a stream of the server's", [headers(REQUEST, END_HEADERS, 2)], ERROR.PROTOCOL_ERROR],
  ['data on a stream that was never opened', [encodeFrame(FRAME.DATA, 0, 7, REQUEST)], ERROR.PROTOCOL_ERROR],
  ['a push', [encodeFrame(FRAME.PUSH_PROMISE, 0, 1, REQUEST)], ERROR.PROTOCOL_ERROR],
  ['a ping of a wrong size', [encodeFrame(FRAME.PING, 0, 0, Buffer.alloc(7))], ERROR.FRAME_SIZE_ERROR],
  ['a window that does not grow', [encodeWindowUpdate(0, 0)], ERROR.PROTOCOL_ERROR],
  ['a window too large', [encodeWindowUpdate(0, MAX_WINDOW)], ERROR.FLOW_CONTROL_ERROR],
  [
    'a window too large, as a setting',
    [encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW + 1]])],
    ERROR.FLOW_CONTROL_ERROR,
  ],
];

for (const [what, frames, code] of BROKEN) {
  test(`${what} ends the connection with the code for it`, async t => {
    const { peer } = await pair(t);
    peer.write(Buffer.concat(frames));
    const goaway = await received(peer, ({ type }) => type === FRAME.GOAWAY);
    assert.equal(goaway?.payload.readUInt32BE(4), code);
    assert.equal(await received(peer, () => false), undefined);
  });
}

test('one header that just fits the table can be used again', async t => {
  const seen: (string | undefined)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const { peer } = await pair(t, (stream, fields, ended) => {
    seen.push(fields.get('x-name'));
    if (seen.length === 2) resolve();
    return silent(stream, fields, ended);
  });
  peer.write(Buffer.concat([headers(indexed(4058)), headers(NEWEST, END_HEADERS, 3)]));
  await promise;
  assert.deepEqual(seen, ['a'.repeat(4058), 'a'.repeat(4058)]);
});

test('one stream more than allowed is refused, and another may follow when one has ended', async t => {
  const { peer } = await pair(t);
  const open = (index: number) => headers(REQUEST, END_HEADERS | END_STREAM, 2 * index + 1);
  peer.write(Buffer.concat(Array.from({ length: 10_001 }, (_, index) => open(index))));
  const refused = await received(peer, ({ type }) => type === FRAME.RST_STREAM);
  assert.equal(refused?.streamId, 20_001);
  assert.equal(refused.payload.readUInt32BE(0), ERROR.REFUSED_STREAM);
  const ping = encodeFrame(FRAME.PING, 0, 0, Buffer.alloc(8));
  const reset = encodeFrame(FRAME.RST_STREAM, 0, 1, Buffer.alloc(4));
  peer.write(Buffer.concat([reset, open(10_001), ping]));
  const next = await received(peer, ({ type }) => type === FRAME.RST_STREAM || type === FRAME.PING);
  assert.equal(next?.type, FRAME.PING);
});

test('nothing is read from a peer that does not take what it is sent', async t => {
  const settings = [[SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW]] as const;
  const flooding: OnRequest = (stream, fields, ended) => {
    stream.respond(encodeHeaders([[':status', '200']]));
    stream.write(Buffer.alloc(32 * 1024 * 1024));
    return silent(stream, fields, ended);
  };
  const { peer, socket } = await pair(t, flooding, settings);
  const paused = once(socket, 'pause');
  peer.write(Buffer.concat([encodeWindowUpdate(0, MAX_WINDOW - 65_535), headers(REQUEST)]));
  await paused;
  const resumed = once(socket, 'resume');
  peer.resume();
  await resumed;
});
