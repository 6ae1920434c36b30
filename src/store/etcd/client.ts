/**
 * Calls to a cluster: with which token, for how long, and what is tried again, at the endpoint that failover.ts chooses.
 *
 * A call is repeated only when that cannot do it twice: when nothing was sent, when the server says that it refused the
 * request unrun, or when the call only reads. A write whose answer is lost is UNAVAILABLE, and the caller looks what
 * became of it.
 */
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { type Logger, silentLogger } from '../../base/log.ts';
import { StoreError } from '../store.ts';
import { callUnary, openStream, responsesOf } from '../wire/service.ts';
import { type Channel, DEFAULT_TIMING, type Timing } from './channel.ts';
import type { EtcdEndpoint } from './endpoint.ts';
import { isFromServer, isRefusedUnrun, isTokenRefused, storeErrorOf, summaryOf } from './errors.ts';
import { Failover } from './failover.ts';
import { History } from './history.ts';
import { Login, type User } from './login.ts';
import type { TlsOptions } from './tls.ts';

export interface ClientOptions {
  readonly endpoints: readonly EtcdEndpoint[];
  readonly tls?: TlsOptions;
  readonly user?: User;
  readonly timing?: Partial<Timing>;
  readonly logger?: Logger;
}

/** Where a call goes and what goes with it. */
interface Route {
  readonly channel: Channel;
  readonly token: string | undefined;
  readonly metadata: Metadata;
}

export interface CallPolicy {
  /** Whether doing it twice is the same as once. */
  readonly repeatable: boolean;
  /** Whether a member without a leader may answer; by default it refuses at once. */
  readonly leaderless?: boolean;
}

/** A stream of requests and responses; iterating it ends with the StoreError that ended it. */
export interface WireStream<Request, Response> extends AsyncIterable<Response> {
  readonly endpoint: string;
  send(request: Request): void;
  /** There are no more requests; responses may follow. */
  end(): void;
  /** With a reason, iterating ends with it. */
  close(reason?: StoreError): void;
}

export class EtcdClient implements AsyncDisposable {
  readonly timing: Timing;
  readonly logger: Logger;
  /** What observations have learned of the store. */
  readonly history = new History();
  readonly #failover: Failover;
  readonly #login: Login;
  readonly #closing = new AbortController();
  readonly #calls = new Set<Promise<unknown>>();

  /** @param options at least one endpoint */
  constructor(options: ClientOptions) {
    this.timing = { ...DEFAULT_TIMING, ...options.timing };
    this.logger = options.logger ?? silentLogger;
    const { timing, logger, closed } = this;
    this.#failover = new Failover(options.endpoints, { tls: options.tls ?? {}, timing, logger, closed });
    this.#login = new Login(options.user);
  }

  /** The endpoint in use. */
  get endpoint(): string {
    return this.#failover.endpoint;
  }

