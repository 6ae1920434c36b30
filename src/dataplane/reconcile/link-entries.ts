/** The entries of one link: those of the kernel's tables and of the stores, and the paths that want them. */
import { isDeepStrictEqual } from 'node:util';
import type { KernelEvent, Rtnetlink } from '../../netlink/route/rtnetlink.ts';
import { type DesiredLink, NO_MASTER } from '../desired-link.ts';
import type { BoundLink } from '../links/host.ts';
import type { Device, NetworkRank } from '../tables/entry.ts';
import { LinkTables, type TablesEnvironment } from '../tables/link-tables.ts';
import type { StoreLoss } from '../tables/store.ts';
import type { EntryFailure, EntryReport } from '../tables/table-entry.ts';
import type { Write } from '../tables/write.ts';
import { KernelTables } from './kernel-tables.ts';
import { type OwnedPath, PathEntries } from './path-entries.ts';

export interface LinkEntriesOptions {
  readonly name: string;
  /** All paths over this device. */
  readonly paths: () => Iterable<OwnedPath>;
  readonly environment: TablesEnvironment;
}

export class LinkEntries {
  readonly name: string;
  readonly #tables: LinkTables;
  readonly #paths: PathEntries;
  readonly #kernel: KernelTables;
  #device: Device | undefined;

  constructor({ name, paths, environment }: LinkEntriesOptions) {
    this.name = name;
    this.#tables = new LinkTables(name, environment, reason => this.markStale(reason));
    this.#paths = new PathEntries({
      link: name,
      tables: this.#tables,
      paths,
      onRepair: environment.onRepair,
    });
    this.#kernel = new KernelTables(this.#tables, this.#paths);
  }

  get index(): number | undefined {
    return this.#device?.index;
  }

  /** Whether a table is to be read now. */
  get isStale(): boolean {
    if (this.#device === undefined) return false;
    return this.#kernel.isStale || this.#tables.stored.some(table => table.staleReason !== undefined);
  }

  /** Whether there is something to do about it now. */
  isDue(): boolean {
    if (this.#device === undefined) return false;
    return this.#kernel.isStale || !this.#paths.isDone || this.#tables.isDue();
  }

  get wanted(): number {
    return this.#tables.wanted;
  }

  get failed(): number {
    return this.#tables.failed;
  }

  get inSync(): boolean {
    return this.#device !== undefined && !this.#kernel.isStale && this.#paths.isDone && this.#tables.inSync;
  }

  get nextRetry(): number | undefined {
    return this.#tables.nextRetry;
  }

  failures(): Generator<EntryFailure> {
    return this.#tables.failures();
  }

  /** What the paths of a network want. */
  wantedBy(network: NetworkRank): number {
    return this.#paths.wantedBy(network);
  }

  /** Whether everything that a network wants is written or has failed. */
  isDoneFor(network: NetworkRank): boolean {
    if (this.wantedBy(network) === 0 && this.#paths.isDone) return true;
    const isRead = this.#device !== undefined && !this.#kernel.isStale && this.#paths.isDone;
    return isRead && this.#tables.isDoneFor(network.name);
  }

  /** Whether it is the device that is known, and has the tables that were ours then. */
  isBoundTo({ index, desired }: BoundLink): boolean {
    return this.#device?.index === index && isDeepStrictEqual(this.#device.owns, ownTables(desired));
  }

  /** The device is there, under this index, and may have lost entries unannounced. */
  bind({ index, desired }: BoundLink): void {
    this.#device = { name: this.name, index, owns: ownTables(desired) };
    this.#tables.forgetActual();
    this.#kernel.start(this.name);
  }

  /** The device is gone, and everything with it. */
  unbind(): void {
    this.#device = undefined;
    this.#tables.forgetActual();
  }

  /** The kernel's tables are to be read again. */
  markStale(reason: string): void {
    this.#kernel.markStale(reason);
  }

  /** Everything is to be read again. @param eventsLost announcements were lost, of what others did too. */
  markAllStale(reason: string, eventsLost: boolean): void {
    if (eventsLost) this.#kernel.noteLostEvents();
    this.markStale(reason);
    for (const table of this.#tables.stored) table.markStale({ reason, isEmpty: false });
  }

  /** A store has lost entries of this device. */
  markStored(object: string, loss: StoreLoss): void {
    for (const table of this.#tables.stored) if (table.object === object) table.markStale(loss);
  }

  /** States a peer's path over this device, in the place of what it was. */
  restate(...[change]: Parameters<PathEntries['restate']>): void {
    this.#paths.restate(change);
  }

  /** The device is none of ours any more, and nothing of its entries is known. */
  forget(): void {
    this.unbind();
    this.removeAll();
  }

  /** No path wants anything here any more. */
  removeAll(): void {
    this.#paths.clear();
    this.#tables.removeAll();
  }

  /** States the entries of the paths that were stated. */
  async stateAll(): Promise<void> {
    await this.#paths.stateAll();
  }

  /** Takes an event. True when it contradicts what is known. */
  observe(event: KernelEvent): boolean {
    return this.#device !== undefined && this.#kernel.observe(event, this.#device);
  }

  /** Compares the pending events with what is known. The notification socket must have been read empty after the last acknowledgement. */
  processPending(): void {
    this.#kernel.processPending();
  }

  /** Compares what is stale with the kernel and the stores. The socket of the kernel's announcements must have been read empty. */
  async resync(rtnetlink: Rtnetlink, usesNexthops: boolean): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    if (this.#kernel.isStale) await this.#kernel.resync(rtnetlink, usesNexthops, device);
    for (const table of this.#tables.stored) if (table.staleReason !== undefined) await table.read(device);
  }

  /** One iterable per table. */
  additions(): Iterable<Write>[] {
    return this.#device === undefined ? [] : this.#tables.additions(this.#device);
  }

  /** One iterable per table. */
  removals(): Iterable<Write>[] {
    return this.#device === undefined ? [] : this.#tables.removals(this.#device);
  }

  /** What a path comes to; nothing before the kernel was looked at. */
  inspect(owned: OwnedPath): EntryReport[] {
    return this.#paths.inspect(owned);
  }
}

/**
 * The kernel has permanent FDB entries of its own on links of every kind but vxlan, and there too where it has a default
 * destination.
 */
function ownTables(desired: DesiredLink): Device['owns'] {
  const fdb = desired.kind === 'vxlan' && desired.remote === undefined;
  const isOurs = desired.kind !== 'existing';
  const bridgeFdb =
    desired.kind !== 'existing' && desired.master !== undefined && desired.master !== NO_MASTER;
  return { fdb, bridgeFdb, neighbors: isOurs, routes: isOurs };
}
