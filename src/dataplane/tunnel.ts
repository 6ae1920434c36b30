/**
 * One tunnel device with its four tables: the entries that the paths over this device come to, and the comparison
 * of all of them with the kernel.
 *
 * Entries are added from the far end of the packet's way to the near one (FDB, neighbor, next hop, route) and removed
 * in the other direction, so that no packet is sent into a way that is not complete.
 */
import type { Nexthop, Route } from '../netlink/objects.ts';
import type { KernelEvent, Rtnetlink } from '../netlink/rtnetlink.ts';
import type { DesiredPeer, PeerPath } from './desired.ts';
import { type Claim, type Device, PROTOCOL } from './entry.ts';
import { fdbEntry, fdbKey, fdbKind, type TunnelFdbEntry } from './fdb.ts';
import { type NeighborEntry, neighborEntry, neighborKey, neighborKind } from './neighbors.ts';
import { type NexthopEntry, NexthopIds, nexthopEntry, nexthopKey, nexthopKind } from './nexthops.ts';
import type { RepairCause } from './report.ts';
import { isComparable, type RouteEntry, routeEntry, routeKey, routeKind } from './routes.ts';
import type { AnyStake, StakeReport } from './stake.ts';
import { type AnyTable, Table, type TableEnvironment, type Write } from './table.ts';

/** What tunnels share of the kernel, read once for all of them. */
export interface SharedDump {
  /** undefined where the kernel has no next hop objects, or they are not to be used. */
  readonly nexthops: readonly Nexthop[] | undefined;
  readonly routes: readonly Route[];
}

export interface TunnelOptions {
  readonly name: string;
  /** All peers with a path over this device, with that path. */
  readonly peers: () => Iterable<readonly [DesiredPeer, PeerPath]>;
  readonly environment: Omit<TableEnvironment, 'onDoubt'>;
}

export class Tunnel {
  readonly name: string;
  readonly #peers: TunnelOptions['peers'];
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
  /** Why only a dump can tell what the kernel holds. */
  #doubt: { readonly reason: string; readonly cause: RepairCause } | undefined;

  constructor({ name, peers, environment }: TunnelOptions) {
    this.name = name;
    this.#peers = peers;
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
    this.#doubt ??= { reason, cause: 'drift' };
  }

