/**
 * The server's side of one HTTP/2 connection (RFC 9113): frames, streams, flow control.
 *
 * Why not node:http2: it refuses requests whose `:authority` is not a bare host and port, and etcdctl sends the
 * whole endpoint URL there; and it spends more time on a small request than the store does, because every stream
 * is a Duplex with its events. Here a stream is a number, two windows and a callback.
 *
 * Limits against a hostile peer: frames of 16 KiB, header blocks of 64 KiB, a number of streams, and no reading
 * while the peer does not take what it is sent. The receive windows are none: what arrives is taken at once.
 */
import type { Socket } from 'node:net';
import {
  ConnectionError,
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  decodeSettings,
  ERROR,
  encodeFrame,
  encodeGoaway,
  encodeReset,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FrameReader,
  MAX_WINDOW,
  PREFACE,
  SETTING,
  unpad,
} from './frames.ts';
import { HpackDecoder } from './hpack.ts';
import { type Carrier, Http2Stream, type StreamSink } from './stream.ts';

/** Told of each request; returns who is told of what follows on its stream. */
export type OnRequest = (
  stream: Http2Stream,
  headers: ReadonlyMap<string, string>,
  ended: boolean,
) => StreamSink;

/** What a client may send on one stream, and on all together, before we have taken it. */
const STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;
const MAX_HEADER_BLOCK = 64 * 1024;
/** Requests that are open at once; a client with as many watches has its own reasons. */
const MAX_STREAMS = 10_000;
/** Bytes that wait in the socket: above the first streams are told to wait, above the second nothing is read. */
const BUSY_BYTES = 256 * 1024;
const STALLED_BYTES = 4 * 1024 * 1024;
/** Milliseconds that a connection stays after we have ended it. */
const LINGER_MS = 1000;

export class Http2Connection implements Carrier {
  readonly socket: Socket;
  readonly #onRequest: OnRequest;
  readonly #onDefect: (error: unknown) => void;
  readonly #reader = new FrameReader((...frame) => this.#frame(...frame));
  readonly #hpack = new HpackDecoder();
  readonly #streams = new Map<number, Http2Stream>();
  #preface = 0;
  #lastStreamId = 0;
  /** The header block that is being received, with the stream it opens. */
  #headers: { readonly streamId: number; readonly ended: boolean; block: Buffer } | undefined;
  #sendWindow = DEFAULT_WINDOW;
  #peerStreamWindow = DEFAULT_WINDOW;
  #peerFrameSize = DEFAULT_FRAME_SIZE;
  #receiveWindow = CONNECTION_WINDOW;
  #out: Buffer[] = [];
  #flushing = false;
  #closing = false;

  /**
   * Takes over a socket on which nothing has been read, or what was read has been put back.
   * @param onDefect told of an error of ours, which ends this connection and no other.
   */
  constructor(socket: Socket, onRequest: OnRequest, onDefect: (error: unknown) => void) {
    this.socket = socket;
    this.#onRequest = onRequest;
    this.#onDefect = onDefect;
    this.send(
      encodeSettings([
        [SETTING.MAX_CONCURRENT_STREAMS, MAX_STREAMS],
        [SETTING.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
        [SETTING.MAX_HEADER_LIST_SIZE, MAX_HEADER_BLOCK],
      ]),
    );
    this.send(encodeWindowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW));
    socket.on('data', chunk => this.#data(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#closed());
    socket.once('end', () => socket.end());
  }

  get writable(): boolean {
    return this.socket.writableLength < BUSY_BYTES;
  }

  get sendable(): number {
    return Math.min(this.#sendWindow, this.#peerFrameSize);
  }

  /** Everything sent in one turn goes out in one write. */
  send(frame: Buffer): void {
    this.#out.push(frame);
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      const frames = this.#out;
      this.#out = [];
      if (this.socket.destroyed || !this.socket.writable) return;
      const [only] = frames;
      this.socket.write(frames.length === 1 && only !== undefined ? only : Buffer.concat(frames));
      if (this.socket.writableLength > STALLED_BYTES) this.socket.pause();
    });
  }

  sent(bytes: number): void {
    this.#sendWindow -= bytes;
  }

