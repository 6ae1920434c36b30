/** What a client may send to the port of the store: HTTP/2 frames, compressed headers, gRPC messages. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Http2Connection } from '../../src/store/http2/connection.ts';
import {
  ConnectionError,
  encodeFrame,
  encodeReset,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  PREFACE,
  SETTING,
} from '../../src/store/http2/frames.ts';
import { encodeHeaders, HpackDecoder } from '../../src/store/http2/hpack.ts';
import { RpcError } from '../../src/store/server/errors.ts';
import { frameMessage, MessageReader } from '../../src/store/server/grpc-messages.ts';
import type { FuzzTarget } from './fuzz.ts';

const MAX_MESSAGE = 64;

const REQUEST = encodeHeaders([
  [':method', 'POST'],
  [':path', '/etcdserverpb.KV/Range'],
  ['content-type', 'application/grpc'],
]);
/** Two literals that go into the table, one of them in Huffman's code, and one field from it. */
const INDEXED = Buffer.from(
  '4009782d74656e616e7405616c706861' + '408825a849e95ba97d7f8925a849e95bb8e8b4bf' + 'be',
  'hex',
);
const OK = encodeHeaders([[':status', '200']]);

/** A socket that takes everything, and remembers whether it was ended. */
class Sink extends EventEmitter {
  readonly writableLength = 0;
  readonly writable = true;
  readonly destroyed = false;
  ended = false;

  write(): boolean {
    return true;
  }

  end(): this {
    this.ended = true;
    return this;
  }

  pause(): this {
    return this;
  }

  resume(): this {
    return this;
  }

  destroy(): this {
    return this;
  }
}

/** Feeds a connection, which must end by itself what it does not like; every other error is ours. */
function connectionAccepts(input: Uint8Array): boolean {
  const socket = new Sink();
  new Http2Connection(
    socket as unknown as Socket,
    (stream, _headers, ended) => {
      stream.respond(OK);
      if (ended) stream.end(OK);
      return {
        data(chunk, last) {
          stream.write(Buffer.from(chunk));
          if (last) stream.end(OK);
        },
        reset: () => undefined,
        drained: () => undefined,
      };
    },
    error => {
      throw error;
    },
  );
  try {
    // In pieces, so that frames are cut as well.
    const half = input.length >> 1;
    for (const piece of [PREFACE, input.subarray(0, half), input.subarray(half)]) {
      if (!socket.ended) socket.emit('data', Buffer.from(piece));
    }
    return !socket.ended;
  } finally {
    socket.emit('close');
  }
}

function framesOf(...frames: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([encodeSettings([[SETTING.INITIAL_WINDOW_SIZE, 10]]), ...frames]);
}

export const http2Targets: readonly FuzzTarget[] = [
  {
    name: 'HTTP/2 connections',
    seeds: [
      framesOf(
        encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS, 1, REQUEST),
        encodeFrame(FRAME.DATA, FLAG.END_STREAM, 1, frameMessage(Buffer.from('a message'))),
        encodeWindowUpdate(1, 100),
        encodeWindowUpdate(0, 100),
      ),
      framesOf(
        encodeFrame(FRAME.HEADERS, 0, 1, REQUEST.subarray(0, 4)),
        encodeFrame(FRAME.CONTINUATION, FLAG.END_HEADERS, 1, REQUEST.subarray(4)),
        encodeFrame(FRAME.DATA, FLAG.PADDED, 1, Buffer.from([3, 1, 2, 0, 0, 0])),
        encodeFrame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 1, OK),
        encodeFrame(FRAME.PING, 0, 0, Buffer.alloc(8)),
        encodeReset(1, 8),
      ),
    ],
    accepts: connectionAccepts,
  },
  {
    name: 'compressed headers',
    seeds: [REQUEST, INDEXED, Buffer.concat([Buffer.from([0x20]), INDEXED, OK])],
    accepts(input) {
      const decoder = new HpackDecoder();
      try {
        // What the first block leaves in the table is what the second one refers to.
        for (let block = 0; block < 2; block++) decoder.decode(Buffer.from(input));
        return true;
      } catch (error) {
        if (error instanceof ConnectionError) return false;
        throw error;
      }
    },
  },
  {
    name: 'gRPC messages',
    seeds: ['', 'one', 'x'.repeat(MAX_MESSAGE)].map(text =>
      Buffer.concat([frameMessage(Buffer.from(text)), frameMessage(Buffer.from('last'))]),
    ),
    accepts(input) {
      const reader = new MessageReader(MAX_MESSAGE);
      let bytes = 0;
      try {
        for (const byte of input) {
          reader.push(Buffer.from([byte]), message => {
            bytes += message.byteLength;
          });
        }
        return bytes <= input.length;
      } catch (error) {
        if (error instanceof RpcError) return false;
        throw error;
      }
    },
  },
];