  /** Aborts when the client is closed, with a StoreError as reason. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** @throws StoreError */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    policy: CallPolicy,
  ): Promise<MessageShape<O>> {
    return this.#call(method.name, policy, ({ channel, metadata }) =>
      callUnary(channel.client, method, request, metadata, {
        deadline: Date.now() + this.timing.call,
        signal: this.closed,
      }),
    );
  }

  /** One request and its response over a stream that serves many: a keep-alive. @throws StoreError */
  exchange<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    request: MessageInitShape<I>,
    policy: CallPolicy,
  ): Promise<MessageShape<O>> {
    return this.#call(method.name, policy, async route => {
      const stream = this.#open(method, route, { deadline: Date.now() + this.timing.call });
      try {
        stream.write(request);
        for await (const response of responsesOf(stream)) return response;
        throw new StoreError('UNAVAILABLE', `${method.name}: the stream ended without an answer`);
      } finally {
        stream.cancel();
      }
    });
  }

  /** Opens a stream at the endpoint in use, or at the next that accepts. @throws StoreError */
  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O> | DescMethodServerStreaming<I, O>,
    signal: AbortSignal,
  ): Promise<WireStream<MessageInitShape<I>, MessageShape<O>>> {
    const route = await this.#track(this.#route(method.name, {}));
    const stream = this.#open(method, route);
    let reason: StoreError | undefined;
    const stop = () => stream.cancel();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const endpoint = route.channel.endpoint.url;
    const fail = (error: unknown) =>
      // We abort ourselves; that says nothing about the endpoint.
      signal.aborted
        ? storeErrorOf(error, method.name, endpoint)
        : this.#failed(route, reason ?? error, method.name);
    return {
      endpoint,
      send: request => void stream.write(request),
      end: () => void stream.end(),
      close: why => {
        reason = why;
        signal.removeEventListener('abort', stop);
        stop();
      },
      async *[Symbol.asyncIterator]() {
        try {
          yield* responsesOf(stream);
        } catch (error) {
          throw fail(error);
        }
      },
    };
  }

  /** Gives up a connection that comes from an address of which this is true (Failover). */
  leaveAddress(isGone: (address: string) => boolean): void {
    this.#failover.leaveAddress(isGone);
  }

  /** Ends every call and stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new StoreError('UNAVAILABLE', 'the store is closed'));
    this.#failover.disconnect();
    await Promise.allSettled(this.#calls);
    // One that was connected meanwhile.
    this.#failover.disconnect();
  }

  #call<T>(op: string, policy: CallPolicy, run: (route: Route) => Promise<T>): Promise<T> {
    return this.#track(this.#callRepeatedly(op, policy, run));
  }

  async #callRepeatedly<T>(op: string, policy: CallPolicy, run: (route: Route) => Promise<T>): Promise<T> {
    for (let left = Math.max(1, this.#failover.size - 1); ; left--) {
      const route = await this.#route(op, policy);
      try {
        return await run(route);
      } catch (error) {
        const failure = this.#failed(route, error, op);
        const harmless = isTokenRefused(error) || isRefusedUnrun(error);
        const again = harmless || (policy.repeatable && failure.code === 'UNAVAILABLE');
        if (!again || left === 0 || this.closed.aborted) throw failure;
      }
    }
  }

  /** A connected channel and what a call on it must carry. Asks each endpoint once. @throws StoreError */
  async #route(op: string, { leaderless }: Pick<CallPolicy, 'leaderless'>): Promise<Route> {
    const failures: StoreError[] = [];
    while (failures.length < this.#failover.size) {
      this.closed.throwIfAborted();
      const channel = await this.#failover.connected(op);
      try {
        const token = await this.#login.token(channel, Date.now() + this.timing.call, this.closed);
        const metadata = new Metadata();
        if (token !== undefined) metadata.set('token', token);
        if (leaderless !== true) metadata.set('hasleader', 'true');
        return { channel, token, metadata };
      } catch (error) {
        const failure = storeErrorOf(error, op, channel.endpoint.url);
        this.#failover.leave(channel, failure);
        failures.push(failure);
      }
    }
    throw summaryOf(op, failures);
  }

  #open<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O> | DescMethodServerStreaming<I, O>,
    { channel, metadata }: Route,
    options: { readonly deadline?: number } = {},
  ): ClientDuplexStream<MessageInitShape<I>, MessageShape<O>> {
    const stream = openStream(channel.client, method, metadata, options);
    // grpc-js reports a cancellation by ourselves as an error too; unheard, it would end the process.
    stream.on('error', () => undefined);
    return stream;
  }

  /** Draws the conclusions from a failed call or stream, for those that follow. */
  #failed(route: Route, error: unknown, op: string): StoreError {
    const failure = storeErrorOf(error, op, route.channel.endpoint.url);
    if (isTokenRefused(error)) this.#login.renew(route.token);
    else if (failure.code === 'UNAVAILABLE')
      this.#failover.leave(route.channel, failure, isFromServer(error));
    return failure;
  }

  /** Keeps what is under way, so that closing can wait for it. */
  async #track<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }
}
