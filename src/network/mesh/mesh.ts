/**
 * Whether the peers answer. Agents ask each other, and flannel's kernels answer as well: with echoes from the base address
 * of one subnet to that of the other, as large as packets of containers get, so that one answer proves everything on the
 * way; with smaller ones and with some over the underlay where that is not answered. Nothing is changed because of an answer.
 *
 * The cost is that of one budget, however many peers there are. So one host notices little by itself, and shares it: an echo
 * carries which peers have just not answered, and every host that reads of one asks it at once. A host that is gone is
 * known to all in the time of a few steps.
 */
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { messageOf } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { type PerFamily, valuesOf } from '../../base/per-family.ts';
import { Wakeup } from '../../base/wakeup.ts';
import type { ProbeResult, Prober } from '../../probe/prober.ts';
import type { Lease } from '../../subnet/lease/lease.ts';
import type { PathTarget } from '../path-mtu/path-mtus.ts';
import type { ProbeBudget } from '../probe-budget.ts';
import { type MeshPath, MeshPaths } from './mesh-paths.ts';
import type { EchoKind } from './path-answers.ts';
import { decodeSuspects, encodeSuspects, MOST_SUSPECTS } from './suspicion.ts';
import { WholeHost } from './whole-host.ts';

/** Milliseconds between two echoes in turn, whomever they are for, and to the same peer. */
const PACE = 250;
const CALM = 2_000;
/** Packets that echoes in turn leave for decisions. */
const RESERVE = 14;
/** Of so many echoes one is for a peer in turn, whatever is to be decided. */
const FAIR = 4;
/** Hosts that get news of a silent peer at once. */
const FIRST_LISTENERS = 6;
/** Milliseconds: for which every echo carries the news; until it is sent again; in which the word of other hosts counts. */
const NEWS = 5_000;
const SILENCE_ABOUT = 10_000;
const AGREEMENT = 10_000;
/** So many hosts that say the same count as agreement. */
const ACCUSERS = 3;
/** Milliseconds after an echo in which a hint does not cause another, and between two hints that do. */
const RECENT = 500;
const HINT_PACE = 500;
/** Milliseconds that this process may be late; what it did not wait for in time proves nothing. */
const LATE = 150;
/** Bytes that any link carries in one packet. */
const SMALL = { ipv4: 28, ipv6: 48 } as const satisfies Record<Family, number>;

export interface MeshOptions {
  readonly prober: Pick<Prober, 'probe'>;
  readonly budget: ProbeBudget;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
  /** Another state than before, of a path or of this whole host. */
  readonly onChange: () => void;
  /** Its base address is reached over another way than its containers at present: an answer proves nothing. */
  readonly isUnsettled?: (path: MeshPath) => boolean;
  /** What an echo inside the tunnel, or to the host where there is none, says to others who would ask the same. */
  readonly onEcho?: (path: MeshPath, kind: EchoKind, isAnswered: boolean) => void;
}

export class Mesh {
  readonly #options: MeshOptions;
  readonly paths: MeshPaths;
  readonly host = new WholeHost();
  readonly #wakeup: Wakeup;
  /** Peers that have just not answered, and until when echoes carry that. */
  readonly #news = new Map<MeshPath, number>();
  #own: Pick<Lease, 'key' | 'subnet'> | undefined;
  #turnAt = -Infinity;
  #hintAt = -Infinity;
  #count = 0;
  /** Why this host cannot ask at all, and since when. */
  #failure: { readonly reason: string; readonly since: number } | undefined;

  constructor(options: MeshOptions) {
    this.#options = options;
    this.#wakeup = new Wakeup(options.clock);
    this.paths = new MeshPaths(options.random ?? Math.random);
  }

  /** The lease of this host. */
  setOwn(lease: Pick<Lease, 'key' | 'subnet'>): void {
    this.#own = lease;
  }

