/**
 * gRPC over HTTP/2 (grpc.io, PROTOCOL-HTTP2): carries our services. A request is POST /package.Service/Method; a
 * message is one byte "compressed", four bytes length, and protobuf; the status comes in the trailers. HTTP/2 itself is
 * node:http2 (docs/decisions/0011-node-http2.md).
 */
import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { RpcError } from '../errors.ts';
import type { Caller, Service } from '../rpc.ts';
import { callerOf } from './caller.ts';
import { CONTENT_TYPE, GrpcAnswer } from './grpc-answer.ts';
import { type RpcRoute, streaming, unary } from './grpc-calls.ts';
import { ConnectionLimits, SESSION_OPTIONS } from './grpc-connection.ts';

/** Called for every request that was answered, with the name of its status. */
export type OnAnswered = (service: string, method: string, status: string) => void;

const ignore = () => undefined;

export class GrpcServer {
  readonly #routes = new Map<string, RpcRoute>();
  readonly #services: ReadonlySet<string>;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #maxMessage: number;
  readonly #log: Logger;
  readonly #observe: OnAnswered;

  /** @param maxMessage bytes of the largest message a client may send. */
  constructor(services: readonly Service[], maxMessage: number, log: Logger, observe: OnAnswered) {
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

  /** Takes over a connection that begins with the preface of HTTP/2; what was read of it has been put back. */
  accept(socket: Socket): void {
    // Reading a certificate takes longer than a request.
    const caller = callerOf(socket, undefined, 0);
    const session = performServerHandshake(socket, SESSION_OPTIONS);
    const refused = (reason: string) =>
      this.#log.debug({ peer: caller.peer, reason }, 'a connection was ended');
    const limits = new ConnectionLimits(session, refused);
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    // It is closed then; its streams emit 'close'.
    session.on('error', error => refused(messageOf(error)));
    session.on('stream', (stream, headers) => this.#request(stream, headers, caller, limits));
  }

  /** Lets every connection end when its last request is answered. */
  close(): void {
    for (const session of this.#sessions) session.close();
  }

  #request(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    peer: Caller,
    limits: ConnectionLimits,
  ): void {
    // A stream that is reset says so by 'close' as well.
    stream.on('error', ignore);
    limits.made(headers);
    const madeAt = performance.now();
    // It may have been reset since its headers came.
    if (stream.destroyed) {
      limits.takenBack(madeAt);
      return;
    }
    stream.once('aborted', () => limits.takenBack(madeAt));
    const isGrpc = headers['content-type']?.startsWith(CONTENT_TYPE) === true;
    if (!isGrpc || headers[':method'] !== 'POST') {
      stream.respond({ ':status': 415 }, { endStream: true });
      stream.resume();
      return;
    }
    const path = headers[':path'] ?? '';
    const route = this.#routes.get(path);
    const answer = new GrpcAnswer(stream, this.#log, status => {
      if (route !== undefined) this.#observe(route.service, route.method.name, status);
    });
    if (route === undefined || route.method.methodKind === 'client_streaming') {
      answer.fail(this.#unimplemented(path));
      return;
    }
    const token = typeof headers['token'] === 'string' ? headers['token'] : headers.authorization;
    const call = { route, caller: { ...peer, token }, stream, answer, limits, maxMessage: this.#maxMessage };
    if (route.method.methodKind === 'unary') unary(call);
    else streaming(call);
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
