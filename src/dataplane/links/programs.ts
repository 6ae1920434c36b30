/**
 * The programs at all links of this host: what is missing is attached, what differs is replaced, and what nobody wants
 * any more is detached, also from a link that has another name by now. A link that is not there needs none: containers
 * come and go.
 *
 * A link is read when it is new, when something was announced of it, its queues or filters, and in every full
 * comparison. That a program was attached or detached (BPF_PROG_ATTACH, BPF_PROG_DETACH) the kernel does not announce.
 */
import type { Clock } from '../../base/clock.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import { PROGRAM_POINTS, type ProgramStore } from '../programs.ts';
import type { LinkNames } from '../reconcile/link-names.ts';
import { Retries } from '../reconcile/retries.ts';
import type { Repair } from '../report.ts';
import { LinkPrograms, type ProgramWork } from './link-programs.ts';
import { isSamePlan, type ProgramPlan, type ProgramUser, planPrograms, programText } from './program-plan.ts';

export interface ProgramsEnvironment {
  /** undefined: there is none, and every program fails. */
  readonly programs: ProgramStore | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly names: Pick<LinkNames, 'nameOf' | 'indexOf' | 'indexes' | 'listing'>;
  readonly onRepair: (repair: Repair) => void;
  /** Something may have changed that no event reports. */
  readonly onPossibleChange: () => void;
}

export interface ProgramFailure {
  readonly text: string;
  /** Names of the networks that it concerns. */
  readonly networks: readonly string[];
}

/**
 * Milliseconds after which other work has its turn. The kernel waits for a grace period of RCU with each program that it
 * attaches (kernel/bpf/tcx.c): 15 ms, in which this thread and all that changes the host's network wait too.
 */
const TURN = 20;

const WORK: readonly ProgramWork['what'][] = ['read', ...PROGRAM_POINTS];

export class Programs implements Disposable {
  readonly #environment: ProgramsEnvironment;
  #plan: ProgramPlan = { links: new Map(), refused: [] };
  /** By index: names change hands. */
  readonly #links = new Map<number, LinkPrograms>();
  /** Links that are to be seen to. */
  readonly #due = new Set<number>();
  readonly #retries: Retries;
  /** What each refusal is about. */
  readonly #subjects = new Map<string, { readonly index: number; readonly networks: readonly string[] }>();
  readonly #watch: Disposable | undefined;
  /** Somebody has said which programs are wanted: what an earlier run left is looked for, at every link. */
  #isStated = false;
  /** Of the links that were seen to, whether something was announced of them or not. */
  #listing: number | undefined;
  #writes = 0;
  #isUnfinished = false;
  /** Links are being seen to. */
  #isInTurn = false;

