/**
 * The kernel's network configuration, as an interface of one page. `connectRoute` gives the real one, bound to
 * a network namespace; the fake kernel speaks the same bytes underneath.
 *
 * Every method rejects with NetlinkError when the kernel says no, and with SysError when the socket fails.
 * A list that changed while it was read is read again.
 */
import type { Family, Ip } from '../../base/ip.ts';
import type { ListenerEvent } from '../announcements.ts';
import type { NetlinkError } from '../errors.ts';
import type { Change, ListReader } from '../protocol.ts';
import type { BridgePort } from './bridge-port.ts';
import type { LinkCounters } from './counters.ts';
import type {
  Address,
  FdbEntry,
  Link,
  LinkChange,
  Neighbor,
  Netconf,
  NewAddress,
  NewFdbEntry,
  NewLink,
  NewNeighbor,
  NewNexthop,
  NewRoute,
  NewRule,
  Nexthop,
  Route,
  Rule,
} from './objects.ts';
import type { FilterKey, NewProgramFilter } from './program-filter.ts';
import type { Qdisc, TrafficFilter } from './traffic-control.ts';

export interface RouteFilter {
  readonly family?: Family | undefined;
  readonly table?: number | undefined;
  readonly protocol?: number | undefined;
  readonly oif?: number | undefined;
}

/** What decides the way of a packet beside its destination (`ip route get 10.5.2.1 from 10.5.1.2 iif docker0 mark 7`). */
export interface RoutedPacket {
  readonly source?: Ip | undefined;
  /** Index of the link that it comes in by; without one it is this host's own. */
  readonly iif?: number | undefined;
  readonly oif?: number | undefined;
  readonly mark?: number | undefined;
  /** IPPROTO_*: 17 for UDP, whose destination port a rule may look at, too. */
  readonly protocol?: number | undefined;
  readonly toPort?: number | undefined;
  /** Answer with the entry of the table itself (`fibmatch`), instead of what follows from it for the one address. */
  readonly entry?: boolean | undefined;
}

/** What the kernel announces on its multicast groups, decoded. */
export type KernelEvent =
  | { readonly type: 'link'; readonly gone: boolean; readonly link: Link }
  /** What a bridge says of one of its ports; `index` is that of the port's link. */
  | { readonly type: 'port'; readonly gone: boolean; readonly index: number; readonly port: BridgePort }
  | { readonly type: 'address'; readonly gone: boolean; readonly address: Address }
  | { readonly type: 'route'; readonly gone: boolean; readonly route: Route }
  | { readonly type: 'nexthop'; readonly gone: boolean; readonly nexthop: Nexthop }
  | { readonly type: 'neighbor'; readonly gone: boolean; readonly neighbor: Neighbor }
  | { readonly type: 'fdb'; readonly gone: boolean; readonly entry: FdbEntry }
  | { readonly type: 'rule'; readonly gone: boolean; readonly rule: Rule }
  | { readonly type: 'netconf'; readonly gone: boolean; readonly netconf: Netconf }
  /** Queues or filters of a link have come, changed or gone; of several links where there is no index. */
  | { readonly type: 'traffic'; readonly index?: number }
  | ListenerEvent;

export type EventGroup =
  | 'link'
  | 'address'
  | 'route'
  | 'nexthop'
  | 'neighbor'
  | 'rule'
  | 'netconf'
  | 'traffic';

