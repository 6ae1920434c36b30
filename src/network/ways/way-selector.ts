/**
 * Which of the ways to a peer is used for one family: decided from what is possible, the answers to echoes, and the
 * time. Pure: it sends nothing and waits for nothing.
 *
 *     good      the way in use answers. Better ones are tried in turns, and used after several answers in a row.
 *     trouble   it does not. First the next one is tried, at once; if it does not answer either, containers go over the
 *               last resort, where both hosts meet, and all are tried in turns until one answers.
 *
 * An echo goes there over our way and back over the peer's, so a lost one does not say which of the two has failed. But
 * an answer proves ours, whatever the peer uses.
 */
import { WAY_TYPES, type WayChoice, type WayType } from '../../backend/ways.ts';
import { type Turn, turnAt } from './turns.ts';

/** Lost echoes in a row that mean trouble; answers in a row that prove a better way, or any way where none works. */
const LOSSES = 3;
const PROOFS = 3;
const FOUND = 2;
/** Milliseconds that a host that has just joined needs for its own part. */
const GRACE = 10_000;
/** Milliseconds after a change before one for a better way; also that both hosts meet at the last resort. */
const HOLD = 10_000;
/** Milliseconds for the first try in trouble. */
const FIRST_TRY = 6_000;
/** It is not over before it was asked often enough, unless nobody asks at all for so many milliseconds. */
const UNASKED = 60_000;
/** Milliseconds after which the last resort has failed, too. */
const FORGET = 300_000;
/** Milliseconds after which a better way that was taken is there to stay. */
const CALM = 300_000;
/** Better ways are tried in each 4th round (36 s), up to each 32nd (5 min); all ways in each 2nd, up to the same. */
const FIRST_BETTER = 4;
const FIRST_SEARCH = 2;
const RAREST = 32;
/** How often a whole round is given to one way at random: for hosts whose clocks differ. */
const AT_RANDOM = 0.3;

/** For a peer that has never answered, or not for long: the one that flannel hosts use, too. */
const STANDARD: WayType = 'vxlan';

interface Trial {
  readonly type: WayType;
  readonly until: number;
  readonly round: number;
  /** Answers in a row. */
  good: number;
  lost: number;
}

interface Trouble {
  readonly since: number;
  /** How often all ways were tried. */
  searches: number;
  /** The round in which they were tried last, and the way that has all of it. */
  round: number | undefined;
  only: WayType | undefined;
  step: 'first' | 'search';
}

export class WaySelector {
  #ways: readonly WayType[];
  /** Of the pair of hosts (turns.ts). */
  offset: number;
  readonly #random: () => number;
  #inUse: WayType;
  #since: number;
  #trial: Trial | undefined;
  #trouble: Trouble | undefined;
  #losses = 0;
  #hasAnswered = false;
  /** When the way in use answered last. */
  #answered: number | undefined;
  #becameBetter = -Infinity;
  /** Rounds between two tries of better ways. */
  #spacing = FIRST_BETTER;
  /** In which they were tried last, without success. */
  #failedRound: number | undefined;
  /** Since when a way has not answered. */
  readonly #failed = new Map<WayType, number>();

  /**
   * @param ways those that are possible, best first: STANDARD and others
   * @param now milliseconds that never go back, as everywhere here
   */
  constructor(ways: readonly WayType[], offset: number, now: number, random: () => number = Math.random) {
    this.#ways = ways;
    this.offset = offset;
    this.#random = random;
    this.#inUse = ways[0] ?? STANDARD;
    this.#since = now;
  }

