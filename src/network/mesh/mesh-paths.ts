/** The paths to all peers, one for each family: whom to ask next, and who is who. */
import type { Family, Ip } from '../../base/ip.ts';
import { FAMILIES } from '../../base/ip.ts';
import { type PerFamily, perFamily } from '../../base/per-family.ts';
import type { PathTarget } from '../path-mtu/path-mtus.ts';
import { PathAnswers } from './path-answers.ts';

/** One family of a peer. */
export interface MeshPath {
  readonly key: string;
  readonly family: Family;
  /** What a person calls the host. */
  name: string;
  target: PathTarget;
  text: string;
  readonly answers: PathAnswers;
  /** Bytes of the largest packet on the way, as a router has said; undefined when none has. */
  routerMtu: number | undefined;
  /** When a request of its host came here. */
  lastRequest: number | undefined;
  /** The same of one over the overlay: over the underlay a host asks for what the overlay has lost. */
  lastCarried: number | undefined;
  /** Why nothing could be sent to it; undefined when it could. */
  obstacle: string | undefined;
  /** Who says that it does not answer them, and when. */
  readonly accusers: Map<string, number>;
  /** When this host said so last. */
  accused: number;
  /** An echo is wanted at once: a hint has come, or it is to carry one. */
  isWanted: boolean;
}

export interface Due {
  readonly path: MeshPath;
  /** On the monotonic clock. */
  readonly due: number;
}

/** So many that do not answer are asked as often as one; each more delays all by so many milliseconds. */
const FEW = 4;
const EACH = 500;

type Line = 'fresh' | 'well' | 'unwell';

const idOf = (family: Family, key: string) => `${family} ${key}`;
const isSilent = ({ answers: { state } }: MeshPath) => state === 'silent' || state === 'unanswered';

