/**
 * Joins the two libraries the etcd protocol needs: protobuf-es knows the messages (`generated/`, made from
 * `proto/`), grpc-js carries them. A generated service description becomes grpc-js' service definition for a
 * server, and its methods become typed calls for a client.
 *
 * The bytes of a decoded message are views of the buffer it came in: to keep one, copy it.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type {
  CallOptions,
  Client,
  ClientDuplexStream,
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  MethodDefinition,
  ServiceDefinition,
} from '@grpc/grpc-js';

/** What a server implements of a service: one grpc-js handler per method, named as in the generated code. */
export type Handlers<S extends DescService> = {
  [Name in keyof S['method']]: Handler<S['method'][Name]>;
};

/** Requests arrive complete; responses may leave out fields that have their default value. */
type Handler<Method extends DescMethod> =
  Method extends DescMethodUnary<infer I, infer O>
    ? handleUnaryCall<MessageShape<I>, MessageInitShape<O>>
    : Method extends DescMethodServerStreaming<infer I, infer O>
      ? handleServerStreamingCall<MessageShape<I>, MessageInitShape<O>>
      : Method extends DescMethodClientStreaming<infer I, infer O>
        ? handleClientStreamingCall<MessageShape<I>, MessageInitShape<O>>
        : Method extends DescMethodBiDiStreaming<infer I, infer O>
          ? handleBidiStreamingCall<MessageShape<I>, MessageInitShape<O>>
          : never;

/** The definition for grpc-js' `Server.addService(definitionOf(KV), handlers)`. */
export function definitionOf<S extends DescService>(service: S): ServiceDefinition<Handlers<S>>;
export function definitionOf(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map(method => [method.localName, methodDefinition(method)]));
}

function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageInitShape<I>, MessageInitShape<O>> & {
  requestDeserialize: (bytes: Buffer) => MessageShape<I>;
  responseDeserialize: (bytes: Buffer) => MessageShape<O>;
} {
  const kind = method.methodKind;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: kind === 'client_streaming' || kind === 'bidi_streaming',
    responseStream: kind === 'server_streaming' || kind === 'bidi_streaming',
    requestSerialize: request => encode(method.input, request),
    requestDeserialize: bytes => decode(method.input, bytes),
    responseSerialize: response => encode(method.output, response),
    responseDeserialize: bytes => decode(method.output, bytes),
  };
}

function encode<T extends DescMessage>(schema: T, message: MessageInitShape<T>): Buffer {
  const bytes = toBinary(schema, create(schema, message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decode<T extends DescMessage>(schema: T, bytes: Buffer): MessageShape<T> {
  // A plain view, so that the fields are Uint8Arrays and not Buffers, whose `slice` means something else.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return fromBinary(schema, view, { readUnknownFields: false });
}

/** One call of a unary method. @throws grpc-js' ServiceError, or `signal.reason` once the signal has aborted. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  metadata: Metadata,
  options: CallOptions & { readonly signal?: AbortSignal } = {},
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition<I, O>(method);
  const { signal, ...callOptions } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = () => {
      call.cancel();
      reject(signal?.reason as Error);
    };
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      callOptions,
      (error, response) => {
        signal?.removeEventListener('abort', onAbort);
        if (response === undefined) reject(error ?? new Error(`${path}: neither a response nor an error`));
        else resolve(response);
      },
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The responses of a stream, typed. Iterating throws grpc-js' ServiceError when the stream fails. */
export function responsesOf<Request, Response>(
  stream: ClientDuplexStream<Request, Response>,
): AsyncIterable<Response> {
  return stream;
}

/**
 * Opens a stream of requests and responses; a method that streams responses only wants one request and `end()`,
 * which is the same on the wire. It reports its end as grpc-js does: `error`, `status`, `end`.
 */
export function openStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodBiDiStreaming<I, O> | DescMethodServerStreaming<I, O>,
  metadata: Metadata,
  options: CallOptions = {},
): ClientDuplexStream<MessageInitShape<I>, MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition<I, O>(method);
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
}
