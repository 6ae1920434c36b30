/**
 * Asks other servers what this host does not know. Each question goes out from a socket and with an id of its own, so that
 * nobody can answer for the server who cannot see the question (RFC 5452); an answer counts when it comes from the
 * server, with this id and this question.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { HEADER, HEADER_FLAG, MOST_UDP, RCODE } from './constants.ts';
import type { DnsQuery } from './query.ts';
import type { NameServer } from './resolv-conf.ts';
import { MessageFrames } from './tcp-frames.ts';

export interface UpstreamOptions {
  /** In the order in which they are asked. */
  readonly servers: () => readonly NameServer[];
  /** Milliseconds that one server has for an answer; two seconds unless given. */
  readonly timeout?: number;
}

export type DnsTransport = 'udp' | 'tcp';

const TIMEOUT = 2000;
/** Questions at once, over all askers and of one. */
const MOST_IN_FLIGHT = 256;
const MOST_OF_ONE = 64;

export class Upstream {
  readonly #options: UpstreamOptions;
  /** By asker. */
  readonly #inFlight = new Map<string, number>();
  #total = 0;
  /** The one that answered last is asked first. */
  #preferred = '';

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Those that are asked. */
  get servers(): readonly NameServer[] {
    return this.#options.servers();
  }

  /**
   * @param asker who wants to know, for the bound of what one may have in flight
   * @returns the answer with the id of the query; undefined when no server has one, or too much is in flight
   */
  async ask(query: DnsQuery, transport: DnsTransport, asker: string): Promise<Uint8Array | undefined> {
    const ofAsker = this.#inFlight.get(asker) ?? 0;
    if (this.#total >= MOST_IN_FLIGHT || ofAsker >= MOST_OF_ONE) return undefined;
    this.#total++;
    this.#inFlight.set(asker, ofAsker + 1);
    try {
      return await this.#askAll(query, transport);
    } finally {
      this.#total--;
      const left = (this.#inFlight.get(asker) ?? 1) - 1;
      if (left > 0) this.#inFlight.set(asker, left);
      else this.#inFlight.delete(asker);
    }
  }

  async #askAll(query: DnsQuery, transport: DnsTransport): Promise<Uint8Array | undefined> {
    const servers = this.servers;
    const first = servers.findIndex(server => textOf(server) === this.#preferred);
    const inOrder = first <= 0 ? servers : [...servers.slice(first), ...servers.slice(0, first)];
    let failed: Uint8Array | undefined;
    for (const server of inOrder) {
      const answer = await this.#askOne(query, transport, server);
      if (answer === undefined) continue;
      new DataView(answer.buffer, answer.byteOffset).setUint16(0, query.id);
      if (!isFailure(answer)) {
        this.#preferred = textOf(server);
        return answer;
      }
      failed ??= answer;
    }
    return failed;
  }

  async #askOne(
    query: DnsQuery,
    transport: DnsTransport,
    server: NameServer,
  ): Promise<Uint8Array | undefined> {
    const id = randomInt(0x1_0000);
    const question = outgoing(query, id);
    const isAnswer = (bytes: Uint8Array) => answers(bytes, question, query.questionEnd);
    const timeout = this.#options.timeout ?? TIMEOUT;
    return transport === 'udp'
      ? await overUdp(server, question, isAnswer, timeout)
      : await overTcp(server, question, isAnswer, timeout);
  }
}

const textOf = ({ address, port }: NameServer) => `${address} ${port}`;

/** The question as it goes out: with an id of ours, and no larger an answer than what is not fragmented. */
function outgoing({ bytes, options }: DnsQuery, id: number): Uint8Array {
  const question = bytes.slice();
  const view = new DataView(question.buffer);
  view.setUint16(0, id);
  if (options !== undefined) view.setUint16(options.sizeAt, Math.min(options.size, MOST_UDP));
  return question;
}

/** Whether this is an answer to this question. Letters may have changed their case on the way. */
function answers(bytes: Uint8Array, question: Uint8Array, questionEnd: number): boolean {
  if (bytes.byteLength < questionEnd || bytes[0] !== question[0] || bytes[1] !== question[1]) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if ((view.getUint16(2) & HEADER_FLAG.QR) === 0 || view.getUint16(4) !== 1) return false;
  for (let at = HEADER; at < questionEnd; at++) {
    if (folded(bytes[at] ?? 0) !== folded(question[at] ?? 0)) return false;
  }
  return true;
}

const folded = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte);

/** Whether another server may know better. */
function isFailure(answer: Uint8Array): boolean {
  const rcode = (answer[3] ?? 0) & 0xf;
  return rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED || rcode === RCODE.NOTIMP;
}

/** @returns undefined when there is no answer in time, or nobody there */
function overUdp(
  { address, port }: NameServer,
  question: Uint8Array,
  isAnswer: (bytes: Uint8Array) => boolean,
  timeout: number,
): Promise<Uint8Array | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let isOpen = true;
    const end = (answer?: Uint8Array) => {
      if (!isOpen) return;
      isOpen = false;
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, timeout);
    socket.on('error', () => end());
    socket.on('message', bytes => {
      if (isAnswer(bytes)) end(Uint8Array.from(bytes));
    });
    // Connected, so that answers of others do not come in, and a closed port shows at once. By its event: what is given to
    // connect() is called for a server without a route as well.
    socket.once('connect', () => isOpen && socket.send(question));
    socket.connect(port, address);
  });
}

function overTcp(
  { address, port }: NameServer,
  question: Uint8Array,
  isAnswer: (bytes: Uint8Array) => boolean,
  timeout: number,
): Promise<Uint8Array | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host: address, port });
    const frames = new MessageFrames();
    const end = (answer?: Uint8Array) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, timeout);
    socket.on('error', () => end());
    socket.on('close', () => end());
    socket.on('data', chunk => {
      const answer = frames.push(chunk).find(isAnswer);
      if (answer !== undefined) end(answer);
    });
    socket.write(MessageFrames.frame(question));
  });
}
