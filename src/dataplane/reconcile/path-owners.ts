/**
 * What the paths over one device come to: four entries each, claimed in the tables of the device.
 *
 * Paths may be stated by the ten thousand in one call, so they are only noted then, and claimed by and by: whoever
 * shares the event loop is not kept waiting.
 */
import { setImmediate } from 'node:timers/promises';
import type { Ip } from '../../base/ip.ts';
import type { Nexthop } from '../../netlink/route/objects.ts';
import type { DesiredPeer, PeerPath } from '../desired.ts';
import { type Repair, repairOf } from '../report.ts';
import { type EntryOwner, PROTOCOL } from '../tables/entry.ts';
import type { LinkTables } from '../tables/link-tables.ts';
import { type NexthopEntry, NexthopIds, nexthopKind } from '../tables/nexthops.ts';
import type { AnyStake, EntryReport } from '../tables/stake.ts';

/** A peer's path now, and as it was claimed last. */
interface Restatement {
  readonly peer: DesiredPeer;
  readonly path: PeerPath | undefined;
  readonly before: PeerPath | undefined;
}

/** Peers claimed in one go before other work gets its turn. */
const PEERS_PER_TURN = 1024;

export interface PathOwnersOptions {
  /** Name of the device. */
  readonly link: string;
  readonly tables: LinkTables;
  /** All peers with a path over the device, with that path. */
  readonly peers: () => Iterable<readonly [DesiredPeer, PeerPath]>;
  readonly onRepair: (repair: Repair) => void;
}

export class PathOwners {
  readonly #link: string;
  readonly #tables: LinkTables;
  readonly #peers: PathOwnersOptions['peers'];
  readonly #onRepair: PathOwnersOptions['onRepair'];
  readonly #ids: NexthopIds;
  /** By peer and subnet. */
  readonly #restated = new Map<string, Restatement>();
  #usesNexthops: boolean | undefined;

  constructor({ link, tables, peers, onRepair }: PathOwnersOptions) {
    this.#link = link;
    this.#tables = tables;
    this.#peers = peers;
    this.#onRepair = onRepair;
    this.#ids = new NexthopIds(link);
  }

  /** Whether paths can be claimed: not before it is known which next hops the kernel has. */
  get isReady(): boolean {
    return this.#usesNexthops !== undefined;
  }

  /** Whether all that was stated has been claimed. */
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

  /** EntryOwners what was stated, also meanwhile. */
  async owner(): Promise<void> {
    let count = 0;
    for (const [key, { peer, path, before }] of this.#restated) {
      this.#restated.delete(key);
      this.#owner(peer, path, before);
      if (++count % PEERS_PER_TURN === 0) await setImmediate();
    }
  }

  /** How the entries of a path stand; nothing before the kernel was looked at. */
  inspect(peer: DesiredPeer, path: PeerPath): EntryReport[] {
    return this.isReady ? this.#stakes(peer, path).map(stake => stake.inspect()) : [];
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
    this.#tables.releaseAll();
    this.#restated.clear();
    for (const [peer, path] of this.#peers()) this.restate(peer, path, undefined);
    for (const loss of losses) this.#reportTaken(loss);
  }

  #owner(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    const stakes = path === undefined ? [] : this.#stakes(peer, path);
    for (const stake of stakes) stake.owner();
    if (before === undefined) return;
    for (const [index, stake] of this.#stakes(peer, before).entries()) {
      if (stakes[index]?.key !== stake.key) stake.release();
    }
  }

  /** Always in the same order of tables. */
  #stakes(peer: DesiredPeer, { subnet, gateway, mac, underlayIp }: PeerPath): AnyStake[] {
    const { fdb, neighbors, nexthops, routes } = this.#tables;
    const owner: EntryOwner = { peer: peer.key, revision: peer.revision, subnet };
    const stakes: AnyStake[] = [
      fdb.stake({ owner, mac, destination: underlayIp, permanent: true }),
      neighbors.stake({ owner, ip: gateway, mac, permanent: true }),
    ];
    const route = { owner, destination: subnet, standing: 'ours', gateway, underlayIp } as const;
    if (this.#usesNexthops === true) {
      const id = this.#ids.of(gateway);
      stakes.push(
        nexthops.stake({ owner, id, gateway, onlink: true, protocol: PROTOCOL }),
        routes.stake({ ...route, nexthopId: id }),
      );
    } else stakes.push(routes.stake(route));
    return stakes;
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
    for (const [, { gateway }] of this.#peers()) wanted.add(gateway.key);
    for (const { id, gateway } of ours) {
      if (gateway !== undefined && wanted.has(gateway.key)) this.#ids.adopt(id, gateway);
    }
  }
}
