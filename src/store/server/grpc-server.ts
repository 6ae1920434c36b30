/**
 * gRPC over HTTP/2 (grpc.io, PROTOCOL-HTTP2): carries our services. A request is POST /package.Service/Method; a
 * message is one byte "compressed", four bytes length, and protobuf; the status comes in the trailers.
 */
import type { Socket } from 'node:net';
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Http2Connection } from '../http2/connection.ts';
import { ConnectionError, ERROR } from '../http2/frames.ts';
import { encodeHeaders } from '../http2/hpack.ts';
import type { Http2Stream, StreamSink } from '../http2/stream.ts';
import { callerOf } from './caller.ts';
import { Encoded } from './encoding.ts';
import { DatabaseError, GRPC_STATUS, type GrpcStatus, RpcError } from './errors.ts';
import { frameMessage, MessageReader } from './grpc-messages.ts';
import type {
  BidiMethod,
  Caller,
  Incoming,
  Outgoing,
  ServerStreamMethod,
  Service,
  UnaryMethod,
} from './rpc.ts';

type Any = object;

/** Told of every request that was answered, with the name of its status. */
export type Observer = (service: string, method: string, status: string) => void;

interface Route {
  readonly service: string;
  readonly method: DescMethod;
  readonly implementation: unknown;
}

const CONTENT_TYPE = 'application/grpc';
const RESPONSE = [
  [':status', '200'],
  ['content-type', CONTENT_TYPE],
] as const;
const RESPONSE_BLOCK = encodeHeaders(RESPONSE);
const OK_BLOCK = encodeHeaders([['grpc-status', '0']]);
const NOT_GRPC_BLOCK = encodeHeaders([[':status', '415']]);

export class GrpcServer {
  readonly #routes = new Map<string, Route>();
  readonly #services: ReadonlySet<string>;
  readonly #connections = new Set<Http2Connection>();
  readonly #maxMessage: number;
  readonly #log: Logger;
  readonly #observe: Observer;

  /** @param maxMessage bytes of the largest message a client may send. */
  constructor(services: readonly Service[], maxMessage: number, log: Logger, observe: Observer) {
    this.#maxMessage = maxMessage;
    this.#log = log;
    this.#observe = observe;
    this.#services = new Set(services.map(service => service.description.typeName));
    for (const { description, methods } of services) {
      for (const method of description.methods) {
        const implementation = methods[method.localName];
        if (implementation === undefined) continue;
        const service = description.typeName;
        this.#routes.set(`/${service}/${method.name}`, { service, method, implementation });
      }
    }
  }

  /** Takes over a connection that begins with the preface of HTTP/2. */
  accept(socket: Socket): void {
    // Reading a certificate takes longer than a request.
    const caller = callerOf(socket, undefined, 0);
    const load = { requests: 0 };
    const connection = new Http2Connection(socket, (stream, headers) =>
      this.#request(stream, headers, caller, load),
    );
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  /** Lets every connection end when its last request is answered. */
  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  #request(stream: Http2Stream, headers: ReadonlyMap<string, string>, peer: Caller, load: Load): StreamSink {
    if (headers.get('content-type')?.startsWith(CONTENT_TYPE) !== true || headers.get(':method') !== 'POST') {
      stream.respond(NOT_GRPC_BLOCK, true);
      return DEAF;
    }
    const path = headers.get(':path') ?? '';
    const route = this.#routes.get(path);
    const answer = new Answer(stream, this.#log, status => {
      if (route !== undefined) this.#observe(route.service, route.method.name, status);
    });
    if (route === undefined) {
      answer.fail(this.#unimplemented(path));
      return DEAF;
    }
    const reader = new MessageReader(this.#maxMessage);
    const token = headers.get('token') ?? headers.get('authorization');
    const caller = { ...peer, token };
    switch (route.method.methodKind) {
      case 'unary':
        return unary(route, caller, answer, reader, load);
      case 'server_streaming':
      case 'bidi_streaming':
        return streaming(route, caller, answer, reader);
      case 'client_streaming':
        answer.fail(this.#unimplemented(path));
        return DEAF;
    }
  }

  #unimplemented(path: string): RpcError {
    const [, service = '', method = ''] = path.split('/');
    return new RpcError(
      'UNIMPLEMENTED',
      this.#services.has(service)
        ? `unknown method ${method} for service ${service}`
        : `unknown service ${service}`,
    );
  }
}

/** What the requests of one connection are worth together. */
interface Load {
  /** That run and are not answered yet, those whose stream was reset included. */
  requests: number;
}

/** A client that resets its requests and sends more is cut off here; one that waits for answers never gets here. */
const MAX_REQUESTS = 10_000;

/** A stream whose answer is complete. */
const DEAF: StreamSink = { data: () => undefined, reset: () => undefined, drained: () => undefined };

/** The answering half of a call. */
class Answer {
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

