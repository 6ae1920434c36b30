/**
 * Calls to a cluster: which endpoint is asked, with which token, for how long, and what is tried again.
 *
 * One endpoint is used until it fails, then the next one that accepts (connect.ts). A call is repeated only when that cannot do it twice:
 * when nothing was sent, when the server says that it refused the request unrun, or when the call only reads.
 * A write whose answer is lost is UNAVAILABLE, and the caller looks what became of it.
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
import { messageOf } from '../../base/errors.ts';
import { type Logger, silentLogger } from '../../base/log.ts';
import { StoreError } from '../store.ts';
import { callUnary, openStream, responsesOf } from '../wire/service.ts';
import { Channel, DEFAULT_TIMING, type Timing } from './channel.ts';
import { connectAny } from './connect.ts';
import type { EtcdEndpoint } from './endpoint.ts';
import { isFromServer, isRefusedUnrun, isTokenRefused, storeErrorOf, summaryOf } from './errors.ts';
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
  readonly #endpoints: readonly EtcdEndpoint[];
  readonly #tls: TlsOptions;
  readonly #login: Login;
  readonly #closing = new AbortController();
  readonly #calls = new Set<Promise<unknown>>();
  #position = 0;
  #channel: Channel | undefined;
  #connecting: Promise<Channel> | undefined;

  /** @param options at least one endpoint */
  constructor(options: ClientOptions) {
    this.timing = { ...DEFAULT_TIMING, ...options.timing };
    this.logger = options.logger ?? silentLogger;
    this.#endpoints = options.endpoints;
    this.#tls = options.tls ?? {};
    this.#login = new Login(options.user);
  }

  /** The endpoint in use. */
  get endpoint(): string {
    return this.#current.url;
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
      // An abort is our own wish, and says nothing about the endpoint.
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

  /**
   * Gives up a connection that comes from an address of which this is true; what was under way fails, and what follows
   * makes a new one. For addresses that this host has no more: the kernel keeps such a connection, and sends nothing.
   */
  leaveAddress(isGone: (address: string) => boolean): void {
    const channel = this.#channel;
    if (channel?.isFrom(isGone) !== true) return;
    this.logger.debug({ endpoint: this.endpoint }, 'the address of the connection to the store is gone');
    this.#channel = undefined;
    channel.abandon();
  }

  /** Ends every call and stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new StoreError('UNAVAILABLE', 'the store is closed'));
    this.#discard();
    await Promise.allSettled(this.#calls);
    // One that was connected meanwhile.
    this.#discard();
  }

  get #current(): EtcdEndpoint {
    // The position stays below the length, which is at least 1.
    return this.#endpoints[this.#position] as EtcdEndpoint;
  }

  #call<T>(op: string, policy: CallPolicy, run: (route: Route) => Promise<T>): Promise<T> {
    return this.#track(this.#callRepeatedly(op, policy, run));
  }

  async #callRepeatedly<T>(op: string, policy: CallPolicy, run: (route: Route) => Promise<T>): Promise<T> {
    for (let left = Math.max(1, this.#endpoints.length - 1); ; left--) {
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
    while (failures.length < this.#endpoints.length) {
      this.closed.throwIfAborted();
      const channel = await this.#connected(op);
      try {
        const token = await this.#login.token(channel, Date.now() + this.timing.call, this.closed);
        const metadata = new Metadata();
        if (token !== undefined) metadata.set('token', token);
        if (leaderless !== true) metadata.set('hasleader', 'true');
        return { channel, token, metadata };
      } catch (error) {
        const failure = storeErrorOf(error, op, channel.endpoint.url);
        this.#leave(channel, failure);
        failures.push(failure);
      }
    }
    throw summaryOf(op, failures);
  }

  /** The channel in use, or another one where it is lost; calls at the same time share it. @throws StoreError */
  async #connected(op: string): Promise<Channel> {
    if (this.#channel?.isReady === true) return this.#channel;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    try {
      return await this.#connecting;
    } catch (error) {
      this.closed.throwIfAborted();
      if (error instanceof AggregateError) throw summaryOf(op, error.errors as StoreError[]);
      throw error;
    }
  }

  /** Begins with the endpoint whose turn it is. */
  async #connect(): Promise<Channel> {
    this.#discard();
    const channel = await connectAny({
      endpoints: [...this.#endpoints.slice(this.#position), ...this.#endpoints.slice(0, this.#position)],
      open: endpoint => new Channel(endpoint, this.#tls, this.timing),
      stagger: this.timing.stagger,
      signal: this.closed,
      onFailure: ({ url }, reason) =>
        this.logger.debug({ endpoint: url, reason: reason.message }, 'a store endpoint does not accept'),
    });
    this.#channel = channel;
    this.#position = this.#endpoints.indexOf(channel.endpoint);
    return channel;
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
    else if (failure.code === 'UNAVAILABLE') this.#leave(route.channel, failure, isFromServer(error));
    return failure;
  }

  /** Turns to the next endpoint, unless another call has done so already. */
  #leave(channel: Channel | undefined, reason: StoreError, connectionIsGood = false): void {
    if (channel !== this.#channel || this.closed.aborted) return;
    if (connectionIsGood && this.#endpoints.length === 1) return;
    const from = this.endpoint;
    this.#discard();
    this.#position = (this.#position + 1) % this.#endpoints.length;
    this.logger.debug({ from, to: this.endpoint, reason: messageOf(reason) }, 'leaving a store endpoint');
  }

  #discard(): void {
    this.#channel?.close();
    this.#channel = undefined;
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
