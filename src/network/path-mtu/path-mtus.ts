/**
 * How large a packet gets to each peer and back. A link on the way that takes less than this host's own, and drops what
 * is larger without an error, lets connections begin and large transfers hang: containers are told of the size that
 * passes by the MTU of the route, and people by a warning.
 *
 * Every packet is an echo that must not be fragmented, so that the size is tried for real in both directions. However many
 * peers there are, at most four packets leave in a second: first to new peers, then to those whose path is too small, and to
 * all others in turn.
 */
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { messageOf } from '../../base/errors.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { FAMILIES } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { type PerFamily, perFamily } from '../../base/per-family.ts';
import { increment, Watchable } from '../../base/watchable.ts';
import { findPathMtu } from '../../probe/path-mtu.ts';
import type { ProbeOptions, Prober } from '../../probe/prober.ts';
import type { Subnet } from '../../subnet/lease/lease.ts';
import type { ProbeBudget } from '../probe-budget.ts';

/** Milliseconds between two packets, whomever they are for. */
const PACE = 250;
/** Milliseconds in which an answer must come: so many times as long as the first one took, between these two. */
const PATIENCE = 10;
const LEAST_TIMEOUT = 250;
const TIMEOUT = 1_000;
/** A size that is lost so often does not pass. */
const TRIES = 3;
/** Milliseconds: until a new peer knows this host; between two looks at a path that is too small; at one that answers nothing; at a good one. */
const FIRST = 3_000;
const AGAIN = 15_000;
const UNKNOWN = 60_000;
const CALM = 600_000;
/** Bytes that any link carries: of a size that is lost, it is asked first whether the peer answers at all. */
const LEAST = { ipv4: 576, ipv6: 1280 } as const satisfies Record<Family, number>;

/** What is asked for one family of a peer. */
export interface PathTarget {
  /** Which answers. */
  readonly to: Ip;
  /** It is asked from the base address of this host's subnet, as for packets of containers; else the routes decide. */
  readonly isOverlay: boolean;
  /** Bytes of the largest packet that containers send. */
  readonly mtu: number;
  /** The base address of the peer's subnet, and the address of its host on the underlay. */
  readonly base: Ip;
  readonly underlay: Ip;
}

/** A path that takes less than it should. */
export interface SmallPath {
  readonly key: string;
  readonly family: Family;
  /** Bytes of the largest packet that passes. */
  readonly size: number;
  readonly mtu: number;
}

interface Path extends PathTarget {
  readonly key: string;
  readonly family: Family;
  readonly text: string;
  /** When to look, on the monotonic clock. */
  due: number;
  size: number | undefined;
}

export interface PathMtusOptions {
  readonly prober: Pick<Prober, 'probe'>;
  readonly budget: ProbeBudget;
  /** Others ask with large packets as well, and say what becomes of them. */
  readonly isShared?: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Another size than before passes on the way to this peer, or it is gone. */
  readonly onChange: (key: string) => void;
}

export class PathMtus {
  readonly #options: PathMtusOptions;
  /** By family and key; of the good ones, those that were looked at longest ago come first. */
  readonly #paths = new Map<string, Path>();
  /** Those that are to be looked at before the others: new, or too small. */
  readonly #urgent = new Set<Path>();
  readonly #version = new Watchable(0);
  #own: Subnet = {};
  #sentAt = -Infinity;

  constructor(options: PathMtusOptions) {
    this.#options = options;
  }

  /** Of this host. */
  setOwn(subnet: Subnet): void {
    this.#own = subnet;
  }

  /** What is to be asked of a peer now; without anything it is forgotten. */
  set(key: string, targets: PerFamily<PathTarget>): void {
    for (const family of FAMILIES) this.#setFamily(key, family, targets[family]);
  }

