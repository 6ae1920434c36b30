/**
 * The programs at all links of this host: what is missing is attached, what differs is replaced, and what nobody wants
 * any more is detached, also from a link that has another name by now. A link that is not there needs none: containers
 * come and go.
 *
 * A link is read when it is new, when something was announced of it, its queues or filters, and in every full
 * comparison. That a program was attached or detached (BPF_PROG_ATTACH, BPF_PROG_DETACH) the kernel does not announce.
 */
import type { Clock } from '../../base/clock.ts';
import { isCode } from '../../base/errors.ts';
import type { KernelEvent } from '../../netlink/route/rtnetlink.ts';
import type { ProgramStore } from '../programs.ts';
import type { LinkNames } from '../reconcile/link-names.ts';
import type { Repair } from '../report.ts';
import { LinkPrograms } from './link-programs.ts';
import { isSamePlan, type ProgramPlan, type ProgramUser, planPrograms, programText } from './program-plan.ts';
import { type ProgramFailure, ProgramRefusals } from './program-refusals.ts';

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

/**
 * Milliseconds after which other work has its turn. The kernel waits for a grace period of RCU with each program that it
 * attaches (kernel/bpf/tcx.c): 15 ms, in which this thread and all that changes the host's network wait too.
 */
const TURN = 20;

export class Programs implements Disposable {
  readonly #environment: ProgramsEnvironment;
  #plan: ProgramPlan = { links: new Map(), refused: [] };
  /** By index: names change hands. */
  readonly #links = new Map<number, LinkPrograms>();
  /** Links that are to be seen to. */
  readonly #due = new Set<number>();
  readonly #refusals: ProgramRefusals;
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
    this.#refusals = new ProgramRefusals(clock, random);
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
    return this.#environment.programs === undefined ? this.wanted : refused.length + this.#refusals.size;
  }

  /** Changes that were sent until now. */
  get writes(): number {
    return this.#writes;
  }

  get nextRetry(): number | undefined {
    return this.#refusals.next;
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
    yield* this.#refusals.failures();
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
    for (const index of this.#refusals.due(now)) due.add(index);
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
      else if (!this.#refusals.has(index)) this.#due.add(index);
    } catch (error) {
      // It has gone meanwhile, and all that was at it.
      if (!isCode(error, 'ENODEV')) throw error;
      this.#forget(index);
    }
  }

  #newLink(store: ProgramStore, index: number): LinkPrograms {
    const programs = new LinkPrograms({
      store,
      attempt: (work, execute) => this.#refusals.attempt(index, work, execute),
      onRepair: this.#environment.onRepair,
      onWrite: () => this.#writes++,
    });
    this.#links.set(index, programs);
    return programs;
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
    this.#refusals.forget(index);
  }

  /** The link is gone. True when that changes what is reported. */
  #forget(index: number): boolean {
    this.#links.delete(index);
    this.#due.delete(index);
    return this.#refusals.forget(index);
  }
}