  constructor(environment: ProgramsEnvironment) {
    const { clock, random, programs, names, onPossibleChange } = environment;
    this.#environment = environment;
    this.#retries = new Retries(clock, random);
    this.#watch = programs?.watch(link => {
      const index = link === undefined ? undefined : names.indexOf(link);
      if (link === undefined) this.markStale();
      else if (index !== undefined) this.#markStale(index);
      onPossibleChange();
    });
  }

  /** @param users all networks, in the order in which they began. */
  set(users: readonly ProgramUser[]): void {
    const before = this.#plan.links;
    this.#plan = planPrograms(users);
    this.#isStated ||= users.some(({ host }) => host.programs !== undefined);
    const now = this.#plan.links;
    for (const name of new Set([...before.keys(), ...now.keys()])) {
      const index = this.#environment.names.indexOf(name);
      if (index === undefined || isSamePlan(before.get(name), now.get(name))) continue;
      this.#markDue(index);
    }
  }

  get wanted(): number {
    let sum = this.#plan.refused.length;
    for (const points of this.#plan.links.values()) sum += points.size;
    return sum;
  }

  get failed(): number {
    const { refused } = this.#plan;
    return this.#environment.programs === undefined ? this.wanted : refused.length + this.#retries.size;
  }

  /** Changes that were sent until now. */
  get writes(): number {
    return this.#writes;
  }

  get nextRetry(): number | undefined {
    return this.#retries.next;
  }

  /** Whether links are to be seen to, apart from what was refused. */
  get isStale(): boolean {
    return this.#environment.programs !== undefined && (this.#due.size > 0 || this.#isUnlisted);
  }

  get inSync(): boolean {
    return !this.#isInTurn && !this.isStale && this.failed === 0;
  }

  *failures(): Generator<ProgramFailure> {
    const { links, refused } = this.#plan;
    for (const { text, reason, network } of refused)
      yield { text: `${text}: ${reason}`, networks: [network] };
    for (const [link, points] of this.#environment.programs === undefined ? links : []) {
      for (const [point, { program, networks }] of points) {
        yield { text: `${programText({ link, point, program })}: this host has no programs`, networks };
      }
    }
    for (const [key, text] of this.#retries.reasons()) {
      yield { text, networks: this.#subjects.get(String(key))?.networks ?? [] };
    }
  }

  /** Every link is to be read again. */
  markStale(): void {
    const { names } = this.#environment;
    for (const index of this.#links.keys()) this.#markStale(index);
    for (const name of this.#plan.links.keys()) {
      const index = names.indexOf(name);
      if (index !== undefined) this.#markStale(index);
    }
  }

  /** Takes an event, which the names of links have followed already. True when there is something to do. */
  observe(event: KernelEvent): boolean {
    if (event.type === 'traffic') return this.#trafficChanged(event.index);
    if (event.type !== 'link') return false;
    const { index, name } = event.link;
    return event.gone ? this.#forget(index) : this.found(name, index);
  }

  /** The link of this name has this index. True when there is something to do. */
  found(name: string, index: number): boolean {
    if (this.#environment.programs === undefined) return false;
    if (!this.#links.has(index) && !this.#plan.links.has(name)) return false;
    this.#markStale(index);
    return true;
  }

  /** Whether `ensure` has something to do now. */
  isDue(): boolean {
    const { nextRetry } = this;
    return this.isStale || (nextRetry !== undefined && nextRetry <= this.#environment.clock.monotonic());
  }

  /** Whether `ensure` has left links for its next turn. */
  get isUnfinished(): boolean {
    return this.#isUnfinished;
  }

  /**
   * Reads and repairs, as much as fits into one turn; what cannot be done is in `failures`. The names of links must have
   * been listed.
   */
  async ensure(): Promise<void> {
    const { programs: store, names, clock } = this.#environment;
    if (store === undefined) return;
    if (this.#isUnlisted) {
      if (this.#listing === undefined) for (const index of names.indexes()) this.#due.add(index);
      this.#listing = names.listing;
      this.markStale();
    }
    const due = new Set(this.#due);
    this.#due.clear();
    const now = clock.monotonic();
    for (const [key, { index }] of this.#subjects) if (this.#retries.isDue(key, now)) due.add(index);
    this.#isInTurn = true;
    try {
      for (const index of due) {
        if (clock.monotonic() - now < TURN) await this.#ensureLink(store, index);
        else this.#due.add(index);
      }
    } finally {
      this.#isInTurn = false;
    }
    this.#isUnfinished = this.#due.size > 0;
  }

  /** Stops listening; what is attached stays. */
  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }

  /** Links were listed after they were seen to last, and may be others than those that are known. */
  get #isUnlisted(): boolean {
    return this.#isStated && this.#listing !== this.#environment.names.listing;
  }

  async #ensureLink(store: ProgramStore, index: number): Promise<void> {
    const name = this.#environment.names.nameOf(index);
    if (name === undefined) {
      this.#forget(index);
      return;
    }
    const plan = this.#plan.links.get(name);
    const programs = this.#links.get(index) ?? this.#newLink(store, index);
    try {
      await programs.ensure({ name, index }, plan ?? new Map());
      if (plan !== undefined) return;
      if (programs.isBare) this.#links.delete(index);
      else if (!this.#isRefused(index)) this.#due.add(index);
    } catch (error) {
      // It has gone meanwhile, and all that was at it.
      if (!isCode(error, 'ENODEV')) throw error;
      this.#forget(index);
    }
  }

  #newLink(store: ProgramStore, index: number): LinkPrograms {
    const programs = new LinkPrograms({
      store,
      attempt: (work, execute) => this.#attempt(index, work, execute),
      onRepair: this.#environment.onRepair,
      onWrite: () => this.#writes++,
    });
    this.#links.set(index, programs);
    return programs;
  }

  /** Records a refusal and goes on. @throws what says that the link is gone */
  async #attempt(
    index: number,
    { what, text, networks }: ProgramWork,
    execute: () => Promise<void>,
  ): Promise<boolean> {
    const key = `${index} ${what}`;
    if (!this.#retries.isDue(key, this.#environment.clock.monotonic())) return false;
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

  #succeeded(key: string): void {
    this.#retries.succeeded(key);
    this.#subjects.delete(key);
  }

  /** Programs may be filters, and go with the queues they are at. @param index undefined: of any link */
  #trafficChanged(index: number | undefined): boolean {
    if (index === undefined) this.markStale();
    else if (this.#links.has(index)) this.#markStale(index);
    return this.#due.size > 0;
  }

  #markStale(index: number): void {
    this.#links.get(index)?.markStale();
    this.#markDue(index);
  }

  /** What was refused is tried at once. */
  #markDue(index: number): void {
    this.#due.add(index);
    this.#forgetRefusals(index);
  }

  /** The link is gone. True when that changes what is reported. */
  #forget(index: number): boolean {
    this.#links.delete(index);
    this.#due.delete(index);
    return this.#forgetRefusals(index);
  }

  #forgetRefusals(index: number): boolean {
    const before = this.#subjects.size;
    for (const what of WORK) this.#succeeded(`${index} ${what}`);
    return this.#subjects.size < before;
  }

  #isRefused(index: number): boolean {
    return WORK.some(what => this.#subjects.has(`${index} ${what}`));
  }
}
