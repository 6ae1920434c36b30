/** The answering half of a call: messages, and a status in the trailers (grpc.io, PROTOCOL-HTTP2). */
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { encodeHeaders } from '../http2/hpack.ts';
import type { Http2Stream } from '../http2/stream.ts';
import { Encoded } from './encoding.ts';
import { GRPC_STATUS, type GrpcStatus, RpcError } from './errors.ts';
import { frameMessage } from './grpc-messages.ts';
import { statusOf } from './status.ts';

export const CONTENT_TYPE = 'application/grpc';
const RESPONSE = [
  [':status', '200'],
  ['content-type', CONTENT_TYPE],
] as const;
const RESPONSE_BLOCK = encodeHeaders(RESPONSE);
const OK_BLOCK = encodeHeaders([['grpc-status', '0']]);

export class Answer {
  readonly stream: Http2Stream;
  readonly #log: Logger;
  readonly #told: (status: string) => void;
  #begun = false;
  #over = false;

  constructor(stream: Http2Stream, log: Logger, told: (status: string) => void) {
    this.stream = stream;
    this.#log = log;
    this.#told = told;
  }

  get over(): boolean {
    return this.#over;
  }

  whole(schema: DescMessage, message: object): void {
    if (this.#over) return;
    this.stream.respondWhole(RESPONSE_BLOCK, frameMessage(encode(schema, message)), OK_BLOCK);
    this.#end('OK');
  }

  message(schema: DescMessage, message: object): void {
    if (this.#over) return;
    if (!this.#begun) this.stream.respond(RESPONSE_BLOCK);
    this.#begun = true;
    this.stream.write(frameMessage(encode(schema, message)));
  }

  complete(): void {
    if (this.#over) return;
    if (!this.#begun) this.stream.respond(RESPONSE_BLOCK);
    this.stream.end(OK_BLOCK);
    this.#end('OK');
  }

  /** Refusals go out as they are. Anything else is a defect or a failing disk, and is logged. */
  fail(error: unknown): void {
    if (this.#over) return;
    const status = statusOf(error);
    if (!(error instanceof RpcError)) this.#log.error({ error: messageOf(error) }, 'a request failed');
    const trailers = [
      ['grpc-status', String(GRPC_STATUS[status])],
      ['grpc-message', percentEncode(messageOf(error))],
    ] as const;
    if (this.#begun) this.stream.end(encodeHeaders(trailers));
    else this.stream.respond(encodeHeaders([...RESPONSE, ...trailers]), true);
    this.#end(status);
  }

  /** The client is gone. */
  abandon(): void {
    if (!this.#over) this.#end('CANCELLED');
  }

  #end(status: GrpcStatus): void {
    this.#over = true;
    this.#told(status);
  }
}

function encode(schema: DescMessage, message: object): Uint8Array {
  if (message instanceof Encoded) return message.bytes;
  return toBinary(schema, create(schema, message as MessageInitShape<DescMessage>));
}

/** `grpc-message` is UTF-8 with everything but printable ASCII, and the percent sign, as %XX. */
function percentEncode(text: string): string {
  return Array.from(Buffer.from(text), byte =>
    byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('');
}
