/**
 * The entries that paths over one link want, in the tables of the link.
 *
 * Paths may be stated by the ten thousand in one call, so they are only kept then, and their entries are stated a
 * thousand peers at a time: nothing else on the event loop has to wait for all of them.
 */
import { setImmediate } from 'node:timers/promises';
import type { Ip } from '../../base/ip.ts';
import type { Nexthop } from '../../netlink/route/objects.ts';
import type { DesiredPeer, PeerPath } from '../desired.ts';
import { type Repair, repairOf } from '../report.ts';
import { type EntryOwner, PROTOCOL } from '../tables/entry.ts';
import type { LinkTables } from '../tables/link-tables.ts';
import { type NexthopEntry, NexthopIds, nexthopKind } from '../tables/nexthops.ts';
import type { AnyTableEntry, EntryReport } from '../tables/table-entry.ts';

/** A peer's path now, and as it was when its entries were stated last. */
interface Restatement {
  readonly peer: DesiredPeer;
  readonly path: PeerPath | undefined;
  readonly before: PeerPath | undefined;
}

/** Peers whose entries are stated before other work gets its turn. */
const PEERS_PER_TURN = 1024;

export interface PathEntriesOptions {
  /** Name of the device. */
  readonly link: string;
  readonly tables: LinkTables;
  /** All peers with a path over the device, with that path. */
  readonly peers: () => Iterable<readonly [DesiredPeer, PeerPath]>;
  readonly onRepair: (repair: Repair) => void;
}

export class PathEntries {
  readonly #link: string;
  readonly #tables: LinkTables;
  readonly #peers: PathEntriesOptions['peers'];
  readonly #onRepair: PathEntriesOptions['onRepair'];
  readonly #ids: NexthopIds;
  /** By peer and subnet. */
  readonly #restated = new Map<string, Restatement>();
  #usesNexthops: boolean | undefined;

  constructor({ link, tables, peers, onRepair }: PathEntriesOptions) {
    this.#link = link;
    this.#tables = tables;
    this.#peers = peers;
    this.#onRepair = onRepair;
    this.#ids = new NexthopIds(link);
  }

  /** Whether entries can be stated: not before it is known which next hops the kernel has. */
  get isReady(): boolean {
    return this.#usesNexthops !== undefined;
  }

  /** Whether the entries of all paths are stated. */
  get isDone(): boolean {
    return this.#restated.size === 0;
  }

  /** States a peer's path, in the place of what it was. */
  restate(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    if (!this.isReady) return;
    const key = `${peer.key} ${(path ?? before)?.subnet}`;
    const earlier = this.#restated.get(key);
    this.#restated.set(key, { peer, path, before: earlier === undefined ? before : earlier.before });
  }

  /** States the entries of all paths that were stated, also meanwhile. */
  async stateAll(): Promise<void> {
    let count = 0;
    for (const [key, { peer, path, before }] of this.#restated) {
      this.#restated.delete(key);
      this.#state(peer, path, before);
      if (++count % PEERS_PER_TURN === 0) await setImmediate();
    }
  }

  /** Forgets what was stated and is not in the tables yet. */
  clear(): void {
    this.#restated.clear();
  }

  /** How the entries of a path stand; nothing before the kernel was looked at. */
  inspect(peer: DesiredPeer, path: PeerPath): EntryReport[] {
    return this.isReady ? this.#entriesOf(peer, path).map(entry => entry.inspect()) : [];
  }

  /**
   * Learns which numbers of next hops are ours and which are not, and states everything anew when that changes what is
   * wanted. @param ours undefined where the kernel has no next hop objects, or they are not to be used.
   */
  takeNexthops(ours: readonly Nexthop[] | undefined, foreign: Iterable<number>): void {
    const losses = this.#ids.avoid(foreign).flatMap(id => this.#tables.nexthops.desired(id) ?? []);
    const isFirst = !this.isReady;
    if (isFirst) this.#adoptIds(ours ?? []);
    const usesNexthops = ours !== undefined;
    if (losses.length === 0 && usesNexthops === this.#usesNexthops) return;
    this.#usesNexthops = usesNexthops;
    this.#tables.removeAll();
    this.#restated.clear();
    for (const [peer, path] of this.#peers()) this.restate(peer, path, undefined);
    for (const loss of losses) this.#reportTaken(loss);
  }

  #state(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    const entries = path === undefined ? [] : this.#entriesOf(peer, path);
    for (const entry of entries) entry.add();
    if (before === undefined) return;
    for (const former of this.#entriesOf(peer, before)) {
      const isKept = entries.some(({ object, key }) => object === former.object && key === former.key);
      if (!isKept) former.remove();
    }
  }

  #entriesOf(peer: DesiredPeer, { subnet, underlayIp, entries }: PeerPath): AnyTableEntry[] {
    const { fdb, neighbors, nexthops, routes } = this.#tables;
    const owner: EntryOwner = { peer: peer.key, revision: peer.revision, subnet };
    return entries.flatMap((entry): AnyTableEntry[] => {
      switch (entry.kind) {
        case 'fdb': {
          const { mac, destination } = entry;
          return [fdb.entry({ owner, mac, destination, permanent: true })];
        }
        case 'neighbor': {
          const { ip, mac } = entry;
          return [neighbors.entry({ owner, ip, mac, permanent: true })];
        }
        case 'route': {
          const { destination, gateway, onlink = false } = entry;
          const route = { owner, destination, ownership: 'ours', onlink, underlayIp } as const;
          if (gateway === undefined) return [routes.entry(route)];
          if (this.#usesNexthops !== true) return [routes.entry({ ...route, gateway })];
          const nexthopId = this.#ids.of(gateway);
          return [
            nexthops.entry({ owner, id: nexthopId, gateway, onlink, protocol: PROTOCOL }),
            routes.entry({ ...route, gateway, nexthopId }),
          ];
        }
      }
    });
  }

  #reportTaken(loss: NexthopEntry): void {
    if (loss.gateway === undefined) return;
    this.#onRepair(
      repairOf({
        cause: 'drift',
        object: 'nexthop',
        link: this.#link,
        peer: loss.owner?.peer,
        found: `nexthop id ${loss.id} taken by another program`,
        wanted: nexthopKind.text(this.#link, { ...loss, id: this.#ids.of(loss.gateway) }),
      }),
    );
  }

  /** Keeps the numbers that wanted gateways have from before. */
  #adoptIds(ours: readonly Nexthop[]): void {
    const wanted = new Set<Ip['key']>();
    for (const [, { entries }] of this.#peers()) {
      for (const entry of entries) {
        if (entry.kind === 'route' && entry.gateway !== undefined) wanted.add(entry.gateway.key);
      }
    }
    for (const { id, gateway } of ours) {
      if (gateway !== undefined && wanted.has(gateway.key)) this.#ids.adopt(id, gateway);
    }
  }
}
