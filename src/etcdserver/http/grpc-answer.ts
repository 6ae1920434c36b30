/** The answering half of a call: messages, and a status in the trailers (grpc.io, PROTOCOL-HTTP2). */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { DescMessage } from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { GRPC_STATUS, type GrpcStatus, RpcError } from '../errors.ts';
import { bytesOf } from '../mvcc/encoding.ts';
import { frameMessage } from './grpc-messages.ts';
import { grpcStatusOf } from './grpc-status.ts';

export const CONTENT_TYPE = 'application/grpc';
const RESPONSE: OutgoingHttpHeaders = { ':status': 200, 'content-type': CONTENT_TYPE };
const OK: OutgoingHttpHeaders = { 'grpc-status': '0' };
const { NGHTTP2_NO_ERROR } = constants;

export class GrpcAnswer {
  readonly #stream: ServerHttp2Stream;
  readonly #log: Logger;
  readonly #onEnd: (status: GrpcStatus) => void;
  #trailers = OK;
  #isOver = false;

  /** @param onEnd called once, with the status. */
  constructor(stream: ServerHttp2Stream, log: Logger, onEnd: (status: GrpcStatus) => void) {
    this.#stream = stream;
    this.#log = log;
    this.#onEnd = onEnd;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether another message may be sent without queueing it up in memory. */
  get isWritable(): boolean {
    return !this.#isOver && !this.#stream.writableNeedDrain && this.#stream.writable;
  }

  /** The only message of an answer, and its end. */
  respond(schema: DescMessage, message: object): void {
    if (this.#isOver) return;
    const frame = frameMessage(bytesOf(schema, message));
    this.#begin();
    this.#stream.end(frame);
    this.#end('OK');
  }

  message(schema: DescMessage, message: object): void {
    if (this.#isOver) return;
    const frame = frameMessage(bytesOf(schema, message));
    this.#begin();
    this.#stream.write(frame);
  }

  complete(): void {
    if (this.#isOver) return;
    this.#begin();
    this.#stream.end();
    this.#end('OK');
  }

  /** Refusals go out as they are. Anything else is a defect or a failing disk, and is logged. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    const status = grpcStatusOf(error);
    if (!(error instanceof RpcError)) this.#log.error({ error: messageOf(error) }, 'a request failed');
    const trailers = {
      'grpc-status': String(GRPC_STATUS[status]),
      'grpc-message': percentEncode(messageOf(error)),
    };
    if (this.#stream.headersSent) {
      this.#trailers = trailers;
      this.#stream.end();
    } else if (!this.#stream.destroyed) {
      this.#stream.respond({ ...RESPONSE, ...trailers }, { endStream: true });
      this.#stream.once('finish', () => this.#stopClient());
    }
    this.#end(status);
  }

  /** The client is gone. */
  abandon(): void {
    if (!this.#isOver) this.#end('CANCELLED');
  }

  #begin(): void {
    if (this.#stream.headersSent || this.#stream.destroyed) return;
    this.#stream.respond(RESPONSE, { waitForTrailers: true });
    this.#stream.once('wantTrailers', () => {
      this.#stream.sendTrailers(this.#trailers);
      this.#stopClient();
    });
  }

  #end(status: GrpcStatus): void {
    this.#isOver = true;
    this.#onEnd(status);
    // What the client still sends is not read.
    if (!this.#stream.destroyed) this.#stream.resume();
  }

  /** Resets a stream whose client still sends after the answer; behind the trailers, which are on their way. */
  #stopClient(): void {
    setImmediate(() => {
      if (!this.#stream.readableEnded && !this.#stream.destroyed) this.#stream.close(NGHTTP2_NO_ERROR);
    });
  }
}

/** `grpc-message` is UTF-8 with everything but printable ASCII, and the percent sign, as %XX. */
function percentEncode(text: string): string {
  return Array.from(Buffer.from(text), byte =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}
