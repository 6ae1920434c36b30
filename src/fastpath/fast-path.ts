/**
 * The programs and maps of the fast path in one network namespace. They are the kernel's: they run on when this is
 * disposed of, or its process is killed, and the next one finds them at the links, and goes on with the same ones.
 */
import { BpfError } from '../bpf/errors.ts';
import type { FoundProgram, ProgramPoint, ProgramStore } from '../dataplane/programs.ts';
import { PROGRAM_POINTS } from '../dataplane/programs.ts';
import type { StoreLink } from '../dataplane/tables/store.ts';
import { connectRoute } from '../netlink/route/connect.ts';
import type { Rtnetlink } from '../netlink/route/rtnetlink.ts';
import { Netns } from '../sys/netns.ts';
import { AttachedPlaces } from './attached-places.ts';
import {
  adoptable,
  closeMaps,
  type FastPathMaps,
  openMaps,
  readFlows,
  readReasons,
} from './fast-path-maps.ts';
import { findOwnPrograms } from './found-programs.ts';
import { type BuildProgram, LoadedPrograms } from './loaded-programs.ts';
import type { LinkPlace, Mechanism } from './mechanism.ts';
import { mechanismsOf } from './mechanisms.ts';
import { fastPathObstacle } from './obstacle.ts';
import { ownerNumber, ownProgram } from './own-program.ts';
import { buildFastProgram } from './programs/build.ts';
import type { FastFlow, Reason, Tunnel } from './programs/layout.ts';
import { readSeenAtLink } from './seen-at-link.ts';
import { SharedConfig } from './shared-config.ts';

export interface FastPathOptions {
  /** Default: that of the calling thread. Stays the caller's. */
  readonly netns?: Netns | undefined;
  /** Key of the agent's network in the store: programs of another one are somebody else's. */
  readonly owner: string;
  /** Default: what the kernel has, tcx first. */
  readonly mechanism?: Mechanism['name'] | undefined;
  /** Default: that of this version. */
  readonly build?: BuildProgram | undefined;
  /** Milliseconds between two looks at programs by tcx; half a minute unless given. */
  readonly look?: number | undefined;
}

/** Milliseconds. Packets take the normal path where a program is missing, so that it is not urgent. */
const LOOK = 30_000;

export class FastPath implements ProgramStore, AsyncDisposable {
  readonly maps: FastPathMaps;
  readonly #rtnetlink: Rtnetlink;
  readonly #netns: Netns;
  readonly #owner: bigint;
  readonly #mechanism: Mechanism;
  readonly #programs: LoadedPrograms;
  readonly #config: SharedConfig;
  readonly #attached = new AttachedPlaces();
  readonly #look: number;

  private constructor(parts: {
    readonly maps: FastPathMaps;
    readonly rtnetlink: Rtnetlink;
    readonly netns: Netns;
    readonly owner: bigint;
    readonly mechanism: Mechanism;
    readonly programs: LoadedPrograms;
    readonly look: number;
  }) {
    this.maps = parts.maps;
    this.#rtnetlink = parts.rtnetlink;
    this.#netns = parts.netns;
    this.#owner = parts.owner;
    this.#mechanism = parts.mechanism;
    this.#programs = parts.programs;
    this.#config = new SharedConfig(parts.maps);
    this.#look = parts.look;
  }

  /** @throws BpfError UNSUPPORTED, its message being the one reason; SysError, NetlinkError */
  static async open(options: FastPathOptions): Promise<FastPath> {
    const {
      netns: given,
      owner: network,
      mechanism: wanted,
      build = buildFastProgram,
      look = LOOK,
    } = options;
    const obstacle = await fastPathObstacle();
    if (obstacle !== undefined) throw new BpfError('UNSUPPORTED', obstacle);
    await using stack = new AsyncDisposableStack();
    const netns = stack.use(given?.clone() ?? Netns.current());
    const rtnetlink = stack.use(connectRoute({ netns }));
    const mechanism = mechanismsOf(netns, rtnetlink).find(({ name }) => name === (wanted ?? name));
    if (mechanism === undefined) throw new BpfError('UNSUPPORTED', `this kernel has no ${wanted}`);
    const owner = ownerNumber(network);
    const found = await findOwnPrograms(rtnetlink, [mechanism], owner);
    const earlier = adoptable([...new Map(found.map(({ program }) => [program.id, program])).values()]);
    const maps = stack.adopt(openMaps(owner, earlier), closeMaps);
    const programs = stack.use(new LoadedPrograms(build, maps, earlier));
    const fastPath = new FastPath({ maps, rtnetlink, netns, owner, mechanism, programs, look });
    stack.move();
    return fastPath;
  }

