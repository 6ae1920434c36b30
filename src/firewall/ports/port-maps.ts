/**
 * The table of published ports in the kernel, stated element by element. What changes is written over netlink, at once and
 * without a program; the table itself is written when it is first needed or was changed, and is gone with the last port.
 */
import { isCode } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import { addElements, deleteElements, type SetElement } from '../../netlink/netfilter/set.ts';
import type { Change } from '../../netlink/protocol.ts';
import { run as runProgram } from '../../sys/process.ts';
import { type RunProgram, refusalOf } from '../engine.ts';
import { runNft } from '../nft.ts';
import { comparable } from '../senders/table.ts';
import {
  BRIDGES,
  elementId,
  elementKey,
  leadsAlike,
  type PortElement,
  readForward,
} from './port-elements.ts';
import { hasAllRules, PORT_SETS, portScript } from './port-table.ts';
import { forgetStale, type StaleForward } from './stale-connections.ts';

export interface PortMapsOptions {
  /** Name of the table, by `portTableName`. */
  readonly table: string;
  readonly netfilter: Pick<Netfilter, 'commit' | 'elements' | 'connections' | 'forget'>;
  /** Whether an address is one of this host. */
  readonly isOwn: (ip: Ip) => boolean;
  /** Connections could not be forgotten: what was in them goes on as before. */
  readonly onRemembered: (error: unknown) => void;
  readonly run?: RunProgram;
}

/** Milliseconds in which changes are gathered before connections are forgotten. */
const SETTLE = 100;

const WITHOUT_NFTABLES = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EAFNOSUPPORT'] as const;

type Elements = Map<string, PortElement>;
type StatedElement = Pick<PortElement, 'set' | 'element'>;

export class PortMaps {
  readonly #options: PortMapsOptions;
  readonly #netfilter: PortMapsOptions['netfilter'];
  readonly #run: RunProgram;
  /** By set and key. */
  readonly #wanted = new Map<string, Elements>();
  /** By owner. */
  readonly #owned = new Map<string, readonly PortElement[]>();
  /** The table without elements, as nft lists what was written; undefined while the kernel may have another one. */
  #listing: string | undefined;

  /** Whose connections are still to be forgotten. */
  readonly #stale = { added: [] as StaleForward[], gone: [] as StaleForward[] };
  /** Whether the last listing did not have all rules. */
  #isDoubtful = false;

  constructor(options: PortMapsOptions) {
    this.#options = options;
    this.#netfilter = options.netfilter;
    this.#run = options.run ?? runProgram;
  }

  /**
   * States all elements of one owner. Where the table is in place the kernel has them when this returns.
   * @returns whether `apply` is needed for it
   */
  set(owner: string, elements: readonly PortElement[]): boolean {
    const now = new Set(elements.map(idOf));
    const before = this.#owned.get(owner) ?? [];
    const gone = before.filter(element => !now.has(idOf(element)));
    for (const element of gone) this.#of(element.set).delete(elementKey(element.element));
    const known = new Set(before.map(idOf));
    const added = elements.filter(element => !known.has(idOf(element)));
    for (const element of elements) this.#of(element.set).set(elementKey(element.element), element);
    if (elements.length === 0) this.#owned.delete(owner);
    else this.#owned.set(owner, elements);
    return !this.#write(added, gone) || (this.#isEmpty && gone.length > 0);
  }

  /** Makes the kernel have exactly what was stated. @throws FirewallError, NetlinkError, SysError */
  async apply(): Promise<void> {
    // A host without published ports needs no nft.
    const isThere = this.#isThere();
    if (this.#isEmpty) {
      this.#listing = undefined;
      if (isThere) await this.#nft(['delete', 'table', 'inet', this.#options.table]);
      return;
    }
    const isSame = isThere && this.#listing !== undefined && (await this.#list()) === this.#listing;
    if (!isSame) await this.#replace();
    this.#reconcile();
  }

