/**
 * Climbs rungs: sends the probes of all of them side by side, again where some are lost, so that one lost packet is no loss and
 * steady loss is measured, and finds out how much passes where the largest does not.
 */
import type { Clock } from '../../base/clock.ts';
import { parallel } from '../../base/parallel.ts';
import { findPathMtu } from '../../probe/path-mtu.ts';
import { type ProbeResult, Prober } from '../../probe/prober.ts';
import { probeTcp } from '../../probe/tcp.ts';
import { SysError } from '../../sys/errors.ts';
import type { Netns } from '../../sys/netns.ts';
import { smallest } from './ladder.ts';
import { type Rung, type RungResult, rungState } from './rung.ts';

/** Milliseconds until a probe counts as lost, and between two of one rung. */
const PATIENCE = 800;
const SPACING = 10;
/** Where some are lost: so many more tell how many. */
const MORE = 100;
const MORE_SPACING = 5;
/** Milliseconds for one size, and for the largest that passes; a path that is slower is not searched. */
const MOST_OF_A_STEP = 300;
const MOST_OF_A_SEARCH = 3000;
/** Probes that are under way at once, over all rungs. */
const AT_ONCE = 600;
/** Bytes that every path carries. */
const LEAST = { ipv4: 68, ipv6: 1280 } as const;

export interface ClimbOptions {
  /** Probes of one rung, as long as none is lost. */
  readonly probes: number;
  readonly signal: AbortSignal;
}

/** @param netnsOf where the probes of a container leave from, and without a name those of this host; stays the caller's */
export class Climber implements Disposable {
  readonly #netnsOf: (container?: string) => Netns;
  readonly #clock: Clock;
  readonly #probers = new Map<string | undefined, Prober>();

  constructor(netnsOf: (container?: string) => Netns, clock: Clock) {
    this.#netnsOf = netnsOf;
    this.#clock = clock;
  }

  /** Never rejects because of the network. @throws SysError without the right to send; signal.reason */
  async climb(rungs: readonly Rung[], { probes, signal }: ClimbOptions): Promise<RungResult[]> {
    const limit = Math.max(1, Math.floor(AT_ONCE / probes));
    const results = await parallel(rungs, { limit, signal }, rung => this.#measure(rung, probes, signal));
    return await parallel(results, { limit: 50, signal }, result => this.#sized(result, results, signal));
  }

  /** The same for rungs of TCP. */
  async connect(rungs: readonly Rung[], signal: AbortSignal): Promise<RungResult[]> {
    return await parallel(rungs, { limit: 50, signal }, async rung => {
      const answers: ProbeResult[] = [];
      for (const port of rung.ports ?? []) {
        const answer = await this.#connectOnce(rung, port, signal);
        if (answer.outcome === 'answered') return resultOf(rung, [answer]);
        answers.push(answer);
      }
      return resultOf(rung, answers);
    });
  }

  async #connectOnce(
    { container, source, to }: Rung,
    port: number,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    if (source === undefined) return { outcome: 'silent' };
    const probe = { netns: this.#netnsOf(container), source, sourcePort: 0, to, port, timeout: PATIENCE };
    return await probeTcp(probe, signal);
  }

  [Symbol.dispose](): void {
    for (const prober of this.#probers.values()) prober[Symbol.dispose]();
    this.#probers.clear();
  }

  async #measure(rung: Rung, probes: number, signal: AbortSignal): Promise<RungResult> {
    const first = await this.#ask(rung, probes, SPACING, signal);
    const lost = probes - count(first);
    if (lost === 0 || lost === probes) return resultOf(rung, first);
    const more = await this.#ask(rung, MORE, MORE_SPACING, signal);
    return resultOf(rung, [...first, ...more]);
  }

  /** What passes, where a full packet does not and a small one does. */
  async #sized(result: RungResult, all: readonly RungResult[], signal: AbortSignal): Promise<RungResult> {
    if (result.size !== 'full' || rungState(result) !== 'broken') return result;
    const small = all.find(
      one =>
        one.size === 'small' &&
        one.kind === result.kind &&
        one.container === result.container &&
        one.to.equals(result.to),
    );
    if (small === undefined || rungState(small) === 'broken') return result;
    const { family } = result.to;
    const search = findPathMtu(this.#prober(result.container), result.to, {
      least: Math.max(LEAST[family], smallest(family)),
      most: result.bytes,
      timeout: Math.min(MOST_OF_A_STEP, Math.max(100, 4 * (small.ms ?? PATIENCE))),
      tries: 2,
      ...(result.source !== undefined && { source: result.source }),
    });
    search.catch(() => undefined);
    const found = await Promise.race([search, this.#clock.sleep(MOST_OF_A_SEARCH, signal)]);
    const size = found?.size;
    return size === undefined ? result : { ...result, largest: size };
  }

  async #ask(rung: Rung, probes: number, spacing: number, signal: AbortSignal): Promise<ProbeResult[]> {
    const answers: Promise<ProbeResult>[] = [];
    let refused = false;
    for (let sent = 0; sent < probes && !refused; sent++) {
      if (sent > 0) await this.#clock.sleep(spacing, signal);
      const answer = this.#probe(rung);
      // What this host refuses to send, it refuses each time.
      answer.then(
        ({ outcome }) => (refused ||= outcome === 'too big'),
        () => undefined,
      );
      answers.push(answer);
    }
    return await Promise.all(answers);
  }

  async #probe({ container, to, source, bytes }: Rung): Promise<ProbeResult> {
    try {
      return await this.#prober(container).probe(to, {
        size: bytes,
        timeout: PATIENCE,
        ...(source !== undefined && { source }),
      });
    } catch (error) {
      // The address that it should be from is not there.
      if (error instanceof SysError && error.code === 'EADDRNOTAVAIL')
        return { outcome: 'unreachable', reason: `${source} is no address of this host` };
      throw error;
    }
  }

  #prober(container: string | undefined): Prober {
    const known = this.#probers.get(container);
    if (known !== undefined) return known;
    const prober = new Prober(this.#netnsOf(container), this.#clock);
    this.#probers.set(container, prober);
    return prober;
  }
}

const count = (answers: readonly ProbeResult[]) =>
  answers.filter(({ outcome }) => outcome === 'answered').length;

function resultOf(rung: Rung, answers: readonly ProbeResult[]): RungResult {
  const times = answers.flatMap(answer => (answer.outcome === 'answered' ? [answer.ms] : []));
  const refusal = answers.map(refusalOf).find(one => one !== undefined);
  return {
    ...rung,
    sent: answers.length,
    answered: times.length,
    ...(times.length > 0 && { ms: Math.min(...times) }),
    ...(refusal !== undefined && { refusal }),
  };
}

function refusalOf(answer: ProbeResult): RungResult['refusal'] {
  if (answer.outcome === 'answered' || answer.outcome === 'silent') return undefined;
  const from = answer.from === undefined ? {} : { from: String(answer.from) };
  if (answer.outcome === 'unreachable') return { kind: 'unreachable', text: answer.reason, ...from };
  const size = answer.mtu === undefined ? '' : `, which takes ${answer.mtu} bytes`;
  return { kind: 'too big', text: `larger than a link on the way${size}`, ...from };
}
