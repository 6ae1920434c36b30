/**
 * One tunnel device with its four tables: the entries that the paths over this device come to, and the comparison
 * of all of them with the kernel.
 *
 * Entries are added from the far end of the packet's way to the near one (FDB, neighbor, next hop, route) and removed
 * in the other direction, so that no packet is sent into a way that is not complete.
 */
import type { Ip } from '../base/ip.ts';
import { RT_TABLE_MAIN } from '../netlink/constants.ts';
import type { Nexthop } from '../netlink/objects.ts';
import type { KernelEvent, ListReader, Rtnetlink } from '../netlink/rtnetlink.ts';
import type { DesiredPeer, PeerPath } from './desired.ts';
import { type Claim, type Device, type Entry, PROTOCOL } from './entry.ts';
import { fdbEntry, fdbKind, type TunnelFdbEntry } from './fdb.ts';
import { type NeighborEntry, neighborEntry, neighborKind } from './neighbors.ts';
import { isOurNexthop, type NexthopEntry, NexthopIds, nexthopEntry, nexthopKind } from './nexthops.ts';
import { type Repair, type RepairCause, repairOf } from './report.ts';
import { RouteReader } from './route-reader.ts';
import { isComparable, type RouteEntry, routeEntry, routeKind } from './routes.ts';
import type { AnyStake, StakeReport } from './stake.ts';
import { type AnyTable, Table, type TableEnvironment } from './table.ts';
import type { Write } from './write.ts';

export interface TunnelOptions {
  readonly name: string;
  /** All peers with a path over this device, with that path. */
  readonly peers: () => Iterable<readonly [DesiredPeer, PeerPath]>;
  readonly environment: Omit<TableEnvironment, 'onDoubt'>;
}

export class Tunnel {
  readonly name: string;
  readonly #peers: TunnelOptions['peers'];
  readonly #onRepair: (repair: Repair) => void;
  readonly #fdb: Table<TunnelFdbEntry>;
  readonly #neighbors: Table<NeighborEntry>;
  readonly #nexthops: Table<NexthopEntry>;
  readonly #routes: Table<RouteEntry>;
  /** In the order of additions. */
  readonly #tables: readonly AnyTable[];
  readonly #ids: NexthopIds;
  #device: Device | undefined;
  /** Whether the tables know what is wanted: not before it is known which next hops the kernel has. */
  #isStated = false;
  #usesNexthops = true;
  /** Others have something under a number or to a destination of ours. */
  #isContested = false;
  /** Why only a dump can tell what the kernel holds. */
  #doubt: { readonly reason: string; readonly cause: RepairCause } | undefined;

  constructor({ name, peers, environment }: TunnelOptions) {
    this.name = name;
    this.#peers = peers;
    this.#onRepair = environment.onRepair;
    this.#ids = new NexthopIds(name);
    const full = { ...environment, onDoubt: (reason: string) => this.doubt(reason) };
    this.#fdb = new Table(fdbKind, name, full);
    this.#neighbors = new Table(neighborKind, name, full);
    this.#nexthops = new Table(nexthopKind, name, full);
    this.#routes = new Table(routeKind, name, full);
    this.#tables = [this.#fdb, this.#neighbors, this.#nexthops, this.#routes];
  }

  get index(): number | undefined {
    return this.#device?.index;
  }

  get doubted(): string | undefined {
    return this.#device === undefined ? undefined : this.#doubt?.reason;
  }

