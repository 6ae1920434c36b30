/**
 * The entries that paths over one link want, in the tables of the link.
 *
 * Paths may be stated by the ten thousand in one call, so they are only kept then, and their entries are stated a
 * thousand peers at a time: nothing else on the event loop has to wait for all of them.
 */
import { setImmediate } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { Nexthop } from '../../netlink/route/objects.ts';
import type { DesiredPeer, PeerPath } from '../desired.ts';
import { type Repair, repairOf } from '../report.ts';
import { type EntryOwner, type NetworkRank, PROTOCOL } from '../tables/entry.ts';
import type { LinkTables } from '../tables/link-tables.ts';
import { type NexthopEntry, NexthopIds } from '../tables/nexthops.ts';
import type { AnyTableEntry, EntryReport } from '../tables/table-entry.ts';

/** A path that a peer of a network has. */
export interface OwnedPath {
  readonly network: NetworkRank;
  readonly peer: DesiredPeer;
  readonly path: PeerPath;
}

/** A path now, and as it was when its entries were stated last. */
interface Restatement {
  readonly network: NetworkRank;
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
  /** All paths over the device. */
  readonly paths: () => Iterable<OwnedPath>;
  readonly onRepair: (repair: Repair) => void;
}

export class PathEntries {
  readonly #link: string;
  readonly #tables: LinkTables;
  readonly #paths: PathEntriesOptions['paths'];
  readonly #onRepair: PathEntriesOptions['onRepair'];
  readonly #ids: NexthopIds;
  /** By network, peer and subnet. */
  readonly #restated = new Map<string, Restatement>();
  /** How many entries the paths of each network want. */
  readonly #wanted = new Map<NetworkRank, number>();
  #usesNexthops: boolean | undefined;

  constructor({ link, tables, paths, onRepair }: PathEntriesOptions) {
    this.#link = link;
    this.#tables = tables;
    this.#paths = paths;
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
  restate({ network, peer, path, before }: Restatement): void {
    if (!this.isReady) return;
    const key = `${network.rank} ${peer.key} ${(path ?? before)?.subnet}`;
    const earlier = this.#restated.get(key);
    this.#restated.set(key, { network, peer, path, before: earlier === undefined ? before : earlier.before });
  }

  /** States the entries of all paths that were stated, also meanwhile. */
  async stateAll(): Promise<void> {
    let count = 0;
    for (const [key, restatement] of this.#restated) {
      this.#restated.delete(key);
      this.#state(restatement);
      if (++count % PEERS_PER_TURN === 0) await setImmediate();
    }
  }

  /** Forgets what was stated and is not in the tables yet. */
  clear(): void {
    this.#restated.clear();
    this.#wanted.clear();
  }

  /** How many entries the paths of a network want. */
  wantedBy(network: NetworkRank): number {
    return this.#wanted.get(network) ?? 0;
  }

  /** How the entries of a path stand; nothing before the kernel was looked at. */
  inspect(owned: OwnedPath): EntryReport[] {
    return this.isReady ? this.#entriesOf(owned).map(entry => entry.inspect()) : [];
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
    this.clear();
    for (const owned of this.#paths()) this.restate({ ...owned, before: undefined });
    for (const loss of losses) this.#reportTaken(loss);
  }

  #state({ network, peer, path, before }: Restatement): void {
    const entries = path === undefined ? [] : this.#entriesOf({ network, peer, path });
    for (const entry of entries) entry.add();
    const formerEntries = before === undefined ? [] : this.#entriesOf({ network, peer, path: before });
    for (const former of formerEntries) {
      const isKept = entries.some(({ object, key }) => object === former.object && key === former.key);
      if (!isKept) former.remove();
    }
    this.#wanted.set(network, this.wantedBy(network) + entries.length - formerEntries.length);
  }

  #entriesOf({ network, peer, path }: OwnedPath): AnyTableEntry[] {
    const { tunnels, fdb, bridgeFdb, neighbors, nexthops, routes, commands } = this.#tables;
    const { subnet, underlayIp, entries } = path;
    const owner: EntryOwner = { network, link: this.#link, peer: peer.key, revision: peer.revision, subnet };
    return entries.flatMap((entry): AnyTableEntry[] => {
      switch (entry.kind) {
        case 'fdb': {
          const { mac, destination } = entry;
          return [fdb.entry({ owner, mac, destination, permanent: true })];
        }
        case 'bridge-fdb':
          return [bridgeFdb.entry({ owner, mac: entry.mac, isStatic: true })];
        case 'neighbor': {
          const { ip, mac } = entry;
          return [neighbors.entry({ owner, ip, mac, permanent: true })];
        }
        case 'tunnel': {
          const { kind: _, ...tunnel } = entry;
          return [tunnels.entry({ owner, ...tunnel })];
        }
        case 'command': {
          const { kind: _, ...command } = entry;
          return [commands.entry({ owner, ...command })];
        }
        case 'route': {
          const { destination, gateway, onlink = false, mtu, source } = entry;
          const stated = mtu === undefined && source === undefined ? {} : defined({ mtu, source });
          const route = { owner, destination, ownership: 'ours', onlink, underlayIp, ...stated } as const;
          if (gateway === undefined) return [routes.entry(route)];
          if (this.#usesNexthops !== true) return [routes.entry({ ...route, gateway })];
          const nexthopId = this.#ids.of(gateway, mtu);
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
        network: loss.owner?.network.name,
        peer: loss.owner?.peer,
        found: `nexthop id ${loss.id} taken by another program`,
        wanted: this.#tables.nexthops.text({ ...loss, id: this.#ids.of(loss.gateway) }),
      }),
    );
  }

  /** Keeps the numbers that wanted gateways have from before. */
  #adoptIds(ours: readonly Nexthop[]): void {
    const wanted = new Set<Ip['key']>();
    for (const { path } of this.#paths()) {
      for (const entry of path.entries) {
        const isNumbered = entry.kind === 'route' && entry.mtu === undefined;
        if (isNumbered && entry.gateway !== undefined) wanted.add(entry.gateway.key);
      }
    }
    for (const { id, gateway } of ours) {
      if (gateway !== undefined && wanted.has(gateway.key)) this.#ids.adopt(id, gateway);
    }
  }
}