  /** States a peer's path over this device, in the place of what it was. */
  restate(peer: DesiredPeer, path: PeerPath | undefined, before: PeerPath | undefined): void {
    if (!this.#isStated) return;
    const stakes = path === undefined ? [] : this.#stakes(peer, path);
    for (const stake of stakes) stake.claim();
    if (before === undefined) return;
    const kept = new Set(stakes.map(stake => stake.entry));
    for (const stake of this.#stakes(peer, before)) if (!kept.has(stake.entry)) stake.release();
  }

  /** Notes an announcement. True when it contradicts what is believed. */
  note(event: KernelEvent): boolean {
    const device = this.#device;
    if (device === undefined) return false;
    switch (event.type) {
      case 'neighbor': {
        if (event.neighbor.index !== device.index) return false;
        const key = neighborKey(event.neighbor.ip);
        return this.#neighbors.note(key, event.gone ? undefined : neighborEntry(event.neighbor));
      }
      case 'fdb': {
        if (event.entry.index !== device.index) return false;
        const key = fdbKey(event.entry.mac, event.entry.destination);
        return this.#fdb.note(key, event.gone ? undefined : fdbEntry(event.entry));
      }
      case 'nexthop': {
        const key = nexthopKey(event.nexthop.id);
        if (!this.#isOurs(event.nexthop, device) && this.#nexthops.desired(key) === undefined) return false;
        return this.#nexthops.note(key, event.gone ? undefined : nexthopEntry(event.nexthop));
      }
      case 'route': {
        if (!isComparable(event.route)) return false;
        const key = routeKey(event.route.destination);
        const entry = this.#routeEntry(event.route, device);
        return this.#routes.note(key, event.gone ? undefined : entry);
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

  /** Compares everything with the kernel. @param shared read after the notification socket was read empty. */
  async resync(rtnetlink: Rtnetlink, shared: SharedDump): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    const doubt = this.#doubt;
    const cause = doubt?.cause ?? 'drift';
    const ours = this.#takeNexthops(shared.nexthops, device);
    this.#nexthops.believeDump(
      ours.map(nexthop => [nexthopKey(nexthop.id), nexthopEntry(nexthop)]),
      cause,
    );
    // One list after the other, so that only one of them takes memory.
    const fdb = await rtnetlink.fdb.list(device.index);
    this.#fdb.believeDump(
      fdb.map(entry => [fdbKey(entry.mac, entry.destination), fdbEntry(entry)]),
      cause,
    );
    const neighbors = await rtnetlink.neighbors.list({ index: device.index });
    this.#neighbors.believeDump(
      neighbors.map(entry => [neighborKey(entry.ip), neighborEntry(entry)]),
      cause,
    );
    this.#routes.believeDump(
      shared.routes
        .filter(isComparable)
        .map(route => [routeKey(route.destination), this.#routeEntry(route, device)]),
      cause,
    );
    // Only now it is dispelled: a dump that fails leaves it, and one that arose meanwhile stays.
    if (this.#doubt === doubt) this.#doubt = undefined;
  }

  *additions(): Generator<Write> {
    if (this.#device === undefined) return;
    for (const table of this.#tables) yield* table.additions(this.#device);
  }

  *removals(): Generator<Write> {
    if (this.#device === undefined) return;
    for (const table of this.#tables.toReversed()) yield* table.removals(this.#device);
  }

  /** What a path comes to; nothing before the kernel was looked at. */
  inspect(peer: DesiredPeer, path: PeerPath): StakeReport[] {
    return this.#isStated ? this.#stakes(peer, path).map(stake => stake.inspect()) : [];
  }

  #sum(count: (table: AnyTable) => number): number {
    return this.#tables.reduce((sum, table) => sum + count(table), 0);
  }

  #stakes(peer: DesiredPeer, { subnet, gateway, mac, underlayIp }: PeerPath): AnyStake[] {
    const claim: Claim = { peer: peer.key, revision: peer.revision };
    const stakes: AnyStake[] = [
      this.#fdb.stake(fdbKey(mac, underlayIp), {
        claim,
        mac,
        destination: underlayIp,
        permanent: true,
        diverted: false,
      }),
      this.#neighbors.stake(neighborKey(gateway), { claim, ip: gateway, mac, permanent: true }),
    ];
    const route = { claim, destination: subnet, standing: 'ours', gateway, underlayIp } as const;
    if (this.#usesNexthops) {
      const id = this.#ids.of(gateway);
      stakes.push(
        this.#nexthops.stake(nexthopKey(id), { claim, id, gateway, onlink: true }),
        this.#routes.stake(routeKey(subnet), { ...route, nexthopId: id }),
      );
    } else stakes.push(this.#routes.stake(routeKey(subnet), route));
    return stakes;
  }

  /** Learns which numbers are ours and which are not, and states everything anew when that changes what is wanted. */
  #takeNexthops(nexthops: readonly Nexthop[] | undefined, device: Device): readonly Nexthop[] {
    const ours = (nexthops ?? []).filter(nexthop => this.#isOurs(nexthop, device));
    const displaced = this.#ids.avoid(
      (nexthops ?? []).filter(nexthop => !this.#isOurs(nexthop, device)).map(({ id }) => id),
    );
    if (!this.#isStated) this.#adoptIds(ours);
    const usesNexthops = nexthops !== undefined;
    if (this.#isStated && !displaced && usesNexthops === this.#usesNexthops) return ours;
    this.#usesNexthops = usesNexthops;
    this.#isStated = true;
    for (const table of this.#tables) table.releaseAll();
    for (const [peer, path] of this.#peers()) this.restate(peer, path, undefined);
    return ours;
  }

  /** Keeps the numbers that wanted gateways have from before. */
  #adoptIds(ours: readonly Nexthop[]): void {
    const wanted = new Set<string>();
    for (const [, { gateway }] of this.#peers()) wanted.add(gateway.toString());
    for (const { id, gateway } of ours) {
      if (gateway !== undefined && wanted.has(gateway.toString())) this.#ids.adopt(id, gateway);
    }
  }

  #isOurs({ protocol, oif }: Nexthop, device: Device): boolean {
    return protocol === PROTOCOL && oif === device.index;
  }

  #routeEntry(route: Parameters<typeof routeEntry>[0], device: Device): RouteEntry {
    return routeEntry(
      route,
      device,
      this.#routes.desired(routeKey(route.destination)),
      id => this.#nexthops.actual(nexthopKey(id)) !== undefined,
    );
  }
}
