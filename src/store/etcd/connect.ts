/**
 * The first connection to a cluster, and the next one after a loss, as RFC 8305 ("happy eyeballs") has it: an endpoint
 * that has answered no request within a moment does not hold up the next one. The first that answers is used.
 *
 *     0 ms     250 ms   500 ms
 *     |--- first ------------------ nothing yet
 *              |--- second -- refused
 *                           |--- third -- answers: the others are given up
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreError } from '../store.ts';
import type { Channel } from './channel.ts';
import type { EtcdEndpoint } from './endpoint.ts';
import { storeErrorOf } from './errors.ts';

export interface ConnectOptions {
  readonly endpoints: readonly EtcdEndpoint[];
  /** Makes a channel that is not connected yet; what it throws is the failure of that endpoint. */
  readonly open: (endpoint: EtcdEndpoint) => Channel;
  /** Milliseconds that an endpoint has for itself. */
  readonly stagger: number;
  readonly signal: AbortSignal;
  readonly onFailure?: (endpoint: EtcdEndpoint, reason: StoreError) => void;
}

/**
 * Connects to one of these endpoints, tried in their order.
 * @throws AggregateError of a StoreError per endpoint, in their order, when none of them answers
 */
export async function connectAny(options: ConnectOptions): Promise<Channel> {
  const { endpoints, open, stagger, signal, onFailure } = options;
  const over = new AbortController();
  const opened = new Set<Channel>();
  const connect = async (endpoint: EtcdEndpoint): Promise<Channel> => {
    try {
      over.signal.throwIfAborted();
      const channel = open(endpoint);
      opened.add(channel);
      await channel.connected();
      over.abort();
      return channel;
    } catch (error) {
      const failure = storeErrorOf(error, 'connect', endpoint.url);
      if (!over.signal.aborted) onFailure?.(endpoint, failure);
      throw failure;
    }
  };
  const attempts: Promise<Channel>[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  for (const endpoint of endpoints) {
    const attempt = turn.then(() => connect(endpoint));
    attempts.push(attempt);
    turn = turn
      .then(() => Promise.race([sleep(stagger, undefined, { signal: over.signal }), attempt]))
      .catch(() => undefined);
  }
  const giveUp = () => {
    over.abort();
    for (const channel of opened) channel.close();
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    const winner = await Promise.any(attempts);
    opened.delete(winner);
    return winner;
  } finally {
    signal.removeEventListener('abort', giveUp);
    giveUp();
  }
}