export interface Rtnetlink extends AsyncDisposable {
  links: {
    list(): Promise<Link[]>;
    /** undefined when there is none. */
    get(nameOrIndex: string | number): Promise<Link | undefined>;
    /** undefined when there is no such link. */
    counters(index: number): Promise<LinkCounters | undefined>;
    add(link: NewLink): Promise<void>;
    change(nameOrIndex: string | number, change: LinkChange): Promise<void>;
    delete(nameOrIndex: string | number, inside?: Pick<LinkChange, 'targetNetnsId'>): Promise<void>;
    /** All of a group, which takes as long as one. ENODEV when there is none, EPERM for group 0. */
    deleteGroup(group: number): Promise<void>;
  };
  addresses: {
    list(filter?: { index?: number; family?: Family }): Promise<Address[]>;
    replace(address: NewAddress): Promise<void>;
    delete(address: NewAddress): Promise<void>;
  };
  routes: {
    list(filter?: RouteFilter): Promise<Route[]>;
    read(filter: RouteFilter, reader: ListReader<Route>): Promise<void>;
    /** The route the kernel would use for a packet to `destination` (`ip route get`). */
    lookup(destination: Ip, packet?: RoutedPacket): Promise<Route>;
    replace(route: NewRoute): Promise<void>;
    delete(route: NewRoute): Promise<void>;
  };
  nexthops: {
    /** False for kernels before 5.3, where the list is always empty. */
    supported(): Promise<boolean>;
    list(): Promise<Nexthop[]>;
    /** Those of one link. */
    read(filter: { readonly oif: number }, reader: ListReader<Nexthop>): Promise<void>;
    replace(nexthop: NewNexthop): Promise<void>;
    delete(id: number): Promise<void>;
  };
  neighbors: {
    list(filter?: { index?: number; family?: Family }): Promise<Neighbor[]>;
    read(filter: { readonly index: number }, reader: ListReader<Neighbor>): Promise<void>;
    replace(neighbor: NewNeighbor): Promise<void>;
    delete(neighbor: NewNeighbor): Promise<void>;
  };
  fdb: {
    /** Entries of one link; of a bridge, those of its ports too. None when the link is gone. */
    list(index: number): Promise<FdbEntry[]>;
    /** Entries of one link, without those of its ports. */
    read(filter: { readonly index: number }, reader: ListReader<FdbEntry>): Promise<void>;
    replace(entry: NewFdbEntry): Promise<void>;
    /** Adds another destination for the same address (head-end replication). */
    append(entry: NewFdbEntry): Promise<void>;
    delete(entry: NewFdbEntry): Promise<void>;
  };
  rules: {
    list(family?: Family): Promise<Rule[]>;
    add(rule: NewRule): Promise<void>;
    delete(rule: NewRule): Promise<void>;
  };

  /** What holds back, changes or drops packets of links. */
  traffic: {
    /** Of all links. */
    qdiscs(): Promise<Qdisc[]>;
    /** @param parent handle of a queue, TC_H_CLSACT_INGRESS or TC_H_CLSACT_EGRESS. */
    filters(index: number, parent: number): Promise<TrafficFilter[]>;
    /** What holds filters of both ways. EEXIST when the link has one. */
    addClsact(index: number): Promise<void>;
    /** Its filters go with it, whoever they are of. */
    deleteClsact(index: number): Promise<void>;
    /** In one step where there is one of its key. */
    setProgram(filter: NewProgramFilter): Promise<void>;
    deleteFilter(filter: FilterKey): Promise<void>;
  };

  netconf: {
    /** One for each link, and those of `all` and `default`. */
    list(): Promise<Netconf[]>;
  };

  /** What `Link.netnsId` is for links whose other end is in the namespace of this open file; undefined when none is. */
  netnsId(fd: number): Promise<number | undefined>;

  /**
   * Sends many changes in few system calls, in order, and waits for all answers. A refused change never stops
   * the next one; the result has one element per change, undefined where the kernel agreed.
   */
  apply(changes: readonly Change[]): Promise<(NetlinkError | undefined)[]>;

  /**
   * Announcements from now on; ends when `signal` aborts. Waits on the socket, never polls. With `exceptOwn` without
   * those that this connection has caused, as far as the kernel knows the cause: of FDB entries it never does.
   */
  watch(
    groups: readonly EventGroup[],
    signal: AbortSignal,
    options?: { readonly exceptOwn?: boolean },
  ): AsyncIterable<KernelEvent>;

  /** Modifying requests sent since the connection was opened. */
  readonly writes: number;
}