  get mechanism(): Mechanism['name'] {
    return this.#mechanism.name;
  }

  async read({ index }: StoreLink): Promise<readonly FoundProgram[]> {
    const found: FoundProgram[] = [];
    for (const point of PROGRAM_POINTS) {
      const [first, ...others] = await this.#ownAt({ index, point });
      if (first === undefined) continue;
      // A second one is of an interrupted change.
      const program = others.length === 0 ? this.#programs.nameOf(first) : undefined;
      found.push({ point, program });
    }
    return found;
  }

  async attach({ index }: StoreLink, point: ProgramPoint, fullName: string): Promise<boolean> {
    const place = { index, point };
    const loaded = this.#programs.get(fullName);
    const own = await this.#ownAt(place);
    const replaced = own.includes(loaded.id) ? loaded.id : own[0];
    if (replaced !== loaded.id) await this.#mechanism.attach(place, loaded, replaced);
    const more = own.filter(id => id !== replaced);
    for (const id of more) await this.#mechanism.detach(place, id);
    this.#attached.set(place, loaded.id);
    return replaced !== loaded.id || more.length > 0;
  }

  async detach({ index }: StoreLink, point: ProgramPoint): Promise<void> {
    const place = { index, point };
    this.#attached.delete(place);
    for (const id of await this.#ownAt(place)) await this.#mechanism.detach(place, id);
  }

  /** Of filters the data plane hears from the kernel itself; of tcx nothing is announced: it is looked at now and then. */
  watch(onChange: (link: string | undefined) => void): Disposable {
    if (this.mechanism !== 'tcx') return { [Symbol.dispose]: () => undefined };
    const lookAgain = async () => {
      // What cannot be looked at is not known to be there.
      if (await this.#attached.hasLost(this.#mechanism).catch(() => true)) onChange(undefined);
    };
    const timer = setInterval(() => void lookAgain(), this.#look).unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /**
   * What others have at a link that sees its packets. Programs of another agent of ours are none of these: they match
   * flows of its own tunnels alone. @throws SysError, NetlinkError
   */
  async others({ index }: StoreLink): Promise<Readonly<Record<ProgramPoint, readonly string[]>>> {
    const seen = await readSeenAtLink(index, { netns: this.#netns, rtnetlink: this.#rtnetlink });
    const others = seen.filter(({ own }) => own === undefined);
    const at = (point: ProgramPoint) => others.filter(one => one.point === point).map(({ text }) => text);
    return { ingress: at('ingress'), egress: at('egress') };
  }

  /** Of programs of others at a link by tcx, of which the kernel announces nothing. @throws SysError */
  async otherIds({ index }: StoreLink): Promise<readonly number[]> {
    if (this.mechanism !== 'tcx') return [];
    const ids = await Promise.all(PROGRAM_POINTS.map(point => this.#mechanism.programs({ index, point })));
    return ids.flat().filter(id => !this.#isOwn(id));
  }

  /** What was proven before this has to be proven anew. @throws SysError */
  bump(): void {
    this.#config.bump();
  }

  /** What a flow that is proven has. @throws SysError */
  get generation(): bigint {
    return this.#config.generation;
  }

  /**
   * Whose packets at the uplink make flows known.
   *
   * @returns those that there is no room for: they have no fast path. @throws SysError
   */
  setTunnels(tunnels: readonly Tunnel[]): readonly Tunnel[] {
    return this.#config.setTunnels(tunnels);
  }

  /** Up to `most` flows, in no order. @throws SysError */
  flows(most?: number): Generator<FastFlow, void> {
    return readFlows(this.maps.flows, most);
  }

  /** How many packets did not take the fast path, by reason, since the maps were made. @throws SysError */
  reasons(): ReadonlyMap<Reason, bigint> {
    return readReasons(this.maps.reasons);
  }

  /** What runs goes on running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#programs[Symbol.dispose]();
    closeMaps(this.maps);
    await this.#rtnetlink[Symbol.asyncDispose]();
    this.#netns[Symbol.dispose]();
  }

  /** Ids of programs of this agent, of any version. */
  async #ownAt(place: LinkPlace): Promise<readonly number[]> {
    return (await this.#mechanism.programs(place)).filter(id => this.#isOwn(id));
  }

  #isOwn(id: number): boolean {
    return this.#programs.nameOf(id) !== undefined || ownProgram(id)?.config.owner === this.#owner;
  }
}
