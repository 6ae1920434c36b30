/** How a peer's host answers over the underlay, without the tunnel: asked now and then, so that it is known before it matters. Pure. */

/** Of so many echoes to a peer one goes over the underlay. */
const TURN = 16;
/** The same after one without an answer: it was lost, or nobody could tell. */
const TURN_AGAIN = 4;

export class UnderlayAnswers {
  /** When it answered last; undefined when it never did. */
  last: number | undefined;
  #lost = 0;
  /** The last echo has no answer. */
  #isOpen = false;

  /** Whether it answers; undefined where that is not known. */
  get isAnswering(): boolean | undefined {
    if (this.#lost > 1) return false;
    return this.last === undefined ? undefined : this.#lost === 0;
  }

  /** It has answered since then, and nothing was lost after that. */
  isAnsweringSince(time: number): boolean {
    return this.last !== undefined && this.last > time && this.#lost === 0;
  }

  /** @param count of echoes to the peer so far */
  isTurn(count: number): boolean {
    return count % (this.#isOpen ? TURN_AGAIN : TURN) === 0;
  }

  /** An echo leaves. */
  ask(): void {
    this.#isOpen = true;
  }

  answered(now: number): void {
    this.last = now;
    this.#lost = 0;
    this.#isOpen = false;
  }

  lost(): void {
    this.#lost++;
  }

  /** What was lost has another reason than this peer. */
  excuse(): void {
    this.#lost = 0;
  }
}
