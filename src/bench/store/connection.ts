/**
 * A connection that speaks just enough gRPC to cost little: a prepared header block, one write per request, and no look
 * at an answer beyond whether it is one.
 */
import { connect, type Socket } from 'node:net';
import { frameMessage } from '../../etcdserver/http/grpc-messages.ts';
import {
  encodeFrame,
  encodeHeaders,
  encodeSettings,
  encodeWindowUpdate,
  FLAG,
  FRAME,
  FrameReader,
  MAX_WINDOW,
  PREFACE,
  SETTING,
} from '../hostile/http2-frames.ts';

/** Of a request to this path, for any number of requests. */
export const headersFor = (path: string) =>
  encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ]);

/** Answers go to the caller that opened their stream. */
export class StoreConnection {
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
    this.#socket.on('error', () => this.#socket.destroy());
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

  /** Whether the answer had a message, which an error does not have; false as well when the connection ends. */
  ask(headers: Buffer, message: Buffer): Promise<boolean> {
    return new Promise(resolve => {
      let answered = false;
      if (this.#socket.destroyed) return resolve(false);
      const lost = () => resolve(false);
      this.#socket.once('close', lost);
      this.open(headers, message, true, frame => {
        if (frame === 'data') answered = true;
        else {
          this.#socket.off('close', lost);
          resolve(answered);
        }
      });
    });
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  close(): void {
    this.#socket.destroy();
  }
}
