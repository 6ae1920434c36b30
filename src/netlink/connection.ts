/**
 * This room speaks netlink, the protocol by which programs read and change the kernel's network configuration. The
 * files beside this one are the protocol itself: messages, attributes, acknowledgements, and here the connection.
 * They know of no kind of object. What exists only in one protocol of netlink has a folder: `route/` (links, addresses,
 * routes, neighbors), `netfilter/` (nftables); `text/` writes the objects as `ip` and `bridge` do. What Tulle
 * wants of the kernel, and whose an object is, has no place in this room.
 *
 * The connection: requests and their answers over one netlink socket. The kernel handles a datagram inside the `send`
 * call, message by message, and queues the answers on the socket. So nothing is ever "in flight": after `send`, the
 * answers are read until all are there. Requests of many callers take turns, and other work gets its turn between
 * datagrams.
 *
 * Two properties of the kernel (net/netlink/af_netlink.c) shape the code:
 * - A refused request is always answered; an accepted one only when it asks (NLM_F_ACK). In a batch of changes only
 *   the last one asks. Its answer proves that the kernel went through all of them, and halves the work.
 * - A table that changes while it is dumped yields NLM_F_DUMP_INTR on some message: the result may miss entries, so
 *   it is thrown away and read again.
 */
import { setImmediate } from 'node:timers/promises';
import { Writer } from '../base/bytes.ts';
import { decodeAcknowledgement } from './acknowledgement.ts';
import {
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from './constants.ts';
import { NetlinkError } from './errors.ts';
import { HEADER_SIZE, type Message, patchFlags, readMessages, writeMessage } from './message.ts';
import { type Change, type ListReader, messageName, type NetlinkProtocol, type Query } from './protocol.ts';
import { type NetlinkTransport, RECEIVE_SIZE } from './transport.ts';

/** One datagram carries at most this; every request in it may be answered with an error of about 1 KiB. */
const BATCH_MESSAGES = 256;
const BATCH_BYTES = 1 << 16;

/** Datagrams read in one go before other work gets its turn; one of a dump holds some 400 entries, 1 ms of work. */
const DATAGRAMS_PER_TURN = 8;

/** A table that changes faster than it can be read this often is reported. */
const DUMP_TRIES = 10;

export class NetlinkConnection implements AsyncDisposable {
  readonly #transport: NetlinkTransport;
  readonly #protocol: NetlinkProtocol;
  readonly #isAside: boolean;
  readonly #closing = new AbortController();
  readonly #buffer = new Uint8Array(RECEIVE_SIZE);
  readonly #datagram = new Writer(BATCH_BYTES);
  #turn: Promise<unknown> = Promise.resolve();
  #sequence = 0;
  #received = 0;
  #writes = 0;

  /** @param aside other work goes on while the kernel handles a request */
  constructor(
    transport: NetlinkTransport,
    protocol: NetlinkProtocol,
    { aside = false }: { readonly aside?: boolean } = {},
  ) {
    this.#transport = transport;
    this.#protocol = protocol;
    this.#isAside = aside;
  }

  /** Changes sent so far. */
  get writes(): number {
    return this.#writes;
  }

  /** Sends changes in order; one result for each, undefined where the kernel agreed. @throws SysError */
  async apply(changes: readonly Change[]): Promise<(NetlinkError | undefined)[]> {
    const results = Array.from<undefined, NetlinkError | undefined>(
      { length: changes.length },
      () => undefined,
    );
    for (let start = 0; start < changes.length; ) {
      const first = start;
      start = await this.#exclusively(() => this.#applyBatch(changes, first, results));
    }
    return results;
  }

  /** Asks one question with one answer. @throws NetlinkError, SysError */
  get<T>(query: Query, decode: (message: Message) => T | undefined): Promise<T | undefined> {
    return this.#exclusively(async () => {
      const sequence = await this.#sendQuery(query, NLM_F_REQUEST | NLM_F_ACK);
      let answer: T | undefined;
      for (;;) {
        for (const message of await this.#receive()) {
          if (message.sequence !== sequence) continue;
          if (message.type !== NLMSG_ERROR) {
            answer ??= decode(message);
            continue;
          }
          const error = this.#refusal(query, message);
          if (error !== undefined) throw error;
          return answer;
        }
      }
    });
  }

  /**
   * Reads whole tables, one after the other, as one list.
   * @throws NetlinkError, with code DUMP_INTERRUPTED when a table never held still; SysError
   */
  async dump(queries: readonly Query[], reader: ListReader<Message>): Promise<void> {
    for (let tries = 1; ; tries++) {
      reader.begin();
      const interrupted = await this.#dumpAll(queries, reader);
      if (interrupted === undefined) return;
      if (tries < DUMP_TRIES) continue;
      throw NetlinkError.interrupted(messageName(this.#protocol, interrupted.type), interrupted.what, tries);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the netlink connection is closed'));
    await this.#turn;
    this.#transport[Symbol.dispose]();
  }

  /** Sends one datagram of changes from `start` on and awaits its answers. Returns where the next one starts. */
  async #applyBatch(
    changes: readonly Change[],
    start: number,
    results: (NetlinkError | undefined)[],
  ): Promise<number> {
    const most = Math.min(BATCH_MESSAGES, changes.length - start);
    const first = this.#nextSequence(most);
    const writer = this.#datagram.clear();
    const end = start + writeBatch(writer, changes, start, most, first);
    await this.#send(writer.view());
    this.#writes += end - start;
    for (;;) {
      for (const message of await this.#receive()) {
        // The distance to the first sequence number; that of a stale answer is out of range.
        const index = start + ((message.sequence - first) >>> 0);
        if (message.type !== NLMSG_ERROR || index >= end) continue;
        results[index] = this.#refusal(changes[index] as Change, message);
        if (index === end - 1) return end;
      }
    }
  }

  /** Returns the query whose table changed meanwhile, if any: then the list is not whole. */
  async #dumpAll(queries: readonly Query[], reader: ListReader<Message>): Promise<Query | undefined> {
    for (const query of queries) {
      const isWhole = await this.#exclusively(() => this.#dumpOnce(query, message => reader.each(message)));
      if (!isWhole) return query;
    }
    return undefined;
  }

  /** False when the table changed meanwhile. */
  async #dumpOnce(query: Query, each: (message: Message) => void): Promise<boolean> {
    const sequence = await this.#sendQuery(query, NLM_F_REQUEST | NLM_F_DUMP);
    let interrupted = false;
    for (;;) {
      for (const message of await this.#receive()) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const error = this.#refusal(query, message);
          if (error !== undefined && query.emptyOn?.includes(error.code) !== true) throw error;
          return !interrupted;
        }
        if (!interrupted) each(message);
      }
    }
  }

  async #sendQuery({ type, payload }: Query, flags: number): Promise<number> {
    const sequence = this.#nextSequence(1);
    const writer = new Writer(HEADER_SIZE + payload.byteLength + 4);
    writeMessage(writer, { type, flags, sequence, payload });
    await this.#send(writer.finish());
    return sequence;
  }

  async #send(datagram: Uint8Array): Promise<void> {
    if (this.#isAside && this.#transport.sendAside !== undefined) await this.#transport.sendAside(datagram);
    else this.#transport.send(datagram);
  }

  /** The first of `count` consecutive sequence numbers. 0 is never one: announcements carry it. */
  #nextSequence(count: number): number {
    if (this.#sequence + count > 0xffffffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  /** The messages of the next datagram, valid until the next call. */
  async #receive(): Promise<Message[]> {
    if (++this.#received % DATAGRAMS_PER_TURN === 0) await setImmediate();
    for (;;) {
      const length = this.#transport.receive(this.#buffer);
      if (length !== undefined) return readMessages(this.#buffer.subarray(0, length));
      await this.#transport.readable(this.#closing.signal);
    }
  }

  /** What an acknowledgement says of a request: undefined for yes. */
  #refusal({ type, what }: Change | Query, message: Message): NetlinkError | undefined {
    const { errno, extendedAck } = decodeAcknowledgement(message);
    if (errno === 0) return undefined;
    return new NetlinkError(messageName(this.#protocol, type), what, errno, extendedAck);
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await work();
    } finally {
      resolve();
    }
  }
}

/** Writes at most `most` changes from `start` on, the last of which asks for an answer. Returns how many fit. */
function writeBatch(
  writer: Writer,
  changes: readonly Change[],
  start: number,
  most: number,
  firstSequence: number,
): number {
  let [last, count] = [0, 0];
  while (count < most) {
    const change = changes[start + count] as Change;
    const at = writer.length;
    writeMessage(writer, {
      type: change.type,
      flags: change.flags | NLM_F_REQUEST,
      sequence: firstSequence + count,
      payload: change,
    });
    if (count > 0 && writer.length > BATCH_BYTES) {
      writer.truncate(at);
      break;
    }
    last = at;
    count++;
  }
  patchFlags(writer, last, (changes[start + count - 1]?.flags ?? 0) | NLM_F_REQUEST | NLM_F_ACK);
  return count;
}