  whole(schema: DescMessage, message: Any): void {
    if (this.#over) return;
    this.stream.respondWhole(RESPONSE_BLOCK, frameMessage(encode(schema, message)), OK_BLOCK);
    this.#end('OK');
  }

  message(schema: DescMessage, message: Any): void {
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

function statusOf(error: unknown): GrpcStatus {
  if (error instanceof RpcError) return error.code;
  // Later, on a better disk, the same request may succeed.
  return error instanceof DatabaseError ? 'UNAVAILABLE' : 'INTERNAL';
}

function unary(
  { method, implementation }: Route,
  caller: Caller,
  answer: Answer,
  reader: MessageReader,
  load: Load,
): StreamSink {
  const run = async (bytes: Uint8Array) =>
    (implementation as UnaryMethod<Any, Any>)(decode(method.input, bytes), {
      ...caller,
      requestBytes: bytes.byteLength,
    });
  let asked = false;
  const ask = (bytes: Uint8Array) => {
    asked = true;
    if (++load.requests > MAX_REQUESTS) {
      throw new ConnectionError(ERROR.ENHANCE_YOUR_CALM, 'too many requests without waiting for answers');
    }
    run(bytes).then(
      message => {
        load.requests--;
        guarded(answer, () => answer.whole(method.output, message));
      },
      (error: unknown) => {
        load.requests--;
        answer.fail(error);
      },
    );
  };
  return {
    data(chunk, ended) {
      if (answer.over || asked) return;
      guarded(answer, () => {
        reader.push(chunk, bytes => {
          // A unary request is one message; the first one counts.
          if (!asked) ask(bytes);
        });
        if (ended && !asked) throw new RpcError('INTERNAL', 'the request has no message');
      });
    },
    reset: () => answer.abandon(),
    drained: () => undefined,
  };
}

function streaming(
  { method, implementation }: Route,
  caller: Caller,
  answer: Answer,
  reader: MessageReader,
): StreamSink {
  const over = new AbortController();
  let wake: (() => void)[] = [];
  const release = () => {
    const waiting = wake;
    wake = [];
    for (const resolve of waiting) resolve();
  };
  const finish = () => {
    over.abort();
    release();
  };
  const out: Outgoing<Any> = {
    signal: over.signal,
    get writable() {
      return answer.stream.writable;
    },
    send: message => guarded(answer, () => answer.message(method.output, message)),
    drained: () =>
      new Promise(resolve =>
        over.signal.aborted || answer.stream.writable ? resolve() : wake.push(resolve),
      ),
    close(error) {
      if (error === undefined) answer.complete();
      else answer.fail(error);
      finish();
    },
    onDrain(listener) {
      drains.push(listener);
    },
  };
  const drains: (() => void)[] = [];
  let incoming: Incoming<Any> | undefined;
  guarded(answer, () => {
    if (method.methodKind === 'bidi_streaming')
      incoming = (implementation as BidiMethod<Any, Any>)(caller, out);
  });
  const message = (bytes: Uint8Array) => {
    const request = decode(method.input, bytes);
    if (incoming !== undefined) incoming.message(request);
    else (implementation as ServerStreamMethod<Any, Any>)(request, caller, out);
  };
  return {
    data(chunk, ended) {
      if (answer.over) return;
      const sound = guarded(answer, () => {
        reader.push(chunk, message);
        if (ended) incoming?.end();
      });
      if (!sound) finish();
    },
    reset() {
      answer.abandon();
      finish();
    },
    drained() {
      release();
      for (const listener of drains) listener();
    },
  };
}

/** @returns false when `act` threw, which is then the answer. */
function guarded(answer: Answer, act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof ConnectionError) throw error;
    answer.fail(error);
    return false;
  }
}

function encode(schema: DescMessage, message: Any): Uint8Array {
  if (message instanceof Encoded) return message.bytes;
  return toBinary(schema, create(schema, message as MessageInitShape<DescMessage>));
}

/** @throws RpcError for bytes that are no such message. */
function decode(schema: DescMessage, bytes: Uint8Array): Any {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw new RpcError('INTERNAL', `grpc: error unmarshalling request: ${messageOf(error)}`);
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
