/** The agents of the other hosts, as a trace asks them: one that does not answer at once is not waited for again. */
import type { Flow, InspectionReport } from '../../api/inspection.ts';
import type { EchoPlace } from '../../api/inspection-lines.ts';
import { PeerError } from '../../api/peer/peer-error.ts';
import type { Status } from '../../api/status.ts';
import type { Walk } from '../../api/walk.ts';
import { untilAborted } from '../../base/abort.ts';
import { messageOf } from '../../base/errors.ts';
import type { PeerSite } from '../check/site.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { remoteHosts } from '../remote/remote-inspectors.ts';

/** Milliseconds for one answer, an observation's first word included. */
const PATIENCE = 6000;

export class PeerAgents {
  readonly #inspectors = new Map<string, PatientInspector>();
  /** Why one cannot be asked, by the key of its lease. */
  readonly #reasons = new Map<string, string>();
  readonly #reports = new Map<string, Promise<InspectionReport | undefined>>();
  readonly #hasAgent: boolean;
  readonly #signal: AbortSignal;

  /** @param status of this host's agent, which knows the others; undefined where it does not answer */
  constructor(status: Status | undefined, signal: AbortSignal) {
    this.#hasAgent = status !== undefined;
    this.#signal = signal;
    for (const host of status === undefined ? [] : remoteHosts(status)) {
      if (host.inspector === undefined) this.#reasons.set(host.peer.key, messageOf(host.reason));
      else this.#inspectors.set(host.peer.key, new PatientInspector(host.inspector));
    }
  }

  inspector({ key = '' }: PeerSite): Inspector | undefined {
    return this.#inspectors.get(key);
  }

  /** What it says of its host, asked once; undefined where it cannot be asked. */
  async report(peer: PeerSite): Promise<InspectionReport | undefined> {
    const known = this.#reports.get(peer.name) ?? this.#look(peer);
    this.#reports.set(peer.name, known);
    return await known;
  }

  /** Why it cannot be asked at all; undefined for one that can. */
  reason({ key = '' }: PeerSite): string | undefined {
    if (this.#inspectors.has(key)) return undefined;
    if (!this.#hasAgent) return 'the agent of this host, which knows how to ask it, does not answer';
    return this.#reasons.get(key) ?? 'it is not known any more';
  }

  async #look(peer: PeerSite): Promise<InspectionReport | undefined> {
    try {
      return await this.inspector(peer)?.look(this.#signal);
    } catch {
      this.#signal.throwIfAborted();
      return undefined;
    }
  }
}

/** Fails at once after it has failed once. */
class PatientInspector implements Inspector {
  readonly host: string;
  readonly #inspector: Inspector;
  #failure: Error | undefined;

  constructor(inspector: Inspector) {
    this.host = inspector.host;
    this.#inspector = inspector;
  }

  look(signal: AbortSignal) {
    return this.#once(signal, until => this.#inspector.look(until));
  }

  walk(walk: Walk, signal: AbortSignal) {
    return this.#once(signal, until => this.#inspector.walk(walk, until));
  }

  echo(place: EchoPlace, signal: AbortSignal) {
    return this.#once(signal, () => this.#inspector.echo(place, signal));
  }

  /** What is begun lasts longer than the patience. */
  observe(flow: Flow, signal: AbortSignal) {
    return this.#once(signal, () => this.#inspector.observe(flow, signal));
  }

  async #once<T>(signal: AbortSignal, ask: (until: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const late = AbortSignal.timeout(PATIENCE);
    const until = AbortSignal.any([signal, late]);
    try {
      return await untilAborted(ask(until), until);
    } catch (error) {
      signal.throwIfAborted();
      this.#failure = late.aborted
        ? new PeerError('TIMEOUT', `${this.host} did not answer within ${PATIENCE / 1000} s`)
        : (error as Error);
      throw this.#failure;
    }
  }
}
