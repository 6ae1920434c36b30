/** Another host, asked through its agent: by its own, or by that of a third host where it is not reached from here. */
import type { Flow, InspectionReport, Observation } from '../../api/inspection.ts';
import type { EchoPlace, InspectionRequest } from '../../api/inspection-lines.ts';
import type { Exchange } from '../../api/peer/exchange.ts';
import { PeerError } from '../../api/peer/peer-error.ts';
import { PEER_LIMITS } from '../../api/peer/peer-protocol.ts';
import { type KnownPeer, nameOfPeer, type Peers } from '../../api/peer/peers.ts';
import type { Walk, WalkReport } from '../../api/walk.ts';
import { untilAborted } from '../../base/abort.ts';
import type { Inspector, OngoingEcho, OngoingObservation } from '../inspector/inspector.ts';

export class RemoteInspector implements Inspector {
  readonly host: string;
  readonly #peer: KnownPeer;
  readonly #peers: Peers;
  #via: string | undefined;

  constructor(peer: KnownPeer, peers: Peers) {
    this.host = nameOfPeer(peer);
    this.#peer = peer;
    this.#peers = peers;
  }

  /** Name of the host that passed the last request on; undefined when this one was reached directly, or not asked yet. */
  get via(): string | undefined {
    return this.#via;
  }

  /** @throws PeerError, whose message is a sentence that names the host; `signal.reason` */
  async look(signal: AbortSignal): Promise<InspectionReport> {
    using exchange = await this.#ask({ look: {} }, signal);
    exchange.end();
    for await (const answer of exchange.answers()) if ('report' in answer) return answer.report;
    throw this.#noAnswer('a report');
  }

  /** @throws PeerError; `signal.reason` */
  async walk(walk: Walk, signal: AbortSignal): Promise<WalkReport> {
    using exchange = await this.#ask({ walk }, signal);
    exchange.end();
    for await (const answer of exchange.answers()) if ('walk' in answer) return answer.walk;
    throw this.#noAnswer('the way of the packet');
  }

  /** @throws PeerError; `signal.reason` */
  async observe(flow: Flow, signal: AbortSignal): Promise<OngoingObservation> {
    const exchange = await this.#ask({ observe: { flow } }, signal);
    const answers = exchange.answers();
    try {
      const { value } = await answers.next();
      if (value === undefined || !('ready' in value)) throw this.#noAnswer('a word that it is ready');
    } catch (error) {
      exchange[Symbol.dispose]();
      throw error;
    }
    return {
      finish: async () => await this.#finish(exchange, answers),
      [Symbol.asyncDispose]: async () => {
        exchange[Symbol.dispose]();
      },
    };
  }

  /** @throws PeerError; `signal.reason` */
  async echo(place: EchoPlace, signal: AbortSignal): Promise<OngoingEcho> {
    const exchange = await this.#ask({ echo: place }, signal);
    try {
      const { value } = await exchange.answers().next();
      if (value === undefined || !('echoing' in value)) throw this.#noAnswer('a port that answers');
      const { port } = value.echoing;
      return {
        port,
        [Symbol.asyncDispose]: async () => {
          exchange.end();
          exchange[Symbol.dispose]();
        },
      };
    } catch (error) {
      exchange[Symbol.dispose]();
      throw error;
    }
  }

  async #finish(exchange: Exchange, answers: ReturnType<Exchange['answers']>): Promise<Observation> {
    exchange.end();
    for await (const answer of answers) if ('observation' in answer) return answer.observation;
    throw this.#noAnswer('an observation');
  }

  async #ask(request: InspectionRequest, signal: AbortSignal): Promise<Exchange> {
    const late = new PeerError(
      'TIMEOUT',
      `${this.host} did not answer within ${PEER_LIMITS.request / 1000} s`,
    );
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(late), PEER_LIMITS.request + PEER_LIMITS.connect);
    timer.unref();
    const until = AbortSignal.any([signal, over.signal]);
    const exchange = await untilAborted(this.#peers.open(this.#peer, 'inspect', until), until);
    this.#via = exchange.route.to && exchange.route.first.name;
    exchange.send(request);
    return exchange;
  }

  #noAnswer(what: string): PeerError {
    return new PeerError('PROTOCOL', `${this.host} ended without ${what}`);
  }
}
