/**
 * How one family of a peer answers: decided from the answers to echoes and from the time. Pure: it sends nothing.
 *
 *     full      an echo inside the tunnel, as large as packets of containers get: where it is answered, everything works
 *     small     the same with few bytes, asked when a full one is lost
 *     underlay  to the peer's host without the tunnel, asked when small ones are lost
 *
 * One lost echo, or two, change nothing; they only make it ask sooner.
 */

import { UnderlayAnswers } from './underlay-answers.ts';

export type EchoKind = 'full' | 'small' | 'underlay';

/** unasked: nothing is known yet. The others: src/api/status.ts. */
export type AnswerState = 'unasked' | 'answers' | 'loss' | 'size' | 'silent' | 'unanswered';

/** Echoes inside the tunnel, lost in a row, that make a peer silent: usually; where others say so too; where some are lost anyway. */
const LOST = 5;
const LOST_AGREED = 3;
const LOST_ANYWAY = 8;
/** Milliseconds from the first of them on, at least. */
const SPAN = 1_000;
const SPAN_AGREED = 500;
/** Answers in a row that end a silence, or show that large packets pass. */
const BACK = 2;
/** Full ones lost in a row, with so many small ones answered meanwhile: only large packets are lost. */
const FULL_LOST = 5;
const SMALL_GOOD = 4;
/** Loss is seen in the last so many echoes: several times, not in one row. It ends with so many answers in a row. */
const SAMPLES = 20;
const TIMES = 3;
const CLEAN = 30;

/** Milliseconds between two echoes: while something is decided; where one was lost lately; where some are lost; to one that is silent. */
const QUICK = 200;
const WATCH = 300;
const LOSSY = 500;
const SILENT = 2_000;
/** Milliseconds in which an answer must come: so many times as long as usual, between these. */
const PATIENCE = 4;
const LEAST_TIMEOUT = 300;
const FIRST_TIMEOUT = 1_000;
const MOST_TIMEOUT = 2_000;

const DECIDING: readonly EchoKind[] = ['small', 'underlay', 'small', 'small', 'underlay', 'small'];

export class PathAnswers {
  #state: AnswerState = 'unasked';
  #since: number;
  #hasTunnel: boolean;
  /** When the last answer came, whatever was asked inside the tunnel. */
  lastAnswer: number | undefined;
  /** Milliseconds, smoothed. */
  roundTrip: number | undefined;
  readonly #underlay = new UnderlayAnswers();
  /** Outcomes of the last echoes inside the tunnel, the newest last. */
  readonly #window: boolean[] = [];
  #lost = 0;
  #firstLost = 0;
  #good = 0;
  #fullLost = 0;
  #smallGood = 0;
  /** When the newest echo that was answered had left. */
  #answeredSent = -Infinity;
  #asked = -Infinity;
  #count = 0;

  /** @param hasTunnel whether the underlay is another thing to ask. @param now milliseconds that never go back, as everywhere here */
  constructor(hasTunnel: boolean, now: number) {
    this.#hasTunnel = hasTunnel;
    this.#since = now;
  }

  get state(): AnswerState {
    return this.#state;
  }

  /** Since when the state is that; of a silence since its first lost echo. */
  get since(): number {
    return this.#since;
  }

  /** When it was asked last. */
  get asked(): number {
    return this.#asked;
  }

  get hasAnswered(): boolean {
    return this.lastAnswer !== undefined;
  }

  /** It answered lately, and something was lost since. */
  get isSuspect(): boolean {
    return this.#lost > 0 && this.hasAnswered && this.#state !== 'silent';
  }

  /** Lost echoes in a row inside the tunnel. */
  get lostInARow(): number {
    return this.#lost;
  }

  /** It is reached in another way from now on. */
  moved(hasTunnel: boolean): void {
    this.#hasTunnel = hasTunnel;
    this.roundTrip = undefined;
    this.excuse();
  }

