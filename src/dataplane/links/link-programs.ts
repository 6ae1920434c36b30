/** The programs at one link of this host over time: what runs there as far as we know, and how it is made what is wanted. */

import { PROGRAM_POINTS, type ProgramPoint, type ProgramStore } from '../programs.ts';
import { type Repair, repairOf } from '../report.ts';
import type { StoreLink } from '../tables/store.ts';
import type { PointPlan } from './program-plan.ts';
import { programText } from './program-plan.ts';

/** One thing to do at a link. */
export interface ProgramWork {
  /** Tells it from others at the link. */
  readonly what: 'read' | ProgramPoint;
  /** In words. */
  readonly text: string;
  /** Names of the networks that it is for. */
  readonly networks: readonly string[];
}

export interface LinkProgramsEnvironment {
  readonly store: ProgramStore;
  /**
   * Does it, unless it was refused and is to wait; false when it was not done.
   * @throws what says that the link is gone
   */
  readonly attempt: (work: ProgramWork, execute: () => Promise<void>) => Promise<boolean>;
  readonly onRepair: (repair: Repair) => void;
  /** Something was attached or detached, or tried to be. */
  readonly onWrite: () => void;
}

interface Damage {
  readonly wanted: string | undefined;
  readonly found: string | undefined;
}

/** In the place of the name of a program that nobody knows any more. */
const FORMER = 'of a former agent';

export class LinkPrograms {
  readonly #environment: LinkProgramsEnvironment;
  /** What runs at its points; undefined before it was read. */
  #running: Map<ProgramPoint, string> | undefined;
  /** What others have left in the place of a program that was wanted, in words, until that is repaired. */
  readonly #damage = new Map<ProgramPoint, Damage>();
  #isStale = true;

  constructor(environment: LinkProgramsEnvironment) {
    this.#environment = environment;
  }

  /** Nothing of ours runs there: that was read, and is not only what we have made of it. */
  get isBare(): boolean {
    return !this.#isStale && this.#running?.size === 0;
  }

  /** It is to be read again. */
  markStale(): void {
    this.#isStale = true;
  }

  /** Makes it so. @throws what says that the link is gone */
  async ensure(link: StoreLink, plan: PointPlan): Promise<void> {
    if (this.#isStale) await this.#read(link, plan);
    // Marked while it was read: it is read again before anything is done.
    if (this.#isStale) return;
    for (const point of PROGRAM_POINTS) await this.#ensurePoint(link, point, plan);
  }

  async #read(link: StoreLink, plan: PointPlan): Promise<void> {
    const networks = [...new Set(Array.from(plan.values()).flatMap(planned => planned.networks))];
    const running = new Map<ProgramPoint, string>();
    this.#isStale = false;
    const isRead = await this.#environment.attempt(
      { what: 'read', text: `programs dev ${link.name}`, networks },
      async () => {
        for (const { point, program = FORMER } of await this.#environment.store.read(link)) {
          running.set(point, program);
        }
      },
    );
    if (!isRead) {
      this.#isStale = true;
      return;
    }
    const before = this.#running;
    this.#running = running;
    for (const point of PROGRAM_POINTS) this.#compare(link, point, plan, before);
  }

  /** Notes what others have changed: what was right before, and is not now. */
  #compare(
    { name: link }: StoreLink,
    point: ProgramPoint,
    plan: PointPlan,
    before: ReadonlyMap<ProgramPoint, string> | undefined,
  ): void {
    const program = this.#running?.get(point);
    const wanted = plan.get(point)?.program;
    if (program === wanted) this.#damage.delete(point);
    else if (before !== undefined && before.get(point) === wanted) {
      this.#damage.set(point, { wanted, found: program && programText({ link, point, program }) });
    }
  }

  async #ensurePoint(link: StoreLink, point: ProgramPoint, plan: PointPlan): Promise<void> {
    const { store, attempt, onWrite, onRepair } = this.#environment;
    const { program, networks = [] } = plan.get(point) ?? {};
    const actual = this.#running?.get(point);
    if (actual === program) return;
    const text = programText({ link: link.name, point, program: program ?? actual ?? FORMER });
    const isDone = await attempt({ what: point, text, networks }, async () => {
      let isWrite = true;
      try {
        if (program === undefined) await store.detach(link, point);
        else isWrite = await store.attach(link, point, program);
      } finally {
        if (isWrite) onWrite();
      }
    });
    if (!isDone) return;
    if (program === undefined) this.#running?.delete(point);
    else this.#running?.set(point, program);
    // Before it is forgotten.
    if (plan.size === 0) this.#isStale = true;
    const damage = this.#damage.get(point);
    this.#damage.delete(point);
    // It may be wanted otherwise by now: then it is of our making.
    if (damage === undefined || damage.wanted !== program) return;
    const { found } = damage;
    const [network] = networks;
    const wanted = program && text;
    onRepair(repairOf({ cause: 'drift', object: 'program', link: link.name, network, found, wanted }));
  }
}
