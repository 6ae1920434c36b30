/** One connection to one endpoint. It is given up, not repaired: after a failure a new one is made. */
import { Client, connectivityState, Metadata } from '@grpc/grpc-js';
import { StoreError } from '../store.ts';
import { Maintenance } from '../wire/generated/maintenance_pb.ts';
import { callUnary } from '../wire/service.ts';
import type { EtcdEndpoint } from './endpoint.ts';
import { isFromServer, storeErrorOf } from './errors.ts';
import { SocketTracking } from './sockets.ts';
import { type TlsOptions, transportOf } from './tls.ts';

/** Milliseconds. */
export interface Timing {
  /** How long an endpoint may take to accept a connection, and then to answer the first request. */
  readonly connect: number;
  /** After so long without an answer the next endpoint is tried beside it. RFC 8305, 5. */
  readonly stagger: number;
  /** How long a call may take. Longer than etcd's own limit of 7 s, so that its reason arrives. */
  readonly call: number;
  /** A connection in use is pinged this often. etcd hangs up on clients that ping more than every 5 s. */
  readonly ping: number;
  /** A ping without an answer for this long ends the connection: the other side, or the way to it, is gone. */
  readonly pingTimeout: number;
  /** The first and the longest delay between two tries of an observation. */
  readonly retryFirst: number;
  readonly retryCap: number;
}

export const DEFAULT_TIMING: Timing = {
  connect: 3_000,
  stagger: 250,
  call: 8_000,
  ping: 10_000,
  pingTimeout: 5_000,
  retryFirst: 200,
  retryCap: 5_000,
};

/** Bounds the memory that a server can make us use. The largest answer we ask for is a page of a list. */
const MAX_MESSAGE = 64 * 1024 * 1024;

export class Channel {
  readonly endpoint: EtcdEndpoint;
  readonly client: Client;
  readonly #timing: Timing;
  readonly #sockets: SocketTracking;

  /** Starts no connection yet. @throws StoreError UNAUTHENTICATED when the TLS files cannot be used */
  constructor(endpoint: EtcdEndpoint, tls: TlsOptions, timing: Timing) {
    this.endpoint = endpoint;
    this.#timing = timing;
    try {
      const { credentials, options } = transportOf(endpoint, tls);
      this.#sockets = new SocketTracking(credentials);
      this.client = new Client(endpoint.target, this.#sockets, {
        ...options,
        'grpc.primary_user_agent': 'tulle',
        'grpc.keepalive_time_ms': timing.ping,
        'grpc.keepalive_timeout_ms': timing.pingTimeout,
        'grpc.max_receive_message_length': MAX_MESSAGE,
        // A channel of its own: grpc-js would share the connection, and its backoff, with the one given up.
        'grpc.use_local_subchannel_pool': 1,
        // Debugging statistics, kept for every call.
        'grpc.enable_channelz': 0,
        // Like flanneld: variables such as http_proxy are meant for the web.
        'grpc.enable_http_proxy': 0,
        'grpc.service_config_disable_resolution': 1,
      });
    } catch (error) {
      throw new StoreError('UNAUTHENTICATED', `TLS for ${endpoint.url} cannot be set up`, { cause: error });
    }
  }

  /** Whether requests can be sent, as far as this side knows. */
  get isReady(): boolean {
    return this.client.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /**
   * Waits until the endpoint has answered a request: a frozen server, or a proxy without one, accepts connections too.
   * @throws StoreError; the store has got no request that changes anything then
   */
  async connected(): Promise<void> {
    const channel = this.client.getChannel();
    const end = performance.now() + this.#timing.connect;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.SHUTDOWN)
        throw this.#unreachable('the connection attempt was abandoned');
      // A failed channel keeps its reason to itself, and gives it to requests only; they fail at once.
      if (state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE)
        return await this.#answer();
      if (!(await changed(channel, state, end - performance.now()))) {
        throw this.#unreachable(`no connection within ${this.#timing.connect} ms`);
      }
    }
  }

  /** Calls and streams under way go on until they end; a connection that is not made yet never will be. */
  close(): void {
    const { isReady } = this;
    this.client.close();
    if (!isReady) this.#sockets.abandon();
  }

  /** Whether it comes from an address of which this is true. */
  isFrom(test: (address: string) => boolean): boolean {
    return this.#sockets.localAddresses.some(test);
  }

  /** Ends it at once, with everything under way. */
  abandon(): void {
    this.client.close();
    this.#sockets.abandon();
  }

  /** A refusal is an answer as well: etcd may show its status only to clients with a token. */
  async #answer(): Promise<void> {
    const deadline = Date.now() + this.#timing.connect;
    try {
      await callUnary(this.client, Maintenance.method.status, {}, new Metadata(), { deadline });
    } catch (error) {
      const failure = storeErrorOf(error, 'connect', this.endpoint.url);
      const isAnswer = failure.code !== 'UNAVAILABLE' && failure.code !== 'UNAUTHENTICATED';
      if (!isAnswer && !isFromServer(error)) throw failure;
    }
  }

  #unreachable(reason: string): StoreError {
    const { url } = this.endpoint;
    return new StoreError('UNAVAILABLE', `connect at ${url}: ${reason}`, {
      op: 'connect',
      context: { endpoint: url },
    });
  }
}

/** Whether the state changes within `ms` milliseconds. grpc-js would count them by the wall clock, which may jump. */
function changed(
  channel: ReturnType<Client['getChannel']>,
  from: connectivityState,
  ms: number,
): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(false), ms);
    channel.watchConnectivityState(from, Number.POSITIVE_INFINITY, () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