export class MeshPaths {
  readonly #paths = new Map<string, MeshPath>();
  /** New ones, in no order: hosts that start together must not all ask the same one. */
  readonly #fresh: MeshPath[] = [];
  /** Who was asked longest ago comes first; those that do not answer wait in a line of their own. */
  readonly #well = new Set<MeshPath>();
  readonly #unwell = new Set<MeshPath>();
  /** Those that may want an echo out of turn. */
  readonly #urgent = new Set<MeshPath>();
  /** By every address that they are known by. */
  readonly #byAddress = new Map<number | bigint, MeshPath>();
  /** Paths of each family that are asked at all, by key; sorted when it is needed. */
  readonly #rings = new Map<Family, MeshPath[]>();
  /** Where the last one in turn came from. */
  #last: Line = 'well';
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#paths.size;
  }

  get all(): Iterable<MeshPath> {
    return this.#paths.values();
  }

  of(key: string): PerFamily<MeshPath> {
    return perFamily(family => this.#paths.get(idOf(family, key)));
  }

  has(path: MeshPath): boolean {
    return this.#paths.get(idOf(path.family, path.key)) === path;
  }

  at(address: Ip): MeshPath | undefined {
    return this.#byAddress.get(address.key);
  }

  /** What is asked of a peer from now on; of a family without a target nothing. @returns whether a path is another one */
  set(key: string, targets: PerFamily<PathTarget>, name: string, now: number): boolean {
    let isChanged = false;
    for (const family of FAMILIES) {
      const id = idOf(family, key);
      const before = this.#paths.get(id);
      const target = targets[family];
      const text = JSON.stringify(target);
      if (before !== undefined && before.text === text) {
        before.name = name;
        continue;
      }
      if (before !== undefined && target !== undefined) this.#move(before, target, text);
      else if (before !== undefined) this.#delete(id, before);
      else if (target !== undefined) this.#add(id, { key, family, name, target, text }, now);
      isChanged ||= before !== undefined || target !== undefined;
    }
    return isChanged;
  }

  /** It was asked, or answered: it may belong elsewhere. */
  place(path: MeshPath): void {
    const isUrgent = path.isWanted || path.answers.due !== undefined;
    if (isUrgent) this.#urgent.add(path);
    else this.#urgent.delete(path);
    if (this.#fresh.includes(path)) return;
    const [line, other] = isSilent(path) ? [this.#unwell, this.#well] : [this.#well, this.#unwell];
    other.delete(path);
    if (!line.has(path)) line.add(path);
  }

  /** To the end of its line. */
  asked(path: MeshPath): void {
    path.isWanted = false;
    const index = this.#fresh.indexOf(path);
    if (index !== -1) this.#fresh.splice(index, 1);
    this.#last = this.#unwell.delete(path) ? 'unwell' : index === -1 ? 'well' : 'fresh';
    this.#well.delete(path);
    this.place(path);
  }

  /** The one that wants an echo out of turn first, and when. */
  urgent(): Due | undefined {
    const delay = Math.max(0, this.#unwell.size - FEW) * EACH;
    let first: Due | undefined;
    for (const path of this.#urgent) {
      const due = path.isWanted ? -Infinity : (path.answers.due ?? Infinity) + (isSilent(path) ? delay : 0);
      if (first === undefined || due < first.due) first = { path, due };
    }
    return first;
  }

  /**
   * Whose turn it is: who was asked longest ago; but new ones, and those that do not answer, not twice in a row.
   * @param pause milliseconds between two echoes to the same peer
   */
  next(now: number, pause: number): Due | undefined {
    const [well] = this.#well;
    const [unwell] = this.#unwell;
    const fresh = this.#fresh[Math.floor(this.#random() * this.#fresh.length)];
    const lines: readonly [Line, MeshPath | undefined][] = [
      ['fresh', fresh],
      ['well', well],
      ['unwell', unwell],
    ];
    const firsts = lines
      .flatMap(([line, path]) =>
        path === undefined ? [] : [{ line, path, due: path.answers.asked + pause }],
      )
      .sort((a, b) => a.due - b.due);
    const [first, second] = firsts;
    const isOther =
      this.#last !== 'well' && first?.line === this.#last && second !== undefined && second.due <= now;
    return isOther ? second : first;
  }

  /**
   * The hosts that get news at once: the next one after this host, so that every host gets it, and some at random, so that
   * it takes few steps.
   */
  listeners(family: Family, own: string, count: number): MeshPath[] {
    const ring = this.#ring(family);
    if (ring.length === 0) return [];
    const after = ring.findIndex(({ key }) => key > own);
    const first = ring[after === -1 ? 0 : after];
    const chosen = new Set(first === undefined ? [] : [first]);
    for (let tries = 0; tries < count * 2 && chosen.size < Math.min(count, ring.length); tries++) {
      const one = ring[Math.floor(this.#random() * ring.length)];
      if (one !== undefined) chosen.add(one);
    }
    return [...chosen];
  }

  #ring(family: Family): MeshPath[] {
    const known = this.#rings.get(family);
    if (known !== undefined) return known;
    const ring = Array.from(this.#paths.values()).filter(path => path.family === family);
    ring.sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#rings.set(family, ring);
    return ring;
  }

  #add(id: string, what: Pick<MeshPath, 'key' | 'family' | 'name' | 'target' | 'text'>, now: number): void {
    const path: MeshPath = {
      ...what,
      answers: new PathAnswers(what.target.isOverlay, now),
      routerMtu: undefined,
      lastRequest: undefined,
      lastCarried: undefined,
      obstacle: undefined,
      accusers: new Map(),
      accused: -Infinity,
      isWanted: false,
    };
    this.#paths.set(id, path);
    for (const address of addressesOf(path)) this.#byAddress.set(address.key, path);
    this.#rings.delete(path.family);
    this.#fresh.push(path);
  }

  /** The same peer, reached in another way: what is known of it stays known. */
  #move(path: MeshPath, target: PathTarget, text: string): void {
    this.#forgetAddresses(path);
    path.target = target;
    path.text = text;
    path.routerMtu = undefined;
    path.answers.moved(target.isOverlay);
    for (const address of addressesOf(path)) this.#byAddress.set(address.key, path);
    this.place(path);
  }

  #forgetAddresses(path: MeshPath): void {
    for (const { key } of addressesOf(path))
      if (this.#byAddress.get(key) === path) this.#byAddress.delete(key);
  }

  #delete(id: string, path: MeshPath): void {
    this.#paths.delete(id);
    for (const line of [this.#well, this.#unwell, this.#urgent]) line.delete(path);
    const index = this.#fresh.indexOf(path);
    if (index !== -1) this.#fresh.splice(index, 1);
    this.#forgetAddresses(path);
    this.#rings.delete(path.family);
  }
}

const addressesOf = ({ target: { to, base, underlay } }: MeshPath) => [to, base, underlay];
