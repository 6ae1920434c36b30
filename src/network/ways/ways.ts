/**
 * Sees to it that each peer is reached over the best of its ways that works: asks for echoes, and says when the choice for a
 * peer has changed. However many peers there are, four echoes leave in a second: those that decide something first, the
 * others in turn.
 *
 * An echo goes from the base address of this host's subnet to that of the peer's, so that it is treated like a packet of
 * containers: by routes, by filters of sources, by the peer. Every host that the kernel makes an end of a tunnel answers.
 */
import type { WayStatus } from '../../api/way-status.ts';
import { type PeerWays, possibleWays, WAY_TYPES, type WayChoice, type WayType } from '../../backend/ways.ts';
import type { Clock } from '../../base/clock.ts';
import { defined } from '../../base/defined.ts';
import { messageOf } from '../../base/errors.ts';
import { FAMILIES, type Family } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { mapFamilies, type PerFamily, perFamily } from '../../base/per-family.ts';
import { Watchable } from '../../base/watchable.ts';
import type { Prober } from '../../probe/prober.ts';
import type { Lease } from '../../subnet/lease/lease.ts';
import type { ProbeBudget } from '../probe-budget.ts';
import { offsetOf } from './turns.ts';
import { WaySelector } from './way-selector.ts';

/** Milliseconds between two echoes, whomever they are for. */
const TICK = 250;
/** Of so many ticks one is for a peer that is well, however many are not. */
const FAIR = 4;
/** Milliseconds between two echoes to one peer: in trouble, and when all is well. */
const URGENT = 500;
const CALM = 2_000;
/** Milliseconds in which an answer must come. */
const TIMEOUT = 1_000;
/** Peers whose ways can be tried at the same time with so many echoes. */
const AT_ONCE = 2;

export interface WaysOptions {
  readonly prober: Pick<Prober, 'probe'>;
  readonly budget: ProbeBudget;
  /** Others ask as well, and say what becomes of it: only what decides something is asked here. */
  readonly isShared?: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Other ways are to be used for this peer from now on, or tried. */
  readonly onChange: (key: string) => void;
  /** Containers of this peer are reached over another way. */
  readonly onMove: (move: WayMove) => void;
}

/** A peer is reached over another way than before. */
export interface WayMove {
  readonly key: string;
  readonly family: Family;
  readonly before: WayType;
  readonly status: WayStatus;
}

/** One family of a peer. */
interface Entry {
  readonly key: string;
  readonly family: Family;
  readonly selector: WaySelector;
  ways: PeerWays;
  /** On the monotonic clock. */
  asked: number;
  isWaiting: boolean;
}

export class Ways {
  readonly #options: WaysOptions;
  /** By key and family; whoever was not asked for the longest time comes first. */
  readonly #entries = new Map<string, Entry>();
  readonly #active = new Set<Entry>();
  readonly #count = new Watchable(0);
  /** When the monotonic clock was 0: one moment for all, so that times in the status do not move. */
  readonly #epoch: number;
  #own: Lease | undefined;
  #ticks = 0;

  constructor(options: WaysOptions) {
    this.#options = options;
    this.#epoch = options.clock.now() - options.clock.monotonic();
  }

  /** The lease of this host. */
  setOwn(lease: Lease): void {
    const isNew = lease.key !== this.#own?.key;
    this.#own = lease;
    if (!isNew) return;
    for (const { key, selector } of this.#entries.values()) {
      selector.offset = this.#offset(key);
      this.#options.onChange(key);
    }
  }

  /** The ways that a peer has now; without any it is forgotten. */
  set(key: string, ways: PerFamily<PeerWays>): void {
    for (const family of FAMILIES) this.#setFamily(key, family, ways[family]);
    this.#count.set(this.#entries.size);
  }

  /** What is chosen for a peer; nothing where it leaves no choice. */
  chosen(key: string): PerFamily<WayChoice> {
    return mapFamilies(this.#of(key), ({ selector, family }) => ({
      ...selector.choice,
      ...defined({ source: this.#own?.subnet[family]?.ip }),
    }));
  }

