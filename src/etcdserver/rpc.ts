/**
 * What a service is to the server, whatever carries it: functions from requests to answers, named as in the
 * generated code. gRPC (grpc-server.ts) and the JSON gateway (gateway.ts) both call these. A refusal is a
 * thrown RpcError.
 */
import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Encoded } from './mvcc/encoding.ts';

/** Who asks. */
export interface Caller {
  /** Address and port of the other end, for the log. */
  readonly peer: string;
  /** The token of Authenticate. */
  readonly token: string | undefined;
  /** Common name and organization of the verified client certificate. */
  readonly commonName: string | undefined;
  readonly organization?: string | undefined;
  /** Size of the request as it came; 0 on a stream. */
  readonly requestBytes: number;
  /** Bytes of the largest answer that can be sent; absent: any. */
  readonly answerBytes?: number;
}

/** The answering half of a stream. */
export interface Outgoing<O> {
  /** Whether another message may be sent without queueing it up in memory. */
  readonly writable: boolean;
  send(message: O | Encoded): void;
  /** Calls the listener each time `writable` may be true again. */
  onDrain(listener: () => void): void;
  /** Resolves when `writable` is true again or the stream has closed. */
  drained(): Promise<void>;
  /** Ends the stream; with an error, or as complete. */
  close(error?: Error): void;
  /** Aborted when the stream is over, from either end. */
  readonly signal: AbortSignal;
}

/** What a stream of requests calls. */
export interface Incoming<I> {
  message(request: I): void;
  /** The client has said everything; the answers may go on. */
  end(): void;
}

export type UnaryMethod<I, O> = (request: I, caller: Caller) => Promise<O | Encoded> | O | Encoded;
export type ServerStreamMethod<I, O> = (request: I, caller: Caller, out: Outgoing<O>) => void;
export type BidiMethod<I, O> = (caller: Caller, out: Outgoing<O>) => Incoming<I>;

type MethodOf<Method extends DescMethod> =
  Method extends DescMethodUnary<infer I, infer O>
    ? UnaryMethod<MessageShape<I>, MessageInitShape<O>>
    : Method extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamMethod<MessageShape<I>, MessageInitShape<O>>
      : Method extends DescMethodBiDiStreaming<infer I, infer O>
        ? BidiMethod<MessageShape<I>, MessageInitShape<O>>
        : never;

/** The methods of a service that this server has; what is left out answers UNIMPLEMENTED. */
export type Methods<S extends DescService> = {
  readonly [Name in keyof S['method']]?: MethodOf<S['method'][Name]>;
};

/** A service with its methods, ready to be served. */
export interface Service {
  readonly description: DescService;
  /** By the name of the method; each has the shape its description asks for. */
  readonly methods: Readonly<Record<string, unknown>>;
}

export function serviceOf<S extends DescService>(description: S, methods: Methods<S>): Service {
  return { description, methods: { ...methods } };
}
