/**
 * Keeps strangers out of the tunnel: the table of table.ts in the kernel, stated as a whole and compared. What its sets hold
 * is written over netlink, at once and without a program: a new peer may send before anything else is made for it.
 */

import { formatHex } from '../../base/bytes.ts';
import { isCode } from '../../base/errors.ts';
import { Ip } from '../../base/ip.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Netfilter } from '../../netlink/netfilter/connect.ts';
import { addElements, deleteElements, flushSet } from '../../netlink/netfilter/set.ts';
import type { Change } from '../../netlink/protocol.ts';
import { run as runProgram } from '../../sys/process.ts';
import { type RunProgram, refusalOf } from '../engine.ts';
import { runNft } from '../nft.ts';
import { parseTables } from '../nftables/table.ts';
import {
  type BlockSet,
  blockSetsFor,
  elementsOf,
  refusedOf,
  type SenderElement,
  sendersOf,
} from './elements.ts';
import type { RefusedSenders, Sender, SenderPolicy } from './policy.ts';
import {
  ALIVE,
  ALIVE_KEY,
  COUNTERS,
  comparable,
  type SenderTable,
  senderScript,
  senderTableName,
  senderTablesOf,
} from './table.ts';

export interface SenderFilterOptions {
  readonly netfilter: Pick<Netfilter, 'commit' | 'elements' | 'counters'>;
  /** Networks that this host has or had: their tables are ours. */
  readonly networks: () => readonly Prefix[];
  readonly run?: RunProgram;
}

/** An element, and how many hosts want it: two may have one address by mistake. */
interface Counted {
  readonly element: SenderElement;
  hosts: number;
}

export class SenderFilter {
  readonly #options: SenderFilterOptions;
  readonly #run: RunProgram;
  readonly #senders = new Map<string, readonly SenderElement[]>();
  /** By set and key. */
  readonly #wanted = new Map<string, Map<string, Counted>>();
  readonly #blockSets = new Map<string, BlockSet>();
  /** The table as it was written, and what nft lists of it; undefined while the kernel may have another one. */
  #listed:
    | {
        readonly name: string;
        readonly script: string;
        readonly sets: ReadonlySet<string>;
        readonly listing: string;
      }
    | undefined;

  constructor(options: SenderFilterOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
  }

