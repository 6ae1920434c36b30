/** What the kernel has refused of programs at links: why, whom it concerns, and when it is tried again. */
import type { Clock } from '../../base/clock.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import { PROGRAM_POINTS } from '../programs.ts';
import { Retries } from '../reconcile/retries.ts';
import type { ProgramWork } from './link-programs.ts';

export interface ProgramFailure {
  readonly text: string;
  /** Names of the networks that it concerns. */
  readonly networks: readonly string[];
}

const WORK: readonly ProgramWork['what'][] = ['read', ...PROGRAM_POINTS];

export class ProgramRefusals {
  readonly #clock: Clock;
  readonly #retries: Retries;
  /** What each refusal is about. */
  readonly #subjects = new Map<string, { readonly index: number; readonly networks: readonly string[] }>();

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#retries = new Retries(clock, random);
  }

  get size(): number {
    return this.#retries.size;
  }

  /** When the first of them is tried again, on the monotonic clock in milliseconds; undefined where there is none. */
  get next(): number | undefined {
    return this.#retries.next;
  }

  *failures(): Generator<ProgramFailure> {
    for (const [key, text] of this.#retries.reasons())
      yield { text, networks: this.#subjects.get(String(key))?.networks ?? [] };
  }

  /** Indexes of the links at which something is to be tried again at this time. */
  *due(now: number): Generator<number> {
    for (const [key, { index }] of this.#subjects) if (this.#retries.isDue(key, now)) yield index;
  }

  /**
   * Does work at a link, unless it was refused and is not due yet.
   * @returns whether it is done; a refusal is recorded. @throws what says that the link is gone
   */
  async attempt(
    index: number,
    { what, text, networks }: ProgramWork,
    execute: () => Promise<void>,
  ): Promise<boolean> {
    const key = keyOf(index, what);
    if (!this.#retries.isDue(key, this.#clock.monotonic())) return false;
    try {
      await execute();
      this.#succeeded(key);
      return true;
    } catch (error) {
      if (isCode(error, 'ENODEV')) throw error;
      this.#retries.failed(key, `${text}: ${messageOf(error)}`);
      this.#subjects.set(key, { index, networks });
      return false;
    }
  }

  has(index: number): boolean {
    return WORK.some(what => this.#subjects.has(keyOf(index, what)));
  }

  /** Forgets those at a link: they are tried at once. True when there were any. */
  forget(index: number): boolean {
    const before = this.#subjects.size;
    for (const what of WORK) this.#succeeded(keyOf(index, what));
    return this.#subjects.size < before;
  }

  #succeeded(key: string): void {
    this.#retries.succeeded(key);
    this.#subjects.delete(key);
  }
}

const keyOf = (index: number, what: ProgramWork['what']): string => `${index} ${what}`;
