/** Programs at links in memory, as the kernel runs them, with what others do to them. */
import type { FoundProgram, ProgramPoint, ProgramStore } from '../../dataplane/programs.ts';
import type { StoreLink } from '../../dataplane/tables/store.ts';
import { SysError } from '../../sys/errors.ts';

const ENODEV = 19;
/** In the place of a name that nobody knows. */
const UNKNOWN = '?';

export class MemoryPrograms implements ProgramStore {
  /** By index of the link, and point. */
  readonly #running = new Map<string, string>();
  readonly #listeners = new Set<(link: string | undefined) => void>();
  readonly #gone = new Set<number>();
  #refusals = 0;
  /** What was asked for since the start. */
  reads = 0;
  /** Called before anything is answered. */
  onRead: (link: StoreLink) => void = () => {};

  async read(link: StoreLink): Promise<readonly FoundProgram[]> {
    this.reads++;
    const found = Array.from(this.#of(link.index), ([point, program]) => ({
      point,
      program: program === UNKNOWN ? undefined : program,
    }));
    this.onRead(link);
    this.#check(link);
    return found;
  }

  async attach(link: StoreLink, point: ProgramPoint, program: string): Promise<boolean> {
    this.#check(link);
    const isNew = this.#running.get(`${link.index} ${point}`) !== program;
    this.#running.set(`${link.index} ${point}`, program);
    return isNew;
  }

  async detach(link: StoreLink, point: ProgramPoint): Promise<void> {
    this.#check(link);
    this.#running.delete(`${link.index} ${point}`);
  }

  watch(onChange: (link: string | undefined) => void): Disposable {
    this.#listeners.add(onChange);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onChange) };
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** What runs at a link: `ingress transmit, egress delivered`. */
  show(index: number): string {
    return Array.from(this.#of(index), words => words.join(' ')).join(', ');
  }

  /** Another program puts one there, or takes ours away, and nothing is said of it. */
  damage(index: number, point: ProgramPoint, program: string | undefined): void {
    if (program === undefined) this.#running.delete(`${index} ${point}`);
    else this.#running.set(`${index} ${point}`, program);
  }

  /** One that nobody knows any more. */
  leave(index: number, point: ProgramPoint): void {
    this.damage(index, point, UNKNOWN);
  }

  /** Something may have been changed. @param link undefined: at any */
  announce(link?: string): void {
    for (const listener of this.#listeners) listener(link);
  }

  /** This many of what is asked for next are refused. */
  refuse(times: number): void {
    this.#refusals = times;
  }

  /** The link is gone, and all that was at it; its index may be given again. */
  remove(index: number): void {
    for (const [point] of this.#of(index)) this.damage(index, point, undefined);
  }

  /** The link is gone, which the kernel has not announced yet. */
  removeUnannounced(index: number): void {
    this.#gone.add(index);
    this.remove(index);
  }

  *#of(index: number): Generator<readonly [ProgramPoint, string]> {
    for (const point of ['ingress', 'egress'] as const) {
      const program = this.#running.get(`${index} ${point}`);
      if (program !== undefined) yield [point, program];
    }
  }

  #check({ index }: StoreLink): void {
    if (this.#gone.has(index)) throw new SysError('bpf', ENODEV);
    if (this.#refusals === 0) return;
    this.#refusals--;
    throw new Error('the kernel has no room');
  }
}
