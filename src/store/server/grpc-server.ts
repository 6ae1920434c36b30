/**
 * gRPC over HTTP/2 (grpc.io, PROTOCOL-HTTP2): carries our services. A request is POST /package.Service/Method; a
 * message is one byte "compressed", four bytes length, and protobuf; the status comes in the trailers.
 */
import type { Socket } from 'node:net';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { Http2Connection } from '../http2/connection.ts';
import { encodeHeaders } from '../http2/hpack.ts';
import type { Http2Stream, StreamSink } from '../http2/stream.ts';
import { callerOf } from './caller.ts';
import { RpcError } from './errors.ts';
import { Answer, CONTENT_TYPE } from './grpc-answer.ts';
import { type Load, type Route, streaming, unary } from './grpc-calls.ts';
import { MessageReader } from './grpc-messages.ts';
import type { Caller, Service } from './rpc.ts';

/** Told of every request that was answered, with the name of its status. */
export type Observer = (service: string, method: string, status: string) => void;

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
    const connection = new Http2Connection(
      socket,
      (stream, headers) => this.#request(stream, headers, caller, load),
      error => this.#log.error({ peer: caller.peer, error: messageOf(error) }, 'a connection failed'),
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

/** A stream whose answer is complete. */
const DEAF: StreamSink = { data: () => undefined, reset: () => undefined, drained: () => undefined };
