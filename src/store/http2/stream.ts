/**
 * One request and its response on an HTTP/2 connection.
 *
 *     we send        HEADERS (respond), DATA... (write), HEADERS with END_STREAM (end)
 *     the peer sends HEADERS, DATA..., END_STREAM on one of them
 *
 * DATA waits here while a window is exhausted; everything else goes out at once.
 */
import {
  ERROR,
  type ErrorCode,
  encodeFrame,
  encodeReset,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  writeFrameHeader,
} from './frames.ts';

/** Who is told what the peer does on a stream. */
export interface StreamSink {
  /** A piece of the body, a view of the buffer it came in. `ended`: there is no more. */
  data(chunk: Buffer, ended: boolean): void;
  /** The stream is over before it was complete: reset, or its connection is gone. */
  reset(): void;
  /** `writable` may be true again. */
  drained(): void;
}

/** What a stream needs of the connection that carries it. */
export interface Carrier {
  /** Whether the socket takes more without piling it up. */
  readonly writable: boolean;
  /** How much of a stream's data may go out now: the connection's window, in a frame the peer takes. */
  readonly sendable: number;
  send(frame: Buffer): void;
  /** A DATA frame of so many bytes was sent. */
  sent(bytes: number): void;
  /** The stream is over on both sides, or was reset. */
  forget(stream: Http2Stream): void;
}

export class Http2Stream {
  readonly id: number;
  readonly #connection: Carrier;
  readonly #windowSize: number;
  #sink: StreamSink | undefined;
  #sendWindow: number;
  #receiveWindow: number;
  /** DATA that a window holds back. */
  #waiting: Buffer[] = [];
  /** What ends the stream once `#waiting` is empty. */
  #trailers: Buffer | undefined;
  #peerEnded = false;
  #over = false;

  constructor(connection: Carrier, id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.#connection = connection;
    this.#sendWindow = sendWindow;
    this.#receiveWindow = receiveWindow;
    this.#windowSize = receiveWindow;
  }

  /** Whether more DATA would go out without waiting in memory. */
  get writable(): boolean {
    return !this.#over && this.#waiting.length === 0 && this.#connection.writable;
  }

  open(sink: StreamSink, ended: boolean): void {
    this.#sink = sink;
    this.#peerEnded = ended;
  }

  /** The headers of the response: an encoded block. With `end` they are all of it. */
  respond(block: Buffer, end = false): void {
    if (this.#over) return;
    const flags = FLAG.END_HEADERS | (end ? FLAG.END_STREAM : 0);
    this.#connection.send(encodeFrame(FRAME.HEADERS, flags, this.id, block));
    if (end) this.#finish();
  }

  /** A piece of the body. */
  write(data: Buffer): void {
    if (this.#over) return;
    this.#waiting.push(data);
    this.#pump();
  }

  /** The end of the response: an encoded block of trailers. */
  end(trailers: Buffer): void {
    if (this.#over) return;
    this.#trailers = trailers;
    this.#pump();
  }

  /** A whole small response in one write, as long as the windows allow. */
  respondWhole(block: Buffer, data: Buffer, trailers: Buffer): void {
    if (this.#over) return;
    if (data.byteLength > Math.min(this.#sendWindow, this.#connection.sendable)) {
      this.respond(block);
      this.write(data);
      this.end(trailers);
      return;
    }
    const frames = Buffer.allocUnsafe(
      3 * FRAME_HEADER_BYTES + block.byteLength + data.byteLength + trailers.byteLength,
    );
    let at = writeFrameHeader(frames, 0, block.byteLength, FRAME.HEADERS, FLAG.END_HEADERS, this.id);
    at += block.copy(frames, at);
    at = writeFrameHeader(frames, at, data.byteLength, FRAME.DATA, 0, this.id);
    at += data.copy(frames, at);
    const flags = FLAG.END_HEADERS | FLAG.END_STREAM;
    at = writeFrameHeader(frames, at, trailers.byteLength, FRAME.HEADERS, flags, this.id);
    trailers.copy(frames, at);
    this.#connection.sent(data.byteLength);
    this.#connection.send(frames);
    this.#finish();
  }

  reset(code: ErrorCode): void {
    if (this.#over) return;
    this.#connection.send(encodeReset(this.id, code));
    this.#close();
  }

  /** The peer's DATA (or its end): `taken` is what it cost of the window, padding included. */
  received(chunk: Buffer, taken: number, ended: boolean): void {
    if (this.#over || this.#peerEnded) {
      if (this.#peerEnded) this.reset(ERROR.STREAM_CLOSED);
      return;
    }
    this.#receiveWindow -= taken;
    this.#peerEnded = ended;
    if (!ended && this.#receiveWindow < this.#windowSize / 2) {
      this.#connection.send(encodeWindowUpdate(this.id, this.#windowSize - this.#receiveWindow));
      this.#receiveWindow = this.#windowSize;
    }
    this.#sink?.data(chunk, ended);
  }

  /** The peer reset the stream, or the connection is gone. */
  wasReset(): void {
    if (this.#over) return;
    this.#close();
    this.#sink?.reset();
  }

  /** The stream's window grew by so much; with 0, the connection's did, or its socket has room again. */
  widen(increment: number): void {
    this.#sendWindow += increment;
    if (this.#waiting.length > 0 || this.#trailers !== undefined) this.#pump();
    if (this.writable) this.#sink?.drained();
  }

  #pump(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const room = Math.min(this.#sendWindow, this.#connection.sendable);
      if (room <= 0 && next.byteLength > 0) return;
      const part = next.subarray(0, room);
      if (part.byteLength === next.byteLength) this.#waiting.shift();
      else this.#waiting[0] = next.subarray(part.byteLength);
      this.#sendWindow -= part.byteLength;
      this.#connection.sent(part.byteLength);
      this.#connection.send(encodeFrame(FRAME.DATA, 0, this.id, part));
    }
    if (this.#trailers === undefined) return;
    const flags = FLAG.END_HEADERS | FLAG.END_STREAM;
    this.#connection.send(encodeFrame(FRAME.HEADERS, flags, this.id, this.#trailers));
    this.#finish();
  }

  /** Our side is complete. A client that has more to say is told that nobody listens. */
  #finish(): void {
    if (!this.#peerEnded) this.#connection.send(encodeReset(this.id, ERROR.NO_ERROR));
    this.#close();
  }

  #close(): void {
    this.#over = true;
    this.#waiting = [];
    this.#trailers = undefined;
    this.#connection.forget(this);
  }
}
