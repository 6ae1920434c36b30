/** From the bytes of a query to those of its answer, over either transport. */
import { Ip } from '../base/ip.ts';
import { valuesOf } from '../base/per-family.ts';
import { writeAnswer, writeRefusal, writeTruncated } from './answer.ts';
import { MOST_TCP, RCODE } from './constants.ts';
import { isWrong, readQuery, udpLimit } from './query.ts';
import { type AnswerableNames, type AskedNetwork, resolve } from './resolver.ts';
import type { DnsTransport, Upstream } from './upstream.ts';

export interface ResponderParts {
  readonly names: AnswerableNames;
  /** Those that this host has. */
  readonly networks: () => readonly AskedNetwork[];
  /** Names of the networks on which the container with this address is, that of the address first. */
  readonly networksOf: (asker: Ip) => readonly string[];
  readonly upstream: Upstream;
}

/** What was answered since the start. */
export interface AnswerCounts {
  /** From what this host knows. */
  readonly own: number;
  /** By other servers. */
  readonly forwarded: number;
  /** By no server in time. */
  readonly failed: number;
  /** Were no queries, or wrong ones. */
  readonly malformed: number;
}

export class Responder {
  readonly #parts: ResponderParts;
  readonly #counts = { own: 0, forwarded: 0, failed: 0, malformed: 0 };
  #turn = 0;

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  get counts(): AnswerCounts {
    return this.#counts;
  }

  /** @param asker address from which the query came. @returns undefined for silence */
  answer(
    bytes: Uint8Array,
    asker: string,
    transport: DnsTransport,
  ): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const query = readQuery(bytes);
    if (query === undefined || isWrong(query)) {
      this.#counts.malformed++;
      return query && writeRefusal(query);
    }
    const limit = transport === 'udp' ? udpLimit(query) : MOST_TCP;
    const ip = Ip.tryParse(asker);
    const networks = this.#parts.networks();
    const own = resolve(query.question, {
      names: this.#parts.names,
      networks,
      askersNetworks: ip === undefined ? [] : this.#networksOf(ip, networks),
      turn: this.#turn++,
    });
    const isOld = query.options !== undefined && query.options.version > 0;
    if (own !== 'forward' || isOld) {
      this.#counts.own++;
      return writeAnswer(query, own === 'forward' ? FAILURE : own, limit);
    }
    return this.#parts.upstream.ask(query, transport, asker).then(answer => {
      if (answer === undefined) {
        this.#counts.failed++;
        return writeAnswer(query, FAILURE, limit);
      }
      this.#counts.forwarded++;
      return answer.byteLength <= limit ? answer : writeTruncated(query, answer);
    });
  }

  /** That of the address, though nobody knows its container by name yet. */
  #networksOf(asker: Ip, networks: readonly AskedNetwork[]): readonly string[] {
    const known = this.#parts.networksOf(asker);
    if (known.length > 0) return known;
    return networks.flatMap(one =>
      valuesOf(one.networks).some(block => block.contains(asker)) ? [one.name] : [],
    );
  }
}

const FAILURE = { rcode: RCODE.SERVFAIL, records: [] };