  /** Whether there is something to do about it now. */
  isDue(): boolean {
    if (this.#device === undefined) return false;
    return this.#doubt !== undefined || this.#tables.some(table => table.isDue());
  }

  get wanted(): number {
    return this.#sum(table => table.wanted);
  }

  get failed(): number {
    return this.#sum(table => table.failed);
  }

  get inSync(): boolean {
    return (
      this.#device !== undefined && this.#doubt === undefined && this.#tables.every(table => table.inSync)
    );
  }

  get nextRetry(): number | undefined {
    const times = this.#tables.map(table => table.nextRetry).filter(time => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  *failures(): Generator<string> {
    for (const table of this.#tables) yield* table.failures();
  }

  /** The device is there, under this index, and may have lost entries unannounced. */
  bind(index: number): void {
    this.#device = { name: this.name, index };
    for (const table of this.#tables) table.forgetActual();
    this.#doubt = { reason: `${this.name} was set up`, cause: 'start' };
  }

  /** The device is gone, and everything with it. */
  unbind(): void {
    this.#device = undefined;
    for (const table of this.#tables) table.forgetActual();
  }

  doubt(reason: string): void {
    // Always a new one: a comparison that is under way does not dispel it.
    this.#doubt = { reason, cause: 'drift', ...this.#doubt };
  }

  /** States a peer's path over this device, in the place of what it was. */
  restate(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    if (!this.#isStated) return;
    const stakes = path === undefined ? [] : this.#stakes(peer, path);
    for (const stake of stakes) stake.claim();
    if (before === undefined) return;
    for (const [index, stake] of this.#stakes(peer, before).entries()) {
      if (stakes[index]?.key !== stake.key) stake.release();
    }
  }

  /**
   * The wanted route takes the place of the one that another device of ours has for the same subnet, in one step:
   * there is no moment without a route.
   */
  replaceRouteOf(other: Tunnel, { subnet }: PeerPath): void {
    const found = other.#routes.actual(subnet.key);
    if (found !== undefined && this.#isStated)
      this.#routes.suppose(subnet.key, { ...found, standing: 'adoptable' });
  }

  /** Notes an announcement. True when it contradicts what is believed. */
  note(event: KernelEvent): boolean {
    const device = this.#device;
    if (device === undefined) return false;
    switch (event.type) {
      case 'neighbor': {
        if (event.neighbor.index !== device.index) return false;
        return this.#neighbors.note(neighborEntry(event.neighbor), event.gone);
      }
      case 'fdb': {
        if (event.entry.index !== device.index) return false;
        return this.#fdb.note(fdbEntry(event.entry), event.gone);
      }
      case 'nexthop': {
        const { nexthop } = event;
        if (!isOurNexthop(nexthop, device)) {
          if (this.#nexthops.desired(nexthop.id) === undefined) return false;
          this.#isContested = true;
        }
        return this.#nexthops.note(nexthopEntry(nexthop), event.gone);
      }
      case 'route': {
        if (!isComparable(event.route)) return false;
        const entry = this.#routeEntry(event.route, device);
        if (entry.standing === 'foreign' && this.#routes.isHeld(event.route.destination.key)) {
          // It may stand in the place of ours, before it or behind it: only a dump tells.
          this.#isContested = true;
          this.doubt(`${entry.description ?? 'another route'} came or went`);
          return true;
        }
        return this.#routes.note(entry, event.gone);
      }
      case 'link':
      case 'address':
      case 'rule':
      case 'netconf':
      case 'overrun':
      case 'idle':
        return false;
    }
  }

  /** Weighs the notes. The notification socket must have been read empty after the last acknowledgement. */
  believe(): void {
    this.#fdb.believe();
    this.#neighbors.believe();
    // The kernel removes the routes of a next hop together with it, and says nothing of them.
    if (this.#nexthops.believe() > 0) this.doubt('next hops were changed');
    this.#routes.believe();
  }

  /** Compares everything with the kernel. The socket of its announcements must have been read empty. */
  async resync(rtnetlink: Rtnetlink, usesNexthops: boolean): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    const doubt = this.#doubt;
    const cause = doubt?.cause ?? 'drift';
    const link = { index: device.index };
    const ofLink = { oif: device.index };
    // What others have in the way is only looked for where it may be; else they may have much, and we do not look.
    const isAlone =
      this.#isStated && !this.#isContested && this.#nexthops.failed === 0 && this.#routes.failed === 0;
    this.#isContested = false;
    if (isAlone) {
      const entry = (nexthop: Nexthop) => (isOurNexthop(nexthop, device) ? nexthopEntry(nexthop) : undefined);
      await this.#compare(this.#nexthops, cause, reader => rtnetlink.nexthops.read(ofLink, reader), entry);
    } else {
      const ours = this.#takeNexthops(usesNexthops ? await rtnetlink.nexthops.list() : undefined, device);
      this.#nexthops.beginDump();
      for (const nexthop of ours) this.#nexthops.found(nexthopEntry(nexthop), cause);
      this.#nexthops.endDump(cause);
    }
    await this.#compare(this.#fdb, cause, reader => rtnetlink.fdb.read(link, reader), fdbEntry);
    await this.#compare(
      this.#neighbors,
      cause,
      reader => rtnetlink.neighbors.read(link, reader),
      neighborEntry,
    );
    const filter = { table: RT_TABLE_MAIN, ...(isAlone ? ofLink : {}) };
    await rtnetlink.routes.read(
      filter,
      new RouteReader(this.#routes, cause, route => this.#routeEntry(route, device)),
    );
    this.#routes.endDump(cause);
    // Only now it is dispelled: a dump that fails leaves it, and one that arose meanwhile stays.
    if (this.#doubt === doubt) this.#doubt = undefined;
  }

  /** Table by table. */
  additions(): Iterable<Write>[] {
    const device = this.#device;
    return device === undefined ? [] : this.#tables.map(table => table.additions(device));
  }

  /** Table by table. */
  removals(): Iterable<Write>[] {
    const device = this.#device;
    return device === undefined ? [] : this.#tables.toReversed().map(table => table.removals(device));
  }

  /** What a path comes to; nothing before the kernel was looked at. */
  inspect(peer: DesiredPeer, path: PeerPath): StakeReport[] {
    return this.#isStated ? this.#stakes(peer, path).map(stake => stake.inspect()) : [];
  }

  #sum(count: (table: AnyTable) => number): number {
    return this.#tables.reduce((sum, table) => sum + count(table), 0);
  }

  async #compare<Item, Value extends Entry>(
    table: Table<Value>,
    cause: RepairCause,
    read: (reader: ListReader<Item>) => Promise<void>,
    entry: (item: Item) => Value | undefined,
  ): Promise<void> {
    await read({
      begin: () => table.beginDump(),
      each(item) {
        const found = entry(item);
        if (found !== undefined) table.found(found, cause);
      },
    });
    table.endDump(cause);
  }

  /** In the order of the tables. */
  #stakes(peer: DesiredPeer, { subnet, gateway, mac, underlayIp }: PeerPath): AnyStake[] {
    const claim: Claim = { peer: peer.key, revision: peer.revision };
    const fdb = { claim, mac, destination: underlayIp, permanent: true };
    const stakes: AnyStake[] = [
      this.#fdb.stake(fdb),
      this.#neighbors.stake({ claim, ip: gateway, mac, permanent: true }),
    ];
    const route = { claim, destination: subnet, standing: 'ours', gateway, underlayIp } as const;
    if (this.#usesNexthops) {
      const id = this.#ids.of(gateway);
      stakes.push(
        this.#nexthops.stake({ claim, id, gateway, onlink: true, protocol: PROTOCOL }),
        this.#routes.stake({ ...route, nexthopId: id }),
      );
    } else stakes.push(this.#routes.stake(route));
    return stakes;
  }

  /** Learns which numbers are ours and which are not, and states everything anew when that changes what is wanted. */
  #takeNexthops(nexthops: readonly Nexthop[] | undefined, device: Device): readonly Nexthop[] {
    const ours = (nexthops ?? []).filter(nexthop => isOurNexthop(nexthop, device));
    const displaced = this.#ids.avoid(
      (nexthops ?? []).filter(nexthop => !isOurNexthop(nexthop, device)).map(({ id }) => id),
    );
    if (!this.#isStated) this.#adoptIds(ours);
    const losses = displaced.flatMap(id => this.#nexthops.desired(id) ?? []);
    const usesNexthops = nexthops !== undefined;
    if (this.#isStated && displaced.length === 0 && usesNexthops === this.#usesNexthops) return ours;
    this.#usesNexthops = usesNexthops;
    this.#isStated = true;
    for (const table of this.#tables) table.releaseAll();
    for (const [peer, path] of this.#peers()) this.restate(peer, path, undefined);
    for (const loss of losses) this.#tellTaken(loss);
    return ours;
  }

  #tellTaken(loss: NexthopEntry): void {
    if (loss.gateway === undefined) return;
    this.#onRepair(
      repairOf({
        cause: 'drift',
        object: 'nexthop',
        link: this.name,
        peer: loss.claim?.peer,
        found: `nexthop id ${loss.id} taken by somebody else`,
        wanted: nexthopKind.text(this.name, { ...loss, id: this.#ids.of(loss.gateway) }),
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

  #routeEntry(route: Parameters<typeof routeEntry>[0], device: Device): RouteEntry {
    return routeEntry(
      route,
      device,
      this.#routes.desired(route.destination.key),
      id => this.#nexthops.actual(id) !== undefined,
    );
  }
}