  forget(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    if (this.#closing && this.#streams.size === 0) this.socket.end();
  }

  /** Takes no new streams; ends when the last one has. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.send(encodeGoaway(this.#lastStreamId, ERROR.NO_ERROR, 'the server stops'));
    if (this.#streams.size === 0) process.nextTick(() => this.socket.end());
  }

  #data(chunk: Buffer): void {
    try {
      let bytes = chunk;
      if (this.#preface < PREFACE.byteLength) {
        const expected = PREFACE.subarray(this.#preface, this.#preface + chunk.byteLength);
        if (!chunk.subarray(0, expected.byteLength).equals(expected)) {
          throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'no HTTP/2 preface');
        }
        this.#preface += expected.byteLength;
        bytes = chunk.subarray(expected.byteLength);
      }
      this.#reader.push(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const code = error instanceof ConnectionError ? error.code : ERROR.INTERNAL_ERROR;
    const why = error instanceof ConnectionError ? error.message : 'internal error';
    this.socket.end(encodeGoaway(this.#lastStreamId, code, why));
    this.socket.removeAllListeners('data');
    this.socket.resume();
    // Time to read why; who then does not hang up is not waited for.
    const late = setTimeout(() => this.socket.destroy(), LINGER_MS);
    this.socket.once('close', () => clearTimeout(late));
    if (!(error instanceof ConnectionError)) this.#onDefect(error);
  }

  #frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.#headers !== undefined && (type !== FRAME.CONTINUATION || streamId !== this.#headers.streamId)) {
      throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'a header block is interrupted');
    }
    switch (type) {
      case FRAME.DATA:
        return this.#onData(flags, streamId, payload);
      case FRAME.HEADERS:
        return this.#onHeaders(flags, streamId, payload);
      case FRAME.CONTINUATION:
        return this.#onContinuation(flags, payload);
      case FRAME.RST_STREAM:
        this.#size(payload, 4);
        return this.#streams.get(streamId)?.wasReset();
      case FRAME.SETTINGS:
        return this.#onSettings(flags, payload);
      case FRAME.PING:
        this.#size(payload, 8);
        if ((flags & FLAG.ACK) === 0) this.send(encodeFrame(FRAME.PING, FLAG.ACK, 0, payload));
        return;
      case FRAME.WINDOW_UPDATE:
        return this.#onWindowUpdate(streamId, payload);
      case FRAME.PUSH_PROMISE:
        throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'a client cannot push');
      default:
      // PRIORITY, GOAWAY and frames nobody has heard of need no answer.
    }
  }

  #onData(flags: number, streamId: number, payload: Buffer): void {
    const stream = this.#streams.get(streamId);
    this.#receiveWindow -= payload.byteLength;
    if (this.#receiveWindow < CONNECTION_WINDOW / 2) {
      this.send(encodeWindowUpdate(0, CONNECTION_WINDOW - this.#receiveWindow));
      this.#receiveWindow = CONNECTION_WINDOW;
    }
    if (streamId === 0 || streamId > this.#lastStreamId) {
      throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'data on a stream that is not open');
    }
    // Data for a stream we have ended may still be on its way.
    stream?.received(unpad(flags, payload), payload.byteLength, (flags & FLAG.END_STREAM) !== 0);
  }

  #onHeaders(flags: number, streamId: number, payload: Buffer): void {
    const ended = (flags & FLAG.END_STREAM) !== 0;
    let block = unpad(flags, payload);
    if ((flags & FLAG.PRIORITY) !== 0) block = block.subarray(5);
    const opens = streamId > this.#lastStreamId;
    if (streamId % 2 === 0) throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'not a stream of a client');
    if (opens) this.#lastStreamId = streamId;
    this.#headers = { streamId, ended, block };
    if ((flags & FLAG.END_HEADERS) !== 0) this.#headersComplete(opens);
  }

  #onContinuation(flags: number, payload: Buffer): void {
    const headers = this.#headers;
    if (headers === undefined) throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'nothing to continue');
    headers.block = Buffer.concat([headers.block, payload]);
    if (headers.block.byteLength > MAX_HEADER_BLOCK) {
      throw new ConnectionError(ERROR.ENHANCE_YOUR_CALM, 'too many headers');
    }
    if ((flags & FLAG.END_HEADERS) !== 0) {
      this.#headersComplete(headers.streamId === this.#lastStreamId && !this.#streams.has(headers.streamId));
    }
  }

  #headersComplete(opens: boolean): void {
    if (this.#headers === undefined) return;
    const { streamId, ended, block } = this.#headers;
    this.#headers = undefined;
    // Decoded in any case: every block changes the header table.
    const headers = this.#hpack.decode(block);
    if (!opens) {
      this.#streams.get(streamId)?.received(EMPTY, 0, ended);
      return;
    }
    if (this.#closing || this.#streams.size >= MAX_STREAMS) {
      return this.send(encodeReset(streamId, ERROR.REFUSED_STREAM));
    }
    const stream = new Http2Stream(this, streamId, this.#peerStreamWindow, STREAM_WINDOW);
    this.#streams.set(streamId, stream);
    stream.open(this.#onRequest(stream, headers, ended), ended);
  }

  #onSettings(flags: number, payload: Buffer): void {
    if ((flags & FLAG.ACK) !== 0) return;
    for (const [setting, value] of decodeSettings(payload)) {
      switch (setting) {
        case SETTING.INITIAL_WINDOW_SIZE: {
          if (value > MAX_WINDOW) throw new ConnectionError(ERROR.FLOW_CONTROL_ERROR, 'window too large');
          const change = value - this.#peerStreamWindow;
          this.#peerStreamWindow = value;
          for (const stream of this.#streams.values()) stream.widen(change);
          break;
        }
        case SETTING.MAX_FRAME_SIZE:
          // Larger ones than everybody takes would only hold up other streams.
          this.#peerFrameSize = Math.min(value, DEFAULT_FRAME_SIZE);
          break;
        default:
      }
    }
    this.send(encodeFrame(FRAME.SETTINGS, FLAG.ACK, 0, EMPTY));
  }

  #onWindowUpdate(streamId: number, payload: Buffer): void {
    this.#size(payload, 4);
    const increment = payload.readUInt32BE(0) & 0x7fff_ffff;
    if (increment === 0) throw new ConnectionError(ERROR.PROTOCOL_ERROR, 'a window that does not grow');
    if (streamId !== 0) {
      this.#streams.get(streamId)?.widen(increment);
      return;
    }
    this.#sendWindow += increment;
    if (this.#sendWindow > MAX_WINDOW)
      throw new ConnectionError(ERROR.FLOW_CONTROL_ERROR, 'window too large');
    for (const stream of this.#streams.values()) stream.widen(0);
  }

  #size(payload: Buffer, bytes: number): void {
    if (payload.byteLength !== bytes)
      throw new ConnectionError(ERROR.FRAME_SIZE_ERROR, 'a frame of a wrong size');
  }

  #drained(): void {
    this.socket.resume();
    for (const stream of this.#streams.values()) stream.widen(0);
  }

  #closed(): void {
    for (const stream of this.#streams.values()) stream.wasReset();
  }
}

const EMPTY = Buffer.alloc(0);
