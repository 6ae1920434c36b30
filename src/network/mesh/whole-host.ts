/**
 * Whether any peer answers this host at all. When none does, the cause is here, and nothing is said of single peers: it
 * would take long to ask each of many, and would be said of the wrong one.
 */

/** Lost in a row from different peers; milliseconds from the first of them on. */
const DIFFERENT = 3;
const LOST = 5;
const SPAN = 1_000;

export class WholeHost {
  /** Since when no peer answers; undefined while one does. */
  #since: number | undefined;
  #first: number | undefined;
  #lastAnswer = -Infinity;
  #lost = 0;
  readonly #different = new Set<string>();

  get isCut(): boolean {
    return this.#since !== undefined;
  }

  get since(): number | undefined {
    return this.#since;
  }

  answered(now: number): void {
    this.#lastAnswer = now;
    this.#since = undefined;
    this.#first = undefined;
    this.#lost = 0;
    this.#different.clear();
  }

  /**
   * A peer that has answered before does not now.
   * @param sent when the echo left
   * @param known peers that should answer: of one alone nothing can be concluded
   */
  lost(key: string, sent: number, now: number, known: number): void {
    if (sent < this.#lastAnswer) return;
    this.#first ??= sent;
    this.#lost++;
    if (this.#different.size < DIFFERENT) this.#different.add(key);
    const isAll = known > 1 && this.#different.size >= Math.min(DIFFERENT, known);
    if (isAll && this.#lost >= LOST && now - this.#first >= SPAN) this.#since ??= this.#first;
  }
}