  /** Comments of the elements that the kernel has now, by `elementId`. @throws NetlinkError, SysError */
  comments(): ReadonlyMap<string, string> {
    return new Map(
      this.#present().flatMap(({ set, element }) =>
        element.comment === undefined ? [] : [[elementId({ set, element }), element.comment]],
      ),
    );
  }

  #present(): StatedElement[] {
    return PORT_SETS.flatMap(set => this.#entries(set).map(element => ({ set, element })));
  }

  /** Many changes are one look at what the kernel tracks, which takes some milliseconds (8 at 262,144 buckets). */
  #forget(added: readonly StatedElement[], gone: readonly StatedElement[]): void {
    const forwards = (elements: readonly StatedElement[]) =>
      elements
        .flatMap(({ set, element }) => readForward(set, element) ?? [])
        .filter(({ protocol }) => protocol === 'udp');
    const isDue = this.#stale.added.length + this.#stale.gone.length > 0;
    this.#stale.added.push(...forwards(added));
    this.#stale.gone.push(...forwards(gone));
    if (isDue || this.#stale.added.length + this.#stale.gone.length === 0) return;
    setTimeout(() => this.#forgetNow(), SETTLE).unref();
  }

  #forgetNow(): void {
    const changed = { added: this.#stale.added.splice(0), gone: this.#stale.gone.splice(0) };
    try {
      forgetStale(this.#netfilter, changed, ip => this.#options.isOwn(ip));
    } catch (error) {
      this.#options.onRemembered(error);
    }
  }

  #isThere(): boolean {
    return this.#listed(BRIDGES) !== undefined;
  }

  #entries(set: string): readonly SetElement[] {
    return this.#listed(set) ?? [];
  }

  /** undefined where there is no such map, or the kernel has no nftables. */
  #listed(set: string): readonly SetElement[] | undefined {
    try {
      return this.#netfilter.elements({ table: this.#options.table, set });
    } catch (error) {
      if (isCode(error, 'ENOENT', ...WITHOUT_NFTABLES)) return undefined;
      throw error;
    }
  }

  get #isEmpty(): boolean {
    return this.#owned.size === 0;
  }

  #of(set: string): Elements {
    const elements = this.#wanted.get(set) ?? new Map<string, PortElement>();
    this.#wanted.set(set, elements);
    return elements;
  }

  /** False when the table is not there, or not as it should be. */
  #write(added: readonly PortElement[], gone: readonly PortElement[]): boolean {
    if (added.length + gone.length === 0) return true;
    if (this.#listing === undefined) return false;
    const { table } = this.#options;
    try {
      // An element that leads elsewhere now is first deleted.
      this.#netfilter.commit([...bySet(table, gone, deleteElements), ...bySet(table, added, addElements)]);
      this.#forget(added, gone);
      return true;
    } catch (error) {
      if (!isCode(error, 'ENOENT', 'EEXIST')) throw error;
      this.#listing = undefined;
      return false;
    }
  }

  async #replace(): Promise<void> {
    this.#listing = undefined;
    const elements = new Map(
      Array.from(this.#wanted, ([set, known]) => [set, Array.from(known.values(), ({ text }) => text)]),
    );
    const before = this.#present();
    await this.#nft(['-f', '-'], portScript(this.#options.table, elements));
    const listing = await this.#list();
    // Once only: the next one is what this nft makes of it.
    this.#isDoubtful = !this.#isDoubtful && !hasAllRules(listing);
    this.#listing = this.#isDoubtful ? undefined : listing;
    const wanted = Array.from(this.#wanted.values()).flatMap(known => [...known.values()]);
    const kept = new Set(wanted.map(elementId));
    // Without the table, datagrams went to this host itself.
    this.#forget(
      wanted,
      before.filter(element => !kept.has(elementId(element))),
    );
  }

  /** What others have changed, or what was stated while the table was written. */
  #reconcile(): void {
    for (const set of PORT_SETS) {
      const wanted = this.#of(set);
      const there = new Map(this.#entries(set).map(element => [elementKey(element), element]));
      const useless = Array.from(there.entries()).flatMap(([key, element]) => {
        const match = wanted.get(key);
        return match !== undefined && leadsAlike(match.element, element) ? [] : [element];
      });
      for (const element of useless) there.delete(elementKey(element));
      const missing = Array.from(wanted.values()).filter(({ element }) => !there.has(elementKey(element)));
      const name = { table: this.#options.table, set };
      // Each is a piece, and a socket sends no more at once.
      for (const change of deleteElements(name, useless)) this.#netfilter.commit([change]);
      for (const change of addElements(
        name,
        missing.map(({ element }) => element),
      ))
        this.#netfilter.commit([change]);
      this.#forget(
        missing,
        useless.map(element => ({ set, element })),
      );
    }
  }

  /** Rules, chains and sets without their elements. */
  async #list(): Promise<string> {
    const { stdout } = await this.#nft(['-t', 'list', 'table', 'inet', this.#options.table]);
    return comparable(stdout);
  }

  async #nft(args: readonly string[], input?: string) {
    const result = await runNft(this.#run, args, input === undefined ? {} : { input });
    if (result.status !== 0) throw refusalOf('nft', result);
    return result;
  }
}

/** The same id, the same element. */
const idOf = ({ set, text }: PortElement) => `${set} ${text}`;

function bySet(table: string, elements: readonly PortElement[], change: typeof addElements): Change[] {
  return Array.from(Map.groupBy(elements, ({ set }) => set)).flatMap(([set, those]) =>
    change(
      { table, set },
      those.map(({ element }) => element),
    ),
  );
}