  /** Bytes that pass, of each family for which that is less than it should be. */
  sizes(key: string): PerFamily<number> {
    return perFamily(family => this.#paths.get(`${family} ${key}`)?.size);
  }

  /** All paths that take less than they should. */
  get small(): readonly SmallPath[] {
    return Array.from(this.#urgent).flatMap(({ key, family, size, mtu }) =>
      size === undefined ? [] : [{ key, family, size, mtu }],
    );
  }

  /** Others have asked this peer: the largest packet passes, or it does not and smaller ones do. */
  asked(key: string, family: Family, isPassing: boolean): void {
    const id = `${family} ${key}`;
    const path = this.#paths.get(id);
    if (path === undefined) return;
    const now = this.#options.clock.monotonic();
    if (path.size !== undefined) {
      // What was found is no longer so.
      if (isPassing) path.due = Math.min(path.due, now);
      return;
    }
    this.#paths.delete(id);
    this.#paths.set(id, path);
    path.due = now + (isPassing ? CALM : 0);
    if (isPassing) this.#urgent.delete(path);
    else this.#urgent.add(path);
    if (!isPassing) increment(this.#version);
  }

  /** Asks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const path = this.#next();
      const wait = path === undefined ? Infinity : path.due - this.#options.clock.monotonic();
      if (path !== undefined && wait <= 0) await this.#look(path, signal);
      else await this.#sleep(wait, signal);
    }
  }

  #setFamily(key: string, family: Family, target: PathTarget | undefined): void {
    const id = `${family} ${key}`;
    const before = this.#paths.get(id);
    const text = JSON.stringify(target);
    if (before?.text === text) return;
    if (before !== undefined) {
      this.#paths.delete(id);
      this.#urgent.delete(before);
    }
    if (target !== undefined) {
      const { clock, isShared = false } = this.#options;
      const due = clock.monotonic() + (isShared ? CALM : FIRST);
      const path = { ...target, key, family, text, due, size: undefined };
      this.#paths.set(id, path);
      if (!isShared) this.#urgent.add(path);
      increment(this.#version);
    }
    if (before?.size !== undefined) this.#options.onChange(key);
  }

  /** The one to look at next: of the urgent ones that whose time comes first. */
  #next(): Path | undefined {
    let [next] = this.#paths.values();
    for (const path of this.#urgent) if (next === undefined || path.due < next.due) next = path;
    return next;
  }

  /** Until the time is over, or the peers change. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const until = AbortSignal.any([signal, woken.signal]);
    const version = this.#version.value;
    const changed = this.#version.until(now => now !== version, until);
    const over = Number.isFinite(ms) ? [this.#options.clock.sleep(ms, until)] : [];
    await Promise.race([changed, ...over]).catch(() => undefined);
    woken.abort();
    await Promise.allSettled([changed, ...over]);
  }

  async #look(path: Path, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const id = `${path.family} ${path.key}`;
    let outcome: number | 'good' | 'unknown' = 'unknown';
    try {
      outcome = await this.#measure(path, signal);
    } catch (error) {
      // Its address is not on the device yet, say: that tells nothing about the path.
      if (!signal.aborted)
        logger.debug({ key: path.key, error: messageOf(error) }, 'no packet could be sent');
    }
    if (signal.aborted || this.#paths.get(id) !== path) return;
    const before = path.size;
    if (outcome !== 'unknown') path.size = outcome === 'good' ? undefined : outcome;
    const pause = path.size !== undefined ? AGAIN : outcome === 'unknown' ? UNKNOWN : CALM;
    path.due = clock.monotonic() + pause;
    if (path.size === undefined && outcome === 'good') this.#urgent.delete(path);
    else this.#urgent.add(path);
    this.#paths.delete(id);
    this.#paths.set(id, path);
    if (path.size !== before) this.#options.onChange(path.key);
  }

  /** Bytes that pass, where more is lost without an error. */
  async #measure(path: Path, signal: AbortSignal): Promise<number | 'good' | 'unknown'> {
    const { to, isOverlay, mtu, family, size: known } = path;
    const source = isOverlay ? this.#own[family]?.ip : undefined;
    if (isOverlay && source === undefined) return 'unknown';
    const least = Math.min(LEAST[family], mtu);
    const prober = { probe: (ip: Ip, asked: ProbeOptions) => this.#paced(ip, asked, signal) };
    const first = await answerOf(prober, to, { timeout: TIMEOUT, size: least, ...defined({ source }) });
    if (first === undefined) return 'unknown';
    // Most sizes of a search are lost, and each is waited for.
    const timeout = Math.min(TIMEOUT, Math.max(LEAST_TIMEOUT, first * PATIENCE));
    const options = { timeout, ...defined({ source }) };
    const passes = async (size: number, tries: number) => {
      for (let attempt = 0; attempt < tries; attempt++) {
        const { outcome } = await prober.probe(to, { ...options, size });
        if (outcome !== 'silent') return true;
      }
      return false;
    };
    // What was found before still holds where that size passes and one more byte does not: no need to search again.
    const isSame =
      known !== undefined && known < mtu && (await passes(known, TRIES)) && !(await passes(known + 1, TRIES));
    if (isSame) return known;
    const { size, isBlackHole } = await findPathMtu(prober, to, {
      ...options,
      least,
      most: mtu,
      tries: TRIES,
    });
    if (size === undefined) return 'unknown';
    if (size >= mtu || !isBlackHole) return 'good';
    // The peer still answers, and the first size that was lost still is: it was not a moment without any answer.
    const isCertain = (await passes(least, TRIES)) && !(await passes(size + 1, TRIES));
    return isCertain ? size : 'unknown';
  }

  async #paced(to: Ip, options: ProbeOptions, signal: AbortSignal): ReturnType<Prober['probe']> {
    const { clock, prober, budget } = this.#options;
    const wait = this.#sentAt + PACE - clock.monotonic();
    if (wait > 0) await clock.sleep(wait, signal);
    while (!budget.take()) await clock.sleep(budget.wait(), signal);
    signal.throwIfAborted();
    this.#sentAt = clock.monotonic();
    return prober.probe(to, options);
  }
}

/** Milliseconds until the answer to one of a few tries; undefined when none has any. */
async function answerOf(
  prober: Pick<Prober, 'probe'>,
  to: Ip,
  options: ProbeOptions,
): Promise<number | undefined> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const result = await prober.probe(to, options);
    if (result.outcome === 'answered') return result.ms;
  }
  return undefined;
}