  /**
   * A host may send, or no longer. Where the table is in place the kernel knows it when this returns.
   * @returns whether `apply` is needed for it
   */
  set(key: string, sender: Sender | undefined): boolean {
    const before = this.#senders.get(key) ?? [];
    const now = sender === undefined ? [] : elementsOf(sender);
    if (now.length === 0) this.#senders.delete(key);
    else this.#senders.set(key, now);
    // First what is added, so that what stays is never deleted.
    const added = now.filter(element => this.#count(element, 1));
    const gone = before.filter(element => this.#count(element, -1));
    if (added.length === 0 && gone.length === 0) return false;
    return !this.#write(added, gone);
  }

  /**
   * Makes the kernel have the table as it should be, and lets it live on.
   *
   * @param policy undefined for no filter
   * @throws FirewallError, NetlinkError, SysError
   */
  async apply(policy: SenderPolicy | undefined): Promise<void> {
    for (const set of valuesOf(policy?.subnets ?? {}).flatMap(blockSetsFor))
      this.#blockSets.set(set.name, set);
    const name = policy && senderTableName(policy.networks);
    const there = parseTables((await this.#nft(['list', 'tables'])).stdout);
    for (const other of senderTablesOf(there, this.#options.networks()))
      if (other !== `inet ${name}`) await this.#nft(['delete', 'table', ...other.split(' ')]);
    if (policy === undefined || name === undefined) {
      this.#listed = undefined;
      return;
    }
    const script = senderScript(this.#table(policy, name));
    const isSame = this.#listed?.script === script && there.includes(`inet ${name}`);
    if (!isSame || (await this.#list(name)) !== this.#listed?.listing) await this.#replace(policy, name);
    this.#reconcile(name);
    this.#options.netfilter.commit([
      flushSet({ table: name, set: ALIVE }),
      ...addElements({ table: name, set: ALIVE }, [ALIVE_KEY]),
    ]);
  }

  /** undefined while there is no filter. @throws NetlinkError, SysError */
  refused(): RefusedSenders | undefined {
    const { netfilter } = this.#options;
    const table = this.#listed?.name;
    if (table === undefined) return undefined;
    try {
      const counters = netfilter.counters(table);
      const recent = [refusedOf('ipv4'), refusedOf('ipv6')].flatMap(set =>
        netfilter.elements({ table, set }),
      );
      return {
        strangers: Number(counters.get(COUNTERS.strangers) ?? 0),
        sources: Number(counters.get(COUNTERS.sources) ?? 0),
        recent: recent.map(({ key }) => Ip.fromBytes(key)).sort((a, b) => a.compare(b)),
      };
    } catch (error) {
      // Another program has removed it, and it is on its way back.
      if (isCode(error, 'ENOENT', 'DUMP_INTERRUPTED')) return undefined;
      throw error;
    }
  }

  /** @returns whether this is the first host, or the last one, that wants it */
  #count(element: SenderElement, change: 1 | -1): boolean {
    const { set, blocks } = element;
    if (blocks !== undefined) this.#blockSets.set(set, blocks);
    const elements = this.#wanted.get(set) ?? new Map<string, Counted>();
    this.#wanted.set(set, elements);
    const key = formatHex(element.key);
    const counted = elements.get(key) ?? { element, hosts: 0 };
    counted.hosts += change;
    if (counted.hosts === 0) elements.delete(key);
    else elements.set(key, counted);
    return counted.hosts === (change === 1 ? 1 : 0);
  }

  /** False when the table is not there, or does not have all of the sets. */
  #write(added: readonly SenderElement[], gone: readonly SenderElement[]): boolean {
    const { name: table, sets } = this.#listed ?? {};
    if (table === undefined || ![...added, ...gone].every(({ set }) => sets?.has(set))) return false;
    const changes = [
      ...bySet(added, (set, keys) => addElements({ table, set }, keys)),
      ...bySet(gone, (set, keys) => deleteElements({ table, set }, keys)),
    ];
    try {
      this.#options.netfilter.commit(changes);
      return true;
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      this.#listed = undefined;
      return false;
    }
  }

  async #replace(policy: SenderPolicy, name: string): Promise<void> {
    this.#listed = undefined;
    const { netfilter } = this.#options;
    const elements = new Map(
      Array.from(this.#wanted, ([set, known]) => [
        set,
        Array.from(known.values(), ({ element }) => element.text),
      ]),
    );
    const table = this.#table(policy, name);
    const sets = new Set(this.#setNames());
    const counted = netfilter.counters(name);
    await this.#nft(['-f', '-'], senderScript({ ...table, elements, counted }));
    this.#listed = { name, script: senderScript(table), sets, listing: await this.#list(name) };
  }

  /** What the sets hold, which other programs may have changed, or peers since it was written. */
  #reconcile(table: string): void {
    const { netfilter } = this.#options;
    for (const set of this.#setNames()) {
      const wanted = this.#wanted.get(set) ?? new Map<string, Counted>();
      const there = new Map(netfilter.elements({ table, set }).map(({ key }) => [formatHex(key), key]));
      const missing = Array.from(wanted).flatMap(([key, { element }]) =>
        there.has(key) ? [] : [element.key],
      );
      const useless = Array.from(there).flatMap(([key, bytes]) => (wanted.has(key) ? [] : [bytes]));
      const changes = [...addElements({ table, set }, missing), ...deleteElements({ table, set }, useless)];
      // Each is a piece, and a socket sends no more at once.
      for (const change of changes) netfilter.commit([change]);
    }
  }

  #setNames(): string[] {
    return [sendersOf('ipv4'), sendersOf('ipv6'), ...this.#blockSets.keys()];
  }

  /** What tells one table from another: nothing of what its sets and counters hold. */
  #table(policy: SenderPolicy, name: string): SenderTable {
    const blockSets = [...this.#blockSets.values()];
    return { name, policy, blockSets, elements: new Map(), counted: new Map() };
  }

  /** Rules, chains and sets without their elements. */
  async #list(name: string): Promise<string> {
    const { stdout } = await this.#nft(['-t', 'list', 'table', 'inet', name]);
    return comparable(stdout);
  }

  async #nft(args: readonly string[], input?: string) {
    const result = await runNft(this.#run, args, input === undefined ? {} : { input });
    if (result.status !== 0) throw refusalOf('nft', result);
    return result;
  }
}

function bySet(
  elements: readonly SenderElement[],
  change: (set: string, keys: readonly Uint8Array[]) => readonly Change[],
): Change[] {
  const sets = Map.groupBy(elements, ({ set }) => set);
  return Array.from(sets).flatMap(([set, those]) =>
    change(
      set,
      those.map(({ key }) => key),
    ),
  );
}
