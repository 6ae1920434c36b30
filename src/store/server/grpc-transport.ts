/** Carries services over gRPC: grpc-js' calls become ours, and thrown refusals its statuses. */

import type { DescMethod } from '@bufbuild/protobuf';
import {
  type Metadata,
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { definitionOf } from '../wire/service.ts';
import { GRPC_STATUS, RpcError } from './errors.ts';
import type { BidiMethod, Caller, Outgoing, ServerStreamMethod, Service, UnaryMethod } from './rpc.ts';

type Any = object;
type ServerCall = ServerUnaryCall<Any, Any> | ServerDuplexStream<Any, Any> | ServerWritableStream<Any, Any>;

/** Told of every unary request that was answered, with the name of its status. */
export type Observer = (service: string, method: string, status: string) => void;

export function addServices(
  server: Server,
  services: readonly Service[],
  log: Logger,
  observe: Observer,
): void {
  for (const { description, methods } of services) {
    const handlers: UntypedServiceImplementation = {};
    for (const method of description.methods) {
      const implementation = methods[method.localName];
      if (implementation !== undefined) {
        const told = (status: string) => observe(description.typeName, method.name, status);
        handlers[method.localName] = handlerOf(method, implementation, log, told);
      }
    }
    server.addService(definitionOf(description), handlers);
  }
}

function handlerOf(method: DescMethod, implementation: unknown, log: Logger, told: (status: string) => void) {
  switch (method.methodKind) {
    case 'unary':
      return unary(implementation as UnaryMethod<Any, Any>, log, told);
    case 'server_streaming':
      return serverStream(implementation as ServerStreamMethod<Any, Any>, log);
    case 'bidi_streaming':
      return bidi(implementation as BidiMethod<Any, Any>, log);
    case 'client_streaming':
      throw new TypeError(`${method.name}: etcd has no method of this kind`);
  }
}

function unary(method: UnaryMethod<Any, Any>, log: Logger, told: (status: string) => void) {
  return (call: ServerUnaryCall<Any, Any>, reply: sendUnaryData<Any>): void => {
    void (async () => method(call.request, callerOf(call)))().then(
      message => {
        told('OK');
        reply(null, message);
      },
      (error: unknown) => {
        told(error instanceof RpcError ? error.code : 'INTERNAL');
        reply(statusOf(error, log));
      },
    );
  };
}

function serverStream(method: ServerStreamMethod<Any, Any>, log: Logger) {
  return (call: ServerWritableStream<Any, Any>): void => {
    const out = outgoing(call, log);
    try {
      method(call.request, callerOf(call), out);
    } catch (error) {
      out.close(error as Error);
    }
  };
}

function bidi(method: BidiMethod<Any, Any>, log: Logger) {
  return (call: ServerDuplexStream<Any, Any>): void => {
    const out = outgoing(call, log);
    try {
      const incoming = method(callerOf(call), out);
      call.on('data', (request: Any) => {
        try {
          incoming.message(request);
        } catch (error) {
          out.close(error as Error);
        }
      });
      call.on('end', () => incoming.end());
    } catch (error) {
      out.close(error as Error);
    }
  };
}

function outgoing(
  call: ServerDuplexStream<Any, Any> | ServerWritableStream<Any, Any>,
  log: Logger,
): Outgoing<Any> {
  const over = new AbortController();
  let full = false;
  let wake: (() => void)[] = [];
  const release = () => {
    full = false;
    const waiting = wake;
    wake = [];
    for (const resolve of waiting) resolve();
  };
  const finish = () => {
    over.abort();
    release();
  };
  call.on('drain', release);
  call.on('cancelled', finish);
  call.on('error', finish);
  call.on('close', finish);
  return {
    signal: over.signal,
    get writable() {
      return !full && !over.signal.aborted;
    },
    send(message) {
      if (!over.signal.aborted) full = !call.write(message);
    },
    drained: () => new Promise(resolve => (full && !over.signal.aborted ? wake.push(resolve) : resolve())),
    close(error) {
      if (over.signal.aborted) return;
      if (error === undefined) call.end();
      else call.emit('error', statusOf(error, log));
      finish();
    },
  };
}

function callerOf(call: ServerCall): Caller {
  const { metadata } = call;
  const subject = call.getAuthContext().sslPeerCertificate?.subject;
  return {
    peer: call.getPeer(),
    token: textOf(metadata, 'token') ?? textOf(metadata, 'authorization'),
    // The listener lets no certificate pass that it has not verified.
    commonName: single(subject?.CN),
    organization: single(subject?.O),
  };
}

/** A certificate may hold a name several times; then it is not clear who it is. */
function single(name: string | string[] | undefined): string | undefined {
  return typeof name === 'string' ? name : undefined;
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const [value] = metadata.get(name);
  return typeof value === 'string' ? value : undefined;
}

/** Refusals go out as they are. Anything else is a defect or a failing disk: logged here, told without detail. */
function statusOf(error: unknown, log: Logger): Partial<ServiceError> {
  if (error instanceof RpcError) return { code: error.status, details: error.message };
  log.error({ error: messageOf(error) }, 'a request failed');
  return { code: GRPC_STATUS.INTERNAL, details: `etcdserver: ${messageOf(error)}` };
}
