/** The two kinds of calls: from the bytes of a request to the method of a service, and back through an Answer. */
import { type DescMessage, type DescMethod, fromBinary } from '@bufbuild/protobuf';
import { messageOf } from '../../base/errors.ts';
import { ConnectionError, ERROR } from '../http2/frames.ts';
import type { StreamSink } from '../http2/stream.ts';
import { RpcError } from './errors.ts';
import type { Answer } from './grpc-answer.ts';
import type { MessageReader } from './grpc-messages.ts';
import type { BidiMethod, Caller, Incoming, Outgoing, ServerStreamMethod, UnaryMethod } from './rpc.ts';

/** Where requests for one path go. */
export interface Route {
  readonly service: string;
  readonly method: DescMethod;
  readonly implementation: unknown;
}

/** What the requests of one connection are worth together. */
export interface Load {
  /** That run and are not answered yet, those whose stream was reset included. */
  requests: number;
}

/** A client that resets its requests and sends more is cut off here; one that waits for answers never gets here. */
const MAX_REQUESTS = 10_000;
/** The same for the requests of one stream: each of their answers would wait here until it is read. */
const MAX_UNREAD = 10_000;

/** A call with one request. */
export function unary(
  { method, implementation }: Route,
  caller: Caller,
  answer: Answer,
  reader: MessageReader,
  load: Load,
): StreamSink {
  const run = async (bytes: Uint8Array) =>
    (implementation as UnaryMethod<object, object>)(decode(method.input, bytes), {
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

/** A call with a stream of answers, and perhaps one of requests. */
export function streaming(
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
  const out: Outgoing<object> = {
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
  let incoming: Incoming<object> | undefined;
  guarded(answer, () => {
    if (method.methodKind === 'bidi_streaming')
      incoming = (implementation as BidiMethod<object, object>)(caller, out);
  });
  let asked = false;
  let unread = 0;
  const message = (bytes: Uint8Array) => {
    if (answer.stream.writable) unread = 0;
    else if (++unread > MAX_UNREAD) {
      throw new ConnectionError(ERROR.ENHANCE_YOUR_CALM, 'too many requests without reading the answers');
    }
    const request = decode(method.input, bytes);
    if (incoming !== undefined) return incoming.message(request);
    // Without a stream of requests there is one; the first one counts.
    if (!asked) (implementation as ServerStreamMethod<object, object>)(request, caller, out);
    asked = true;
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

/** @throws RpcError for bytes that are no such message. */
function decode(schema: DescMessage, bytes: Uint8Array): object {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw new RpcError('INTERNAL', `grpc: error unmarshalling request: ${messageOf(error)}`);
  }
}
