/** The two kinds of calls: from the bytes of a request to the method of a service, and back through a GrpcAnswer. */
import type { ServerHttp2Stream } from 'node:http2';
import { type DescMessage, type DescMethod, fromBinary } from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import { RpcError } from '../errors.ts';
import type { BidiMethod, Caller, Incoming, Outgoing, ServerStreamMethod, UnaryMethod } from '../rpc.ts';
import type { GrpcAnswer } from './grpc-answer.ts';
import type { ConnectionLimits } from './grpc-connection.ts';
import { MessageReader } from './grpc-messages.ts';

/** Where requests for one path go. */
export interface RpcRoute {
  readonly service: string;
  readonly method: DescMethod;
  readonly implementation: unknown;
}

export interface Call {
  readonly route: RpcRoute;
  readonly caller: Caller;
  readonly stream: ServerHttp2Stream;
  readonly answer: GrpcAnswer;
  readonly limits: ConnectionLimits;
  /** Bytes of the largest request. */
  readonly maxMessage: number;
}

/** A call with one request. */
export function unary(call: Call): void {
  const { route, caller, answer, limits } = call;
  const run = async (bytes: Uint8Array) =>
    (route.implementation as UnaryMethod<object, object>)(decode(route.method.input, bytes), {
      ...caller,
      requestBytes: bytes.byteLength,
    });
  let isAsked = false;
  receive(call, {
    message(bytes) {
      // A unary request is one message; the first one counts.
      if (isAsked) return;
      isAsked = true;
      limits.began();
      run(bytes)
        .finally(() => limits.finished())
        .then(message => runOrFail(answer, () => answer.respond(route.method.output, message)))
        .catch((error: unknown) => answer.fail(error));
    },
    end() {
      if (!isAsked) answer.fail(new RpcError('INTERNAL', 'the request has no message'));
    },
    gone: () => answer.abandon(),
  });
}

/** A call with a stream of answers, and perhaps one of requests. */
export function streaming(call: Call): void {
  const { route, caller, stream, answer } = call;
  const isBidirectional = route.method.methodKind === 'bidi_streaming';
  const over = new AbortController();
  const out: Outgoing<object> = {
    signal: over.signal,
    get writable() {
      return answer.isWritable;
    },
    send(message) {
      runOrFail(answer, () => answer.message(route.method.output, message));
      // The answers to further requests would pile up here; a client reads before it asks for more.
      if (!answer.isWritable) stream.pause();
    },
    drained: () =>
      new Promise(resolve => {
        if (over.signal.aborted || answer.isWritable) return resolve();
        stream.once('drain', resolve);
        over.signal.addEventListener('abort', () => resolve(), { once: true });
      }),
    close(error) {
      if (error === undefined) answer.complete();
      else answer.fail(error);
      over.abort();
    },
    onDrain: listener => void stream.on('drain', listener),
  };
  stream.on('drain', () => stream.resume());
  let incoming: Incoming<object> | undefined;
  // Not before it says something: a stream alone costs a client nothing.
  const begun = () => (incoming ??= (route.implementation as BidiMethod<object, object>)(caller, out));
  let isAsked = false;
  receive(call, {
    message(bytes) {
      const request = decode(route.method.input, bytes);
      if (isBidirectional) return begun().message(request);
      // Without a stream of requests there is one; the first one counts.
      if (!isAsked) (route.implementation as ServerStreamMethod<object, object>)(request, caller, out);
      isAsked = true;
    },
    end() {
      if (isBidirectional) begun().end();
    },
    gone() {
      answer.abandon();
      over.abort();
    },
  });
}

/** What a call receives from its client. `message` and `end` may throw, which is then the answer. */
interface Receiver {
  message(bytes: Uint8Array): void;
  /** There are no more messages. */
  end(): void;
  /** The stream is over, whether it was complete or not. */
  gone(): void;
}

function receive({ stream, answer, limits, maxMessage }: Call, receiver: Receiver): void {
  const reader = new MessageReader(maxMessage);
  stream.on('data', (chunk: Buffer) => {
    if (answer.isOver) return;
    const before = reader.held;
    const isSound = runOrFail(answer, () => reader.push(chunk, bytes => receiver.message(bytes)));
    limits.received(chunk.byteLength, reader.held - before);
    if (!isSound) receiver.gone();
  });
  stream.once('end', () => {
    if (!answer.isOver) runOrFail(answer, () => receiver.end());
  });
  stream.once('close', () => {
    limits.released(reader.held);
    receiver.gone();
  });
}

/** @returns false when `act` threw, which is then the answer. */
function runOrFail(answer: GrpcAnswer, act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch (error) {
    answer.fail(error);
    return false;
  }
}

/** @throws RpcError for bytes that are no such message. */
function decode(schema: DescMessage, bytes: Uint8Array): object {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw new RpcError('INTERNAL', `grpc: error unmarshalling request: ${messageOf(error)}`);
  }
}
