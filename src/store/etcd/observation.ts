/**
 * Following a range of keys until the reader stops: list, then watch from the next revision on;
 * after a lost connection watch on from where we were; after a lost history list again.
 *
 * History is lost when the store has compacted it, and when the store is not the one it was; see History.
 */
import { untilAborted } from '../../base/abort.ts';
import { backoff, type Clock } from '../../base/clock.ts';
import { type Revision, StoreError, type StoreUpdate } from '../store.ts';
import { Watch, type WatchResponse } from '../wire/generated/watch_pb.ts';
import { Batches } from './batches.ts';
import type { EtcdClient } from './client.ts';
import { decodeHeader, type Header, protocolViolation, type Range } from './codec.ts';
import { storeErrorOf, storeErrorOfReason } from './errors.ts';
import { follows } from './history.ts';
import { currentHeader, listRange } from './range.ts';

/** The server has answered, and has nothing new. */
interface Contact {
  readonly type: 'contact';
}

const CONTACT: Contact = { type: 'contact' };

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
  /** Why there is no contact, as it was reported last. */
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
  /** The first revision that has not been delivered yet; undefined when everything has to be. */
  #next: Revision | undefined;
  /** Of the store whose contents were delivered last; undefined before there was one. */
  #generation: number | undefined;

  constructor(client: EtcdClient, range: Range, signal: AbortSignal) {
    this.#client = client;
    this.#range = range;
    this.#signal = signal;
  }

  /** Goes on from where it was. Returns when the history it needs is lost; throws when contact is. */
  async *follow(): AsyncGenerator<StoreUpdate | Contact, void> {
    const { history, timing } = this.#client;
    const next = this.#next ?? (yield* this.#snapshot());
    const stream = await this.#wait(this.#client.stream(Watch.method.watch, this.#signal));
    const tooLate = new StoreError('UNAVAILABLE', `watch at ${stream.endpoint}: not begun in time`);
    const timer = setTimeout(() => stream.close(tooLate), timing.call);
    using _listening = history.onReplaced(() => stream.close(tooLate));
    try {
      stream.send({
        requestUnion: {
          case: 'createRequest',
          value: { ...this.#range, startRevision: next, progressNotify: true, fragment: true },
        },
      });
      for await (const step of this.#steps(stream, next)) {
        clearTimeout(timer);
        yield step;
      }
    } catch (error) {
      // What another observer found out holds for this one too.
      if (this.#generation === history.generation) throw error;
      this.#forget('the store was replaced');
    } finally {
      clearTimeout(timer);
      stream.close();
    }
  }

  /** Lists the range, and finds out whether the store is the one of before. @returns the revision to watch from */
  async *#snapshot(): AsyncGenerator<StoreUpdate, Revision> {
    const { history } = this.#client;
    const { mark } = history;
    const { kvs, header } = await this.#wait(listRange(this.#client, this.#range));
    if (mark.generation !== history.generation) {
      throw new StoreError('UNAVAILABLE', `watch at ${this.#client.endpoint}: the store was replaced`);
    }
    if (follows(mark, header)) history.note(header);
    else history.beginAnew(header);
    const before = this.#generation;
    this.#generation = history.generation;
    const next = header.revision + 1n;
    this.#next = next;
    const isReplaced = before !== undefined && before !== this.#generation;
    const unrelated = isReplaced ? ({ unrelated: true } as const) : {};
    yield { type: 'snapshot', revision: header.revision, kvs, ...unrelated };
    return next;
  }

  async *#steps(
    stream: AsyncIterable<WatchResponse> & { readonly endpoint: string },
    next: Revision,
  ): AsyncGenerator<StoreUpdate | Contact, void> {
    const batches = new Batches(next);
    let begun = false;
    for await (const response of stream) {
      if (response.canceled) {
        const error = storeErrorOfReason(response.cancelReason, 'watch', stream.endpoint);
        if (response.compactRevision !== 0n || error.code === 'COMPACTED') {
          return this.#forget('its history was compacted');
        }
        // Our token may have ended: etcd says so clearly only when called, and then we get a new one.
        if (error.code === 'FORBIDDEN' || error.code === 'UNAUTHENTICATED')
          await this.#wait(currentHeader(this.#client, this.#range));
        throw error;
      }
      if (!begun) {
        if (!response.created) throw protocolViolation('watch', 'a message other than the start of a watch');
        if (!(await this.#isSameStore(decodeHeader(response.header, 'watch')))) {
          return this.#forget('the store was replaced');
        }
        begun = true;
        yield CONTACT;
      }
      for (const update of batches.take(response)) {
        this.#reached(batches.next);
        yield update;
      }
      this.#reached(batches.next);
    }
    throw new StoreError('UNAVAILABLE', `watch at ${stream.endpoint}: ended by the server`);
  }

  #reached(next: Revision): void {
    this.#next = next;
    this.#client.history.reached(next - 1n);
  }

  async #isSameStore(seen: Header): Promise<boolean> {
    const { history } = this.#client;
    const { mark } = history;
    if (this.#generation !== mark.generation) return false;
    if (follows(mark, seen)) {
      history.note(seen);
      return true;
    }
    // So does a member that lags behind the others look. What the cluster agrees on distinguishes the two.
    const agreed = await this.#wait(currentHeader(this.#client, this.#range));
    if (this.#generation !== history.generation) return false;
    const isSame = follows(mark, agreed);
    if (isSame) history.note(agreed);
    else history.beginAnew(agreed);
    return isSame;
  }

  #forget(why: string): void {
    this.#next = undefined;
    this.#client.logger.info({ why }, 'listing the store again');
  }

  /** Other calls have deadlines of their own; an observation ends at once. */
  #wait<T>(call: Promise<T>): Promise<T> {
    return untilAborted(call, this.#signal);
  }
}