  get choice(): WayChoice {
    const tried = this.#trial?.type;
    return { inUse: this.#inUse, ...(tried === undefined ? {} : { tried }) };
  }

  /** Since when the way in use is that. */
  get since(): number {
    return this.#since;
  }

  /** Since when no way answers; undefined while one does or nothing is known. */
  get silentSince(): number | undefined {
    return this.#trouble?.since;
  }

  /** Whether the way in use has answered since it is used, or did not when it should; undefined before it was asked. */
  get answers(): boolean | undefined {
    if (this.#trouble !== undefined) return false;
    return this.#answered === undefined ? undefined : true;
  }

  /** Since when a way has not answered; undefined where it has, or was not tried. */
  failedSince(type: WayType): number | undefined {
    return this.#failed.get(type);
  }

  /** Whether an echo is wanted as soon as possible: something is decided by it. */
  get isUrgent(): boolean {
    return this.#trial !== undefined || (this.#losses > 0 && this.#trouble === undefined);
  }

  /** Whether `tick` may have something to do: not for a peer that is reached over the best way. */
  get isActive(): boolean {
    return this.isUrgent || this.#trouble !== undefined || this.#inUse !== this.#ways[0];
  }

  /** The peer says something else of itself, or what is possible has changed. @returns whether the choice has changed */
  setWays(ways: readonly WayType[], now: number): boolean {
    const before = this.choice;
    this.#ways = ways;
    this.#spacing = FIRST_BETTER;
    this.#losses = 0;
    this.#trouble = undefined;
    if (this.#trial !== undefined && !ways.includes(this.#trial.type)) this.#trial = undefined;
    for (const type of this.#failed.keys()) if (!ways.includes(type)) this.#failed.delete(type);
    if (!ways.includes(this.#inUse)) this.#use(ways[0] ?? STANDARD, now);
    return !isSame(before, this.choice);
  }

  /** @param type what the echo was sent over. @returns whether the choice has changed */
  result(type: WayType, isAnswered: boolean, now: number): boolean {
    this.#hasAnswered ||= isAnswered;
    if (this.#trial?.type === type) return this.#trialResult(this.#trial, isAnswered, now);
    // One that was sent before the present trial.
    if (type !== this.#inUse || this.#trial !== undefined) return false;
    if (!isAnswered && !this.#hasAnswered && now - this.#since < GRACE) return false;
    this.#losses = isAnswered ? 0 : this.#losses + 1;
    if (isAnswered) {
      this.#answered = now;
      this.#trouble = undefined;
      this.#failed.delete(type);
      if (now - this.#since > CALM && type === this.#ways[0]) this.#spacing = FIRST_BETTER;
    } else if (this.#losses >= LOSSES && this.#trouble === undefined) {
      const since = this.#answered ?? this.#since;
      this.#failed.set(type, since);
      this.#trouble = { since, searches: 0, round: undefined, only: undefined, step: 'first' };
    }
    return false;
  }

  /**
   * Time has passed.
   * @param wall milliseconds since the epoch: the clock that both hosts have
   * @param least rounds between two of the same peer: more than one when many are to be tried
   * @returns whether the choice has changed
   */
  tick(now: number, wall: number, least = 1): boolean {
    const before = this.choice;
    if (this.#trial !== undefined && now >= this.#trial.until) this.#endTrial(this.#trial, now);
    if (this.#trial === undefined) this.#trial = this.#nextTrial(now, wall, least);
    return !isSame(before, this.choice);
  }

  #trialResult(trial: Trial, isAnswered: boolean, now: number): boolean {
    trial.good = isAnswered ? trial.good + 1 : 0;
    if (!isAnswered) trial.lost++;
    if (this.#trouble === undefined || trial.good < FOUND) return false;
    this.#use(trial.type, now);
    this.#answered = now;
    return true;
  }

  #endTrial({ type, good, lost, round, until }: Trial, now: number): void {
    const trouble = this.#trouble;
    // Both hosts go over to a better way at the end of its turn.
    if (trouble === undefined && good >= PROOFS) {
      this.#use(type, now);
      this.#answered = now;
      return;
    }
    if (trouble?.step === 'first' && lost < LOSSES && now < until + UNASKED) return;
    this.#trial = undefined;
    if (lost > 0 && !this.#failed.has(type)) this.#failed.set(type, now);
    if (trouble?.step === 'first') {
      trouble.step = 'search';
      const resort = this.#hasAnswered ? this.#ways.at(-1) : STANDARD;
      if (resort !== undefined && resort !== this.#inUse) this.#resort(resort, now);
    } else if (trouble === undefined && round !== this.#failedRound) {
      this.#failedRound = round;
      this.#spacing = Math.min(RAREST, this.#spacing * 2);
    }
  }

  #nextTrial(now: number, wall: number, least: number): Trial | undefined {
    const trouble = this.#trouble;
    const turn = turnAt(wall, this.offset);
    const isHeld = now - this.#since < HOLD;
    if (trouble === undefined) {
      const isBetter = WAY_TYPES.indexOf(turn.type) < WAY_TYPES.indexOf(this.#inUse);
      const every = Math.max(least, this.#spacing);
      if (!isBetter || isHeld || this.#losses > 0) return undefined;
      return this.#trialIn(turn, turn.type, every, now);
    }
    if (trouble.step === 'first') {
      const next = this.#ways[this.#ways.indexOf(this.#inUse) + 1] ?? this.#ways[0];
      if (next !== undefined && next !== this.#inUse)
        return { type: next, until: now + FIRST_TRY, round: turn.round, good: 0, lost: 0 };
      trouble.step = 'search';
    }
    const isForgotten = now - trouble.since > FORGET && now - this.#since > FORGET;
    if (isForgotten && this.#inUse !== STANDARD) this.#resort(STANDARD, now);
    const every = Math.max(least, Math.min(RAREST, FIRST_SEARCH * 2 ** Math.floor(trouble.searches / 3)));
    if (turn.round % every !== 0 || isHeld) return undefined;
    if (trouble.round !== turn.round) {
      trouble.round = turn.round;
      trouble.searches++;
      const isRandom = this.#random() < AT_RANDOM;
      trouble.only = isRandom ? this.#ways[Math.floor(this.#random() * this.#ways.length)] : undefined;
    }
    return this.#trialIn(turn, trouble.only ?? turn.type, every, now);
  }

  #trialIn({ round, passed, left }: Turn, type: WayType, every: number, now: number): Trial | undefined {
    // A turn that is half over proves nothing.
    const isLate = passed > (passed + left) / 3;
    if (round % every !== 0 || isLate || type === this.#inUse) return undefined;
    if (!this.#ways.includes(type)) return undefined;
    return { type, until: now + left, round, good: 0, lost: 0 };
  }

  /** The choice of despair: nothing proves it, and the trouble goes on. */
  #resort(type: WayType, now: number): void {
    const trouble = this.#trouble;
    this.#use(type, now);
    this.#trouble = trouble;
  }

  #use(type: WayType, now: number): void {
    const isBetter = WAY_TYPES.indexOf(type) < WAY_TYPES.indexOf(this.#inUse);
    if (isBetter) this.#becameBetter = now;
    else if (now - this.#becameBetter < CALM) this.#spacing = Math.min(RAREST, this.#spacing * 2);
    this.#inUse = type;
    this.#since = now;
    this.#answered = undefined;
    this.#losses = 0;
    this.#trouble = undefined;
    this.#trial = undefined;
    this.#failed.delete(type);
  }
}

const isSame = (a: WayChoice, b: WayChoice) => a.inUse === b.inUse && a.tried === b.tried;
