/**
 * Following a range of keys for as long as somebody wants to know: list, then watch from the next revision on;
 * after a lost connection watch on from where we were; after a lost history list again.
 *
 * History is lost when the store has compacted it, and when the store is not the one it was: another cluster
 * behind the address, or one restored from a backup or started empty, which is behind what we have seen. (One
 * that has the same identity, term and more revisions cannot be told from the old one by any client.)
 */
import { untilAborted } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { type Revision, StoreError, type StoreUpdate } from '../store.ts';
import { Watch, type WatchResponse } from '../wire/generated/watch_pb.ts';
import { Batches } from './batches.ts';
import type { EtcdClient } from './client.ts';
import { decodeHeader, type Header, type Range, senseless } from './codec.ts';
import { storeErrorOf, storeErrorOfReason } from './errors.ts';
import { currentHeader, listRange } from './range.ts';

/** The server has answered, and has nothing new to tell. */
interface Contact {
  readonly type: 'contact';
}

const CONTACT: Contact = { type: 'contact' };

/** How far an observer has come, and in which store. */
interface Position {
  readonly next: Revision;
  readonly clusterId: bigint;
  readonly term: bigint;
}

/** Ends, without an error, when `signal` aborts or the client is closed. */
export async function* observe(
  client: EtcdClient,
  range: Range,
  options: { readonly signal: AbortSignal; readonly clock: Clock },
): AsyncGenerator<StoreUpdate, void> {
  const signal = AbortSignal.any([options.signal, client.closed]);
  const observation = new Observation(client, range, signal);
  const newDelays = () => backoff(client.timing.retryFirst, client.timing.retryCap);
  let delays = newDelays();
  /** Why there is no contact, as it was told last. */
  let interruption: string | undefined;
  while (!signal.aborted) {
    try {
      for await (const step of observation.follow()) {
        if (signal.aborted) return;
        if (interruption !== undefined) yield { type: 'resumed' };
        interruption = undefined;
        if (step.type === 'contact') delays = newDelays();
        else yield step;
      }
      // The store answers, and only its history is lost: the next list need not wait for long.
      delays = newDelays();
    } catch (cause) {
      if (signal.aborted) return;
      const error = storeErrorOf(cause, 'watch', client.endpoint);
      client.logger.debug({ code: error.code, reason: error.message }, 'an observation was interrupted');
      if (error.message !== interruption) yield { type: 'interrupted', error };
      interruption = error.message;
    }
    // Rejects on abort only, and then the loop ends.
    await options.clock.sleep(delays.next().value, signal).catch(() => undefined);
  }
}

class Observation {
  readonly #client: EtcdClient;
  readonly #range: Range;
  readonly #signal: AbortSignal;
  #position: Position | undefined;
  /** The store is not the one that was told of before. */
  #isReplaced = false;

  constructor(client: EtcdClient, range: Range, signal: AbortSignal) {
    this.#client = client;
    this.#range = range;
    this.#signal = signal;
  }

  /** Goes on from where it was. Returns when the history it needs is lost; throws when contact is. */
  async *follow(): AsyncGenerator<StoreUpdate | Contact, void> {
    const position = this.#position ?? (yield* this.#snapshot());
    const stream = await this.#wait(this.#client.stream(Watch.method.watch, this.#signal));
    const tooLate = new StoreError('UNAVAILABLE', `watch at ${stream.endpoint}: not begun in time`);
    const timer = setTimeout(() => stream.close(tooLate), this.#client.timing.call);
    try {
      stream.send({
        requestUnion: {
          case: 'createRequest',
          value: { ...this.#range, startRevision: position.next, progressNotify: true, fragment: true },
        },
      });
      for await (const step of this.#steps(stream, position)) {
        clearTimeout(timer);
        yield step;
      }
    } finally {
      clearTimeout(timer);
      stream.close();
    }
  }

  /** A part of its own, because a generator that waits keeps what its variables held: here all keys there are. */
  async *#snapshot(): AsyncGenerator<StoreUpdate, Position> {
    const { kvs, header } = await this.#wait(listRange(this.#client, this.#range));
    const position = { ...header, next: header.revision + 1n };
    this.#position = position;
    const unrelated = this.#isReplaced ? ({ unrelated: true } as const) : {};
    this.#isReplaced = false;
    yield { type: 'snapshot', revision: header.revision, kvs, ...unrelated };
    return position;
  }

  async *#steps(
    stream: AsyncIterable<WatchResponse> & { readonly endpoint: string },
    position: Position,
  ): AsyncGenerator<StoreUpdate | Contact, void> {
    const batches = new Batches(position.next);
    const { clusterId } = position;
    let { term } = position;
    let begun = false;
    for await (const response of stream) {
      if (response.canceled) {
        const error = storeErrorOfReason(response.cancelReason, 'watch', stream.endpoint);
        if (response.compactRevision !== 0n || error.code === 'COMPACTED') {
          return this.#forget('its history was compacted');
        }
        // Our token may have ended: etcd tells so clearly only when called, and then we get a new one.
        if (error.code === 'FORBIDDEN' || error.code === 'UNAUTHENTICATED')
          await this.#wait(currentHeader(this.#client, this.#range));
        throw error;
      }
      if (!begun) {
        if (!response.created) throw senseless('watch', 'something else than the beginning of a watch');
        const header = decodeHeader(response.header, 'watch');
        if (!(await this.#isSameStore(position, header))) {
          this.#isReplaced = true;
          return this.#forget('the store is another one');
        }
        if (header.term > term) ({ term } = header);
        begun = true;
        yield CONTACT;
      }
      for (const update of batches.take(response)) {
        this.#position = { clusterId, term, next: batches.next };
        yield update;
      }
      this.#position = { clusterId, term, next: batches.next };
    }
    throw new StoreError('UNAVAILABLE', `watch at ${stream.endpoint}: ended by the server`);
  }

  async #isSameStore(known: Position, seen: Header): Promise<boolean> {
    const matches = ({ clusterId, revision, term }: Header) =>
      clusterId === known.clusterId && revision >= known.next - 1n && term >= known.term;
    if (matches(seen)) return true;
    // So does a member that lags behind the others look. What the cluster agrees on tells the two apart.
    return matches(await this.#wait(currentHeader(this.#client, this.#range)));
  }

  #forget(why: string): void {
    this.#position = undefined;
    this.#client.logger.info({ why }, 'listing the store again');
  }

  /** Other calls have deadlines of their own; an observation ends at once. */
  #wait<T>(call: Promise<T>): Promise<T> {
    return untilAborted(call, this.#signal);
  }
}