  /** What is asked of a peer from now on; nothing when it is gone. @param name of its host, for people */
  set(key: string, targets: PerFamily<PathTarget>, name = key): void {
    const before = valuesOf(this.paths.of(key));
    if (!this.paths.set(key, targets, name, this.#options.clock.monotonic())) return;
    for (const path of before) if (!this.paths.has(path)) this.#news.delete(path);
    this.#wakeup.wake();
    if (before.some(({ answers: { state } }) => state !== 'unasked')) this.#options.onChange();
  }

  /** Why this host cannot ask, where that lasts. */
  get failure(): string | undefined {
    const { reason, since } = this.#failure ?? {};
    return since !== undefined && this.#options.clock.monotonic() - since > NEWS ? reason : undefined;
  }

  /** Asks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wait = this.#step();
      if (wait > 0) await this.#wakeup.pause(wait, signal);
    }
  }

  /** An echo request of another host has come, and was answered by the kernel. @param data from its mark on */
  receive(from: Ip, data: Uint8Array): void {
    const now = this.#options.clock.monotonic();
    const sender = this.paths.at(from);
    // Only peers have something to say. A forged sender gains nothing.
    if (sender === undefined) return;
    sender.lastRequest = now;
    if (from.equals(sender.target.base)) sender.lastCarried = now;
    const { answers } = sender;
    let isWanted = false;
    // It is back, probably.
    if (answers.state === 'silent' && now - answers.asked >= RECENT) isWanted = this.#want(sender);
    for (const address of decodeSuspects(from.family, data)) {
      const suspect = this.paths.at(address);
      if (suspect === undefined || suspect === sender || !suspect.answers.hasAnswered) continue;
      suspect.accusers.set(sender.key, now);
      if (suspect.accusers.size > ACCUSERS) this.#forgetAccusers(suspect, now);
      if (now - this.#hintAt < HINT_PACE && !suspect.answers.isSuspect) continue;
      if (suspect.answers.state === 'silent' || now - suspect.answers.asked < RECENT) continue;
      this.#hintAt = now;
      isWanted = this.#want(suspect) || isWanted;
    }
    if (isWanted) this.#wakeup.wake();
  }

  #want(path: MeshPath): boolean {
    path.isWanted = true;
    this.paths.place(path);
    return true;
  }

  /** Sends what is due. @returns milliseconds until something else is */
  #step(): number {
    const { budget, clock } = this.#options;
    const now = clock.monotonic();
    const wait = budget.wait();
    if (wait > 0) return wait;
    const urgent = this.paths.urgent();
    const isUrgent = urgent !== undefined && urgent.due <= now;
    const isFair = this.#count % FAIR === 0;
    const turn = this.paths.next(now, CALM);
    // While what was saved is used, and until it is there again, half as many are sent in turn.
    const rest = Math.min(this.#turnAt + 2 * PACE - now, budget.wait(RESERVE));
    const turnAt = turn === undefined ? Infinity : Math.max(turn.due, this.#turnAt + PACE, now + rest);
    if (turn !== undefined && turnAt <= now && (isFair || !isUrgent)) {
      this.#turnAt = now;
      this.#send(turn.path, now);
      return 0;
    }
    if (isUrgent) {
      this.#send(urgent.path, now);
      return 0;
    }
    return Math.max(1, Math.min(turnAt, urgent?.due ?? Infinity) - now);
  }

  #send(path: MeshPath, now: number): void {
    const { budget, isUnsettled = () => false } = this.#options;
    // What would prove nothing is left to those who find another way, who need the budget for it.
    const isUseful = !isUnsettled(path);
    if (isUseful && !budget.take()) return;
    this.#count++;
    const kind = path.answers.ask(now, path.isWanted);
    this.paths.asked(path);
    if (isUseful) void this.#ask(path, kind, now);
  }

  async #ask(path: MeshPath, kind: EchoKind, sent: number): Promise<void> {
    const { prober, clock, logger, isUnsettled = () => false } = this.#options;
    const { family, answers, target } = path;
    const own = this.#own?.subnet[family]?.ip;
    const inTunnel = target.isOverlay && kind !== 'underlay';
    const { timeout } = answers;
    let result: ProbeResult;
    try {
      result = await prober.probe(kind === 'underlay' ? target.underlay : target.to, {
        timeout,
        size: kind === 'full' ? Math.min(target.mtu, path.routerMtu ?? target.mtu) : SMALL[family],
        data: encodeSuspects(family, this.#suspects(family, sent)),
        ...(inTunnel && defined({ source: own })),
      });
      this.#failure = undefined;
    } catch (error) {
      // The address is not on the device yet, say: that tells nothing about the peer.
      const reason = messageOf(error);
      this.#failure = { reason, since: this.#failure?.since ?? sent };
      logger.debug({ key: path.key, error: reason }, 'no echo could be sent');
      if (this.paths.has(path)) this.#options.onChange();
      return;
    }
    const now = clock.monotonic();
    // A process that was late itself has not waited, and may have missed the answer.
    const isLate = result.outcome === 'silent' && now - sent > timeout + LATE;
    if (this.paths.has(path) && path.target === target && !isLate && !isUnsettled(path))
      this.#take(path, kind, sent, result, now);
    this.#wakeup.wake();
  }

  #take(path: MeshPath, kind: EchoKind, sent: number, result: ProbeResult, now: number): void {
    const { onChange, onEcho } = this.#options;
    const { answers } = path;
    if (result.outcome === 'too big') {
      // The kernel and containers get that ICMP error too, and send less. The next full one has that size.
      path.routerMtu = Math.max(SMALL[path.family], Math.min(path.routerMtu ?? Infinity, result.mtu ?? 0));
      return;
    }
    const isAnswered = result.outcome === 'answered';
    if (kind !== 'underlay') {
      const isRefusedHere = result.outcome === 'unreachable' && result.from === undefined;
      path.obstacle = isRefusedHere ? result.reason : undefined;
      onEcho?.(path, kind, isAnswered);
    }
    const wasCut = this.host.isCut;
    if (isAnswered) this.host.answered(now);
    else if (answers.hasAnswered && answers.state !== 'silent')
      this.host.lost(path.key, sent, now, this.#known());
    if (wasCut && !this.host.isCut) for (const one of this.paths.all) one.answers.excuse();
    if (wasCut !== this.host.isCut) this.#news.clear();
    if (this.host.isCut) {
      if (!wasCut) onChange();
      return;
    }
    const isAgreed = path.accusers.size >= ACCUSERS && this.#isAgreed(path, now);
    const isChanged = answers.result(kind, sent, isAnswered ? result.ms : undefined, now, isAgreed);
    if (answers.isSuspect) this.#accuse(path, now);
    else if (isAnswered && kind !== 'underlay') this.#news.delete(path);
    this.paths.place(path);
    if (isChanged || wasCut) onChange();
  }

  /** Hosts that answered before, so that they should. */
  #known(): number {
    let count = 0;
    for (const { answers } of this.paths.all) if (answers.hasAnswered && answers.state !== 'silent') count++;
    return count;
  }

  /** Lets others know that a peer has just not answered. */
  #accuse(path: MeshPath, now: number): void {
    if (now - path.accused < SILENCE_ABOUT) return;
    path.accused = now;
    this.#news.set(path, now + NEWS);
    // So many know it already: it goes on with the echoes in turn.
    if (path.accusers.size >= ACCUSERS) return;
    const listeners = this.paths.listeners(path.family, this.#own?.key ?? '', FIRST_LISTENERS);
    for (const one of listeners) {
      if (one !== path && one.answers.hasAnswered && one.answers.state !== 'silent') this.#want(one);
    }
  }

  #suspects(family: Family, now: number): Ip[] {
    const suspects: Ip[] = [];
    for (const [path, until] of this.#news) {
      if (until < now) this.#news.delete(path);
      else if (path.family === family && suspects.length < MOST_SUSPECTS) suspects.push(path.target.base);
    }
    return suspects;
  }

  #isAgreed(path: MeshPath, now: number): boolean {
    this.#forgetAccusers(path, now);
    return path.accusers.size >= ACCUSERS;
  }

  #forgetAccusers({ accusers }: MeshPath, now: number): void {
    for (const [key, at] of accusers) if (now - at > AGREEMENT) accusers.delete(key);
    const [oldest] = accusers.keys();
    if (accusers.size > ACCUSERS * 2 && oldest !== undefined) accusers.delete(oldest);
  }
}