  status(key: string): PerFamily<WayStatus> {
    return mapFamilies(this.#of(key), entry => statusOf(entry, this.#epoch));
  }

  /** Others have asked the base address of this peer. */
  asked(key: string, family: Family, isAnswered: boolean): void {
    const entry = this.#entries.get(`${family} ${key}`);
    const now = this.#options.clock.monotonic();
    // Losses in quick succession are one loss.
    if (entry === undefined || this.isTrying(key, family) || (!isAnswered && now - entry.asked < URGENT))
      return;
    entry.asked = now;
    this.#observe(entry, selector => selector.result(selector.choice.inUse, isAnswered, now));
  }

  /** Whether its base address is reached over another way than its containers at present. */
  isTrying(key: string, family: Family): boolean {
    return this.#entries.get(`${family} ${key}`)?.selector.choice.tried !== undefined;
  }

  /** Asks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#count.until(count => count > 0, signal).catch(() => undefined);
      await this.#options.clock.sleep(TICK, signal).catch(() => undefined);
      if (!signal.aborted) this.#tick();
    }
  }

  /** When which ways to a peer are tried. */
  #offset(key: string): number {
    return offsetOf(this.#own?.key ?? '', key);
  }

  #of(key: string): PerFamily<Entry> {
    return perFamily(family => this.#entries.get(`${family} ${key}`));
  }

  #setFamily(key: string, family: Family, ways: PeerWays | undefined): void {
    const id = `${family} ${key}`;
    const entry = this.#entries.get(id);
    if (ways === undefined) {
      this.#entries.delete(id);
      if (entry !== undefined) this.#active.delete(entry);
      return;
    }
    const types = possibleWays(ways);
    const now = this.#options.clock.monotonic();
    if (entry !== undefined) {
      const isSame = possibleWays(entry.ways).join() === types.join() && isSameHost(entry.ways, ways);
      entry.ways = ways;
      if (isSame) return;
      entry.selector.setWays(types, now);
      this.#classify(entry);
      return;
    }
    const selector = new WaySelector(types, this.#offset(key), now);
    this.#entries.set(id, { key, family, selector, ways, asked: -Infinity, isWaiting: false });
  }

  #classify(entry: Entry): void {
    if (entry.selector.isActive) this.#active.add(entry);
    else this.#active.delete(entry);
  }

  #tick(): void {
    const { clock } = this.#options;
    const now = clock.monotonic();
    const wall = clock.now();
    // A power of two.
    const least = 2 ** Math.ceil(Math.log2(Math.max(1, this.#active.size / AT_ONCE)));
    for (const entry of this.#active) this.#observe(entry, selector => selector.tick(now, wall, least));
    const next = this.#next(now);
    if (next !== undefined && this.#options.budget.take()) void this.#ask(next);
  }

  /** Whom to ask now. */
  #next(now: number): Entry | undefined {
    const isFair = this.#ticks++ % FAIR === 0;
    const [first] = this.#entries.values();
    const rested =
      this.#options.isShared !== true && first && now - first.asked >= CALM && !first.isWaiting
        ? first
        : undefined;
    if (isFair && rested !== undefined) return rested;
    let urgent: Entry | undefined;
    for (const entry of this.#active) {
      const isDue = entry.selector.isUrgent && !entry.isWaiting && now - entry.asked >= URGENT;
      if (isDue && (urgent === undefined || entry.asked < urgent.asked)) urgent = entry;
    }
    return urgent ?? rested;
  }

  async #ask(entry: Entry): Promise<void> {
    const { prober, clock, logger } = this.#options;
    const { key, family, selector, ways } = entry;
    const { inUse, tried = inUse } = selector.choice;
    const source = this.#own?.subnet[family]?.ip;
    const id = `${family} ${key}`;
    entry.asked = clock.monotonic();
    // To the end of the queue.
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    entry.isWaiting = true;
    try {
      const { outcome } = await prober.probe(ways.subnet.ip, { timeout: TIMEOUT, ...defined({ source }) });
      if (this.#entries.get(id) === entry)
        this.#observe(entry, one => one.result(tried, outcome === 'answered', clock.monotonic()));
    } catch (error) {
      // The address is not on the device yet, say: that tells nothing about the peer.
      logger.debug({ key, error: messageOf(error) }, 'no echo could be sent');
    } finally {
      entry.isWaiting = false;
    }
  }

  #observe(entry: Entry, change: (selector: WaySelector) => boolean): void {
    const { key, family, selector } = entry;
    const before = selector.choice.inUse;
    const isChanged = change(selector);
    this.#classify(entry);
    if (!isChanged) return;
    this.#options.onChange(key);
    if (selector.choice.inUse !== before)
      this.#options.onMove({ key, family, before, status: statusOf(entry, this.#epoch) });
  }
}

const isSameHost = (a: PeerWays, b: PeerWays) => a.paths.vxlan.underlayIp.equals(b.paths.vxlan.underlayIp);

/** @param epoch when the monotonic clock was 0, milliseconds since 1970 */
function statusOf({ selector, ways }: Entry, epoch: number): WayStatus {
  const { choice, since, silentSince, answers } = selector;
  const time = (at: number | undefined) =>
    at === undefined ? undefined : new Date(epoch + at).toISOString();
  return {
    inUse: choice.inUse,
    name: ways.names[choice.inUse],
    since: new Date(epoch + since).toISOString(),
    ...defined({ answers, silentSince: time(silentSince) }),
    others: WAY_TYPES.filter(type => type !== choice.inUse).map(type => {
      const obstacle = ways.obstacles[type];
      const failedSince = obstacle === undefined ? time(selector.failedSince(type)) : undefined;
      return { type, name: ways.names[type], ...defined({ obstacle, failedSince }) };
    }),
  };
}
