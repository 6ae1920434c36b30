/** Which endpoint of a cluster is asked: one is used until it fails, then the next one that answers (connect.ts). */
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { StoreError } from '../store.ts';
import { Channel, type Timing } from './channel.ts';
import { connectAny } from './connect.ts';
import type { EtcdEndpoint } from './endpoint.ts';
import { summaryOf } from './errors.ts';
import type { TlsOptions } from './tls.ts';

export interface FailoverOptions {
  readonly tls: TlsOptions;
  readonly timing: Timing;
  readonly logger: Logger;
  /** Aborts when the client is closed. */
  readonly closed: AbortSignal;
}

export class Failover {
  readonly #endpoints: readonly EtcdEndpoint[];
  readonly #tls: TlsOptions;
  readonly #timing: Timing;
  readonly #logger: Logger;
  readonly #closed: AbortSignal;
  #position = 0;
  #channel: Channel | undefined;
  #connecting: Promise<Channel> | undefined;

  /** @param endpoints at least one. */
  constructor(endpoints: readonly EtcdEndpoint[], { tls, timing, logger, closed }: FailoverOptions) {
    this.#endpoints = endpoints;
    this.#tls = tls;
    this.#timing = timing;
    this.#logger = logger;
    this.#closed = closed;
  }

  /** How many endpoints there are. */
  get size(): number {
    return this.#endpoints.length;
  }

  /** The endpoint in use. */
  get endpoint(): string {
    // The position stays below the length, which is at least 1.
    return (this.#endpoints[this.#position] as EtcdEndpoint).url;
  }

  /**
   * Gives up a connection that comes from an address of which this is true; what was under way fails, and what follows
   * makes a new one. For addresses that this host has no more: the kernel keeps such a connection, and sends nothing.
   */
  leaveAddress(isGone: (address: string) => boolean): void {
    const channel = this.#channel;
    if (channel?.isFrom(isGone) !== true) return;
    this.#logger.debug(
      { endpoint: this.endpoint },
      'the local address of the connection to the store was removed',
    );
    this.#channel = undefined;
    channel.abandon();
  }

  /** The channel in use, or another one where it is lost; calls at the same time share it. @throws StoreError */
  async connected(op: string): Promise<Channel> {
    if (this.#channel?.isReady === true) return this.#channel;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    try {
      return await this.#connecting;
    } catch (error) {
      this.#closed.throwIfAborted();
      if (error instanceof AggregateError) throw summaryOf(op, error.errors as StoreError[]);
      throw error;
    }
  }

  /** Begins with the endpoint whose turn it is. */
  async #connect(): Promise<Channel> {
    this.disconnect();
    const channel = await connectAny({
      endpoints: [...this.#endpoints.slice(this.#position), ...this.#endpoints.slice(0, this.#position)],
      open: endpoint => new Channel(endpoint, this.#tls, this.#timing),
      stagger: this.#timing.stagger,
      signal: this.#closed,
      onFailure: ({ url }, reason) =>
        this.#logger.debug({ endpoint: url, reason: reason.message }, 'a store endpoint does not answer'),
    });
    this.#channel = channel;
    this.#position = this.#endpoints.indexOf(channel.endpoint);
    return channel;
  }

  /**
   * Turns to the next endpoint, unless another call has done so already.
   * @param connectionIsGood the server answered: where it is the only one, its connection is kept.
   */
  leave(channel: Channel | undefined, reason: StoreError, connectionIsGood = false): void {
    if (channel !== this.#channel || this.#closed.aborted) return;
    if (connectionIsGood && this.#endpoints.length === 1) return;
    const from = this.endpoint;
    this.disconnect();
    this.#position = (this.#position + 1) % this.#endpoints.length;
    this.#logger.debug({ from, to: this.endpoint, reason: messageOf(reason) }, 'leaving a store endpoint');
  }

  /** Closes the connection in use. */
  disconnect(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }
}
