/**
 * Asks addresses for an echo, many at the same time. One socket per address family, and link and source where these are given, is
 * open for as long as something is asked through it and a little longer.
 */
import type { Clock } from '../base/clock.ts';
import { defined } from '../base/defined.ts';
import type { Family, Ip } from '../base/ip.ts';
import { SysError } from '../sys/errors.ts';
import { IcmpSocket } from '../sys/icmp-socket.ts';
import type { Netns } from '../sys/netns.ts';
import {
  answerFilter,
  answerTypes,
  ECHO_HEADER,
  echoRequest,
  type IcmpAnswer,
  IP_HEADERS,
  parseAnswer,
} from './icmp.ts';

export interface ProbeOptions {
  /** Bytes of the IP packet, which is never fragmented; the least there is when absent. */
  readonly size?: number;
  /** Name of the link that it must leave and come back over; the routes decide when absent. */
  readonly link?: string;
  /** Address of this host that it is from; the routes decide when absent. */
  readonly source?: Ip;
  /** What its data begins with; zeros follow. */
  readonly data?: Uint8Array;
  /** Milliseconds to wait for an answer. */
  readonly timeout: number;
}

export type ProbeResult =
  /** Milliseconds there and back. */
  | { readonly outcome: 'answered'; readonly ms: number }
  | { readonly outcome: 'silent' }
  /** `from` says so: a router, the host itself, or this host where it is absent. */
  | { readonly outcome: 'unreachable'; readonly reason: string; readonly from?: Ip }
  /** It is larger than a link on the way takes. `mtu` is what that link takes, where it is known. */
  | { readonly outcome: 'too big'; readonly mtu?: number; readonly from?: Ip };

interface Waiting {
  readonly to: Ip;
  answer(result: Exclude<ProbeResult, { outcome: 'answered' }> | 'reply'): void;
}

export class Prober implements Disposable {
  readonly #netns: Netns;
  readonly #clock: Clock;
  readonly #id: number | undefined;
  readonly #channels = new Map<string, Channel>();

  /**
   * @param netns where the packets leave from; stays the caller's.
   * @param id identifier of all its echoes, for a prober of one address and source whose packets others look for; random,
   *   and one per socket, when absent.
   */
  constructor(netns: Netns, clock: Clock, { id }: { readonly id?: number } = {}) {
    this.#netns = netns;
    this.#clock = clock;
    this.#id = id;
  }

  /**
   * Never rejects because of the network: that is the result.
   * @throws SysError without the right to send ICMP, or for a link or source that this host does not have.
   */
  async probe(to: Ip, options: ProbeOptions): Promise<ProbeResult> {
    return await this.#channel(to.family, options).probe(to, options);
  }

  /** Closes the sockets; what is being asked ends as silent. */
  [Symbol.dispose](): void {
    for (const channel of this.#channels.values()) channel[Symbol.dispose]();
    this.#channels.clear();
  }

  #channel(family: Family, { link, source }: ProbeOptions): Channel {
    const key = `${family} ${link ?? ''} ${source ?? ''}`;
    const open = this.#channels.get(key);
    if (open?.isOpen === true) return open;
    const id = this.#id ?? randomEchoId();
    const socket = IcmpSocket.open(this.#netns, family, answerTypes(family), {
      filter: answerFilter(family, id),
      ...defined({ link, source }),
    });
    const channel = new Channel(socket, this.#clock, id);
    this.#channels.set(key, channel);
    return channel;
  }
}

/** Errors of sending that mean: there is no way there. */
const UNREACHABLE = [
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'EACCES',
  'EPERM',
  'ENODEV',
  'EINVAL',
  'EADDRNOTAVAIL',
];
/** Milliseconds that a socket stays open when nothing is asked through it. */
const IDLE = 5000;

class Channel implements Disposable {
  readonly #socket: IcmpSocket;
  readonly #clock: Clock;
  /** Tells our echoes from those of other programs, which the kernel hands to every raw socket. */
  readonly #id: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #closed = new AbortController();
  #sequence = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(socket: IcmpSocket, clock: Clock, id: number) {
    this.#socket = socket;
    this.#clock = clock;
    this.#id = id;
    this.#receive().catch(() => this[Symbol.dispose]());
  }

  get isOpen(): boolean {
    return !this.#closed.signal.aborted;
  }

  async probe(to: Ip, { size, data, timeout }: ProbeOptions): Promise<ProbeResult> {
    clearTimeout(this.#idle);
    const sequence = this.#nextSequence();
    const { promise, resolve } = Promise.withResolvers<ProbeResult>();
    const began = this.#clock.monotonic();
    this.#waiting.set(sequence, {
      to,
      answer: result =>
        resolve(result === 'reply' ? { outcome: 'answered', ms: this.#clock.monotonic() - began } : result),
    });
    const timer = setTimeout(() => {
      // A process that was busy or stopped looks first at what came meanwhile.
      try {
        this.#drain();
      } catch {
        this[Symbol.dispose]();
      }
      resolve({ outcome: 'silent' });
    }, timeout);
    try {
      const least = IP_HEADERS[to.family] + ECHO_HEADER;
      this.#socket.send(to, echoRequest(to.family, { id: this.#id, sequence }, size ?? least, data));
      return await promise;
    } catch (error) {
      return refusalOf(error);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(sequence);
      if (this.#waiting.size === 0) this.#idle = setTimeout(() => this[Symbol.dispose](), IDLE).unref();
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#idle);
    if (!this.isOpen) return;
    this.#closed.abort();
    for (const { answer } of this.#waiting.values()) answer({ outcome: 'silent' });
    this.#socket[Symbol.dispose]();
  }

  /** An echo whose answer no caller waits for. */
  #nextSequence(): number {
    do this.#sequence = (this.#sequence + 1) & 0xffff;
    while (this.#waiting.has(this.#sequence));
    return this.#sequence;
  }

  async #receive(): Promise<void> {
    while (this.isOpen) {
      await this.#socket.readable(this.#closed.signal);
      this.#drain();
    }
  }

  #drain(): void {
    if (!this.isOpen) return;
    for (let message = this.#socket.receive(); message !== undefined; message = this.#socket.receive()) {
      const answer = parseAnswer(this.#socket.family, message.bytes);
      if (answer?.id === this.#id) this.#take(answer, message.from);
    }
  }

  #take(answer: IcmpAnswer, from: Ip): void {
    const waiting = this.#waiting.get(answer.sequence);
    switch (answer.kind) {
      case 'reply':
        // Only from the address we asked: any host may send one.
        if (waiting?.to.equals(from)) waiting.answer('reply');
        return;
      case 'too big':
        waiting?.answer({ outcome: 'too big', from, ...(answer.mtu > 0 && { mtu: answer.mtu }) });
        return;
      case 'time exceeded':
        waiting?.answer({ outcome: 'unreachable', reason: 'it was forwarded too often', from });
        return;
      case 'unreachable':
        waiting?.answer({ outcome: 'unreachable', reason: 'no way there', from });
    }
  }
}

/** 16 bits. */
export const randomEchoId = (): number => Math.floor(Math.random() * 0x10000);

function refusalOf(error: unknown): ProbeResult {
  if (!(error instanceof SysError)) throw error;
  if (error.code === 'EMSGSIZE') return { outcome: 'too big' };
  if (UNREACHABLE.includes(error.code)) return { outcome: 'unreachable', reason: error.message };
  throw error;
}