  /** Of the last echoes, from 0 to 1; undefined before enough were sent. */
  get loss(): number | undefined {
    const last = this.#window.slice(-SAMPLES);
    return last.length < SAMPLES / 2 ? undefined : last.filter(isGood => !isGood).length / last.length;
  }

  /** Whether the underlay answers; undefined where that is not known. */
  get underlay(): boolean | undefined {
    return this.#underlay.isAnswering;
  }

  /** When the underlay answered last; undefined when it never did. */
  get underlayAnswer(): number | undefined {
    return this.#underlay.last;
  }

  /** The underlay has answered since the state is what it is. */
  get isUnderlaySince(): boolean {
    return this.#underlay.isAnsweringSince(this.#since);
  }

  /** Milliseconds to wait for an answer. */
  get timeout(): number {
    if (this.roundTrip === undefined) return FIRST_TIMEOUT;
    return Math.min(MOST_TIMEOUT, Math.max(LEAST_TIMEOUT, this.roundTrip * PATIENCE));
  }

  /** When it should be asked, out of turn; undefined when its turn is soon enough. */
  get due(): number | undefined {
    const pause = this.#pause();
    return pause === undefined ? undefined : this.#asked + pause;
  }

  /** An echo leaves. @param isWanted because of a hint: it must tell something. @returns which */
  ask(now: number, isWanted = false): EchoKind {
    this.#asked = now;
    if (isWanted && this.#lost === 0 && this.#state === 'answers') return 'full';
    const count = this.#count++;
    const kind = this.#kind(count);
    if (kind !== 'underlay') return kind;
    this.#underlay.ask();
    return this.#hasTunnel ? kind : 'small';
  }

  /**
   * @param sent when it left
   * @param ms until the answer; undefined when it is lost
   * @param isAgreed others say that the peer does not answer them either
   * @returns whether the state has changed
   */
  result(kind: EchoKind, sent: number, ms: number | undefined, now: number, isAgreed = false): boolean {
    const before = this.#state;
    if (kind === 'underlay') {
      if (ms === undefined) this.#underlay.lost();
      else this.#underlay.answered(now);
      return false;
    }
    if (ms === undefined) this.#lose(kind, sent, now, isAgreed);
    else this.#answer(kind, sent, ms, now);
    return this.#state !== before;
  }

  /** What was lost has another reason than this peer. */
  excuse(): void {
    if (this.#state === 'silent') return;
    this.#lost = 0;
    this.#underlay.excuse();
    this.#fullLost = 0;
    this.#window.length = 0;
  }

  #kind(count: number): EchoKind {
    if (this.#state === 'unanswered' || this.#state === 'silent') {
      if (this.#good > 0) return 'small';
      return count % 3 === 0 ? 'underlay' : 'small';
    }
    if (this.#lost > 0) return DECIDING[count % DECIDING.length] ?? 'small';
    if (this.#state === 'size') return count % 3 === 0 || this.#good > 0 ? 'full' : 'small';
    if (this.#fullLost > 0) return count % 2 === 0 ? 'full' : 'small';
    return this.#state === 'answers' && this.#underlay.isTurn(count) ? 'underlay' : 'full';
  }

  #pause(): number | undefined {
    switch (this.#state) {
      case 'unasked':
      case 'unanswered':
        // Nothing shows that there is a host at all.
        return undefined;
      case 'silent':
        return this.#good > 0 ? QUICK : SILENT;
      case 'size':
        return this.#lost > 0 ? QUICK : SILENT / 2;
      case 'loss':
        return this.#lost > 1 ? QUICK : LOSSY;
      case 'answers':
        if (this.#lost > 0 || this.#fullLost > 0) return QUICK;
        return this.#window.slice(-SAMPLES).includes(false) ? WATCH : undefined;
    }
  }

  #answer(kind: 'full' | 'small', sent: number, ms: number, now: number): void {
    this.lastAnswer = now;
    this.#answeredSent = Math.max(this.#answeredSent, sent);
    this.roundTrip = this.roundTrip === undefined ? ms : this.roundTrip + (ms - this.roundTrip) / 8;
    this.#lost = 0;
    this.#push(true);
    if (kind === 'small' && this.#fullLost > 0) {
      this.#smallGood++;
      if (this.#state === 'size') return;
    } else if (kind === 'full') {
      // Those that were lost before were lost by chance.
      if (this.#state !== 'size') for (let held = 0; held < this.#fullLost; held++) this.#push(false, true);
      this.#fullLost = 0;
      this.#smallGood = 0;
    }
    this.#good++;
    if (this.#state === 'unasked' || this.#state === 'unanswered') return this.#become('answers', now);
    if (this.#state === 'silent') return this.#endSilence(now);
    if (this.#state === 'size' && kind === 'full' && this.#good >= BACK) return this.#become('answers', now);
    if (this.#state === 'loss' && this.#window.slice(-CLEAN).every(isGood => isGood)) {
      if (this.#window.length >= CLEAN) this.#become('answers', now);
      return;
    }
    this.#judgeSize(now);
    this.#judgeLoss(now);
  }

  #lose(kind: 'full' | 'small', sent: number, now: number, isAgreed: boolean): void {
    // One that left later was answered.
    const isOld = sent < this.#answeredSent;
    this.#good = 0;
    if (kind === 'full') {
      this.#fullLost++;
      if (this.#fullLost === 1) this.#smallGood = 0;
      if (this.#state === 'size') return;
      if (isOld || this.#smallGood > 0) return this.#judgeSize(now);
    } else this.#push(false);
    if (isOld) return this.#judgeLoss(now);
    if (this.#lost++ === 0) {
      this.#firstLost = sent;
      if (this.#state !== 'silent' && this.#state !== 'unanswered') this.#count = 0;
    }
    if (this.#state === 'silent' || this.#state === 'unanswered') return;
    const agreed = isAgreed && this.#state !== 'loss';
    const most = this.#state === 'loss' ? LOST_ANYWAY : agreed ? LOST_AGREED : LOST;
    const span = agreed ? SPAN_AGREED : SPAN;
    if (this.#lost < most || now - this.#firstLost < span) return;
    this.#become(this.hasAnswered ? 'silent' : 'unanswered', this.#firstLost);
  }

  #judgeSize(now: number): void {
    if (this.#state !== 'answers' && this.#state !== 'loss') return;
    const factor = this.#state === 'loss' ? 1.5 : 1;
    if (this.#fullLost >= FULL_LOST * factor && this.#smallGood >= SMALL_GOOD * factor)
      this.#become('size', now);
  }

  #judgeLoss(now: number): void {
    if (this.#state !== 'answers') return;
    const last = this.#window.slice(-SAMPLES);
    const times = last.filter((isGood, index) => !isGood && last[index - 1] !== false).length;
    if (times >= TIMES) this.#become('loss', now);
  }

  #endSilence(now: number): void {
    if (this.#good >= BACK) return this.#become('answers', now);
    // Now and then one is answered.
    if (this.#window.slice(-SAMPLES).filter(isGood => isGood).length >= TIMES) this.#become('loss', now);
  }

  /** @param isBefore the newest one: it left before that */
  #push(isGood: boolean, isBefore = false): void {
    if (isBefore) this.#window.splice(-1, 0, isGood);
    else this.#window.push(isGood);
    if (this.#window.length > CLEAN) this.#window.shift();
  }

  #become(state: AnswerState, since: number): void {
    const before = this.#state;
    this.#state = state;
    this.#since = since;
    this.#count = 0;
    this.#good = 0;
    const isFresh = before === 'silent' || before === 'unanswered' || state === 'silent';
    if (isFresh || state === 'size') this.#window.length = 0;
    if (state !== 'size') this.#fullLost = 0;
    if (state === 'answers') this.#lost = 0;
  }
}
