/**
 * Routes to the peers' subnets, in table main with the default metric, as flannel makes them; ours carry our own
 * protocol number, by which they are recognized from then on.
 *
 * A route is looked at when its destination is wanted or when it is ours. What stands at a wanted destination is
 *
 *     ours       protocol 77 on the device
 *     adoptable  made by flannel for the same peer: anything on our device, or straight to the peer's public
 *                address, which is what DirectRouting and host-gw leave behind; what was added by hand just
 *                as it is wanted; and ours that was led astray, by another next hop object under our number, or by
 *                another route in its place
 *     foreign    anything else; it is in the way, and stays
 *
 * What is not desired is removed when it is ours, or flannel's on our device: there it made one route per peer, always
 * in the same form, and a peer of then need not be one now.
 */
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { Change } from '../../netlink/protocol.ts';
import { change } from '../../netlink/route/change.ts';
import {
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_BOOT,
  RTPROT_KERNEL,
  RTPROT_STATIC,
} from '../../netlink/route/constants.ts';
import type { Route } from '../../netlink/route/objects.ts';
import { routeLine } from '../../netlink/text/entries.ts';
import { type Device, type Entry, type EntryKind, PROTOCOL, THIS_DEVICE } from './entry.ts';

export interface RouteEntry extends Entry {
  readonly destination: Prefix;
  /** Of what is wanted, always `ours`. */
  readonly ownership: 'ours' | 'adoptable' | 'foreign';
  readonly nexthopId?: number;
  /** With a next hop object it is the object's, and here only to be shown. */
  readonly gateway?: Ip;
  readonly onlink: boolean;
  /** Absent: that of the link. */
  readonly mtu?: number;
  /** Address of this host that its own packets are from; absent: one of the link. */
  readonly source?: Ip;
  /** Of what is wanted: how the peer's host is reached. */
  readonly underlayIp?: Ip;
  /** Of one that is not ours: all of it. */
  readonly found?: Route;
  /** Of an adoptable one: flannel has made it, for a peer of this device. */
  readonly isFlannels?: boolean;
  /** Of a foreign one: the kernel made it for an address of this host. */
  readonly isBroughtByAddress?: boolean;
}

/** The metric of a route that states none: net/ipv4/fib_frontend.c, IP6_RT_PRIO_USER. */
const DEFAULT_METRIC = { ipv4: 0, ipv6: 1024 } as const;

/** One that could be ours or in the place of ours. */
export type ComparableRoute = Route & { readonly destination: Prefix };

/** Whether a route could be: it has the default metric, in table main, for any type of service. */
export function isComparable(route: Route): route is ComparableRoute {
  return (
    route.destination !== undefined &&
    route.table === RT_TABLE_MAIN &&
    route.tos === undefined &&
    (route.priority ?? 0) === DEFAULT_METRIC[route.family]
  );
}

/**
 * @param desired what is wanted at the same destination.
 * @param isOurNexthop whether a next hop object is one of ours on this device.
 */
export function routeEntry(
  route: ComparableRoute,
  device: Device,
  desired: RouteEntry | undefined,
  isOurNexthop: (id: number) => boolean,
): RouteEntry {
  const { destination, nexthopId, gateway, protocol } = route;
  const { owns } = device;
  const hop = {
    onlink: (route.flags & RTNH_F_ONLINK) !== 0,
    ...(nexthopId === undefined ? {} : { nexthopId }),
    ...(gateway === undefined ? {} : { gateway }),
  };
  const { mtu, preferredSource: source } = route;
  const way = mtu === undefined && source === undefined ? hop : { ...hop, ...defined({ mtu, source }) };
  // With nexthop_compat_mode=0 the kernel does not repeat the device of the object.
  const onDevice =
    route.oif === device.index ||
    (route.oif === undefined && nexthopId !== undefined && isOurNexthop(nexthopId));
  if (onDevice && protocol === PROTOCOL && isPlainUnicast(route)) {
    return { destination, ownership: 'ours', ...way };
  }
  const direct = protocol === RTPROT_BOOT && gateway !== undefined && gateway.equals(desired?.underlayIp);
  const isAlreadyRight = onDevice && desired !== undefined && isStatedAs(desired, route);
  if (onDevice && owns.routes && isFlannels(route)) {
    return { destination, ownership: 'adoptable', ...way, found: route, isFlannels: true };
  }
  if ((onDevice && owns.routes) || direct || isAlreadyRight || protocol === PROTOCOL) {
    return { destination, ownership: 'adoptable', ...way, found: route };
  }
  const isBroughtByAddress = protocol === RTPROT_KERNEL;
  return { destination, ownership: 'foreign', ...way, found: route, isBroughtByAddress };
}

export const routeKind: EntryKind<RouteEntry, Change> = {
  object: 'route',
  key: ({ destination }) => destination.key,
  name: ({ destination }) => destination.toString(),
  same: (desired, actual) =>
    desired.ownership === actual.ownership &&
    desired.nexthopId === actual.nexthopId &&
    desired.mtu === actual.mtu &&
    desired.source?.key === actual.source?.key &&
    (desired.nexthopId !== undefined || (desired.onlink === actual.onlink && sameGateway(desired, actual))),
  ours: actual => actual.ownership === 'ours' || actual.isFlannels === true,
  displaced: actual => ({ ...actual, ownership: 'adoptable' }),
  conflicts: actual => actual.ownership === 'foreign',
  write(device, desired, actual) {
    const route = newRoute(device, desired);
    return actual === undefined ? change.addRoute(route) : change.replaceRoute(route);
  },
  // The kernel takes two routes with one next hop object for the same, whatever their MTU (net/ipv4/fib_semantics.c,
  // fib_find_info_nh), and keeps the old one; after a route of another kind it makes ours anew.
  prelude: (device, desired, { nexthopId }) =>
    nexthopId !== undefined && nexthopId === desired.nexthopId
      ? change.replaceRoute(newRoute(device, { ...desired, nexthopId: undefined }))
      : undefined,
  remove(device, actual) {
    const route = newRoute(device, actual);
    return change.deleteRoute(actual.isFlannels === true ? { ...route, protocol: RTPROT_BOOT } : route);
  },
  text: (entry, nameOf) => `route ${routeLine(entry.found ?? shownRoute(entry), nameOf)}`,
};

/** One of ours as the kernel lists it, with the gateway of its next hop object. */
function shownRoute(entry: RouteEntry): Route {
  const { destination, gateway, onlink } = entry;
  const route = newRoute({ index: THIS_DEVICE }, entry);
  const shown = {
    family: destination.family,
    oif: THIS_DEVICE,
    flags: onlink ? RTNH_F_ONLINK : 0,
    unknown: [],
  };
  return { ...route, ...shown, ...(gateway === undefined ? {} : { gateway }) };
}

function sameGateway(a: RouteEntry, b: RouteEntry): boolean {
  return a.gateway === undefined ? b.gateway === undefined : a.gateway.equals(b.gateway);
}

type Way = { readonly nexthopId?: number | undefined } & Pick<
  RouteEntry,
  'destination' | 'gateway' | 'onlink' | 'mtu' | 'source'
>;

function newRoute({ index }: Pick<Device, 'index'>, way: Way) {
  const { destination, nexthopId, gateway, onlink, mtu, source } = way;
  const isDirect = nexthopId === undefined && gateway === undefined && destination.family === 'ipv4';
  const route = {
    destination,
    protocol: PROTOCOL,
    table: RT_TABLE_MAIN,
    scope: isDirect ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    type: RTN_UNICAST,
    ...(mtu === undefined ? {} : { mtu }),
    ...(source === undefined ? {} : { preferredSource: source }),
  };
  if (nexthopId !== undefined) return { ...route, nexthopId };
  const flags = onlink ? RTNH_F_ONLINK : 0;
  return { ...route, oif: index, flags, ...(gateway === undefined ? {} : { gateway }) };
}

/** The route that flannel makes for a peer (pkg/backend/vxlan/vxlan_network.go): through the subnet's own base. */
function isFlannels({ destination, gateway, protocol, flags, nexthopId, ...rest }: ComparableRoute): boolean {
  const hasForm = gateway?.equals(destination.ip) === true && (flags & RTNH_F_ONLINK) !== 0;
  return hasForm && protocol === RTPROT_BOOT && nexthopId === undefined && rest.type === RTN_UNICAST;
}

/** Whether nothing but the next hop, the MTU and the source distinguishes it from ours. */
function isPlainUnicast({ type, encap }: Route): boolean {
  return type === RTN_UNICAST && encap === undefined;
}

/** Whether flannel's host-gw, or a person, has added what is wanted; those of a routing daemon are the daemon's. */
function isStatedAs(desired: RouteEntry, route: ComparableRoute): boolean {
  const { protocol, gateway, mtu, nexthopId, flags, preferredSource } = route;
  const isByHand = protocol === RTPROT_BOOT || protocol === RTPROT_STATIC;
  const onlink = (flags & RTNH_F_ONLINK) !== 0;
  const isSameWay = gateway?.key === desired.gateway?.key && mtu === desired.mtu && onlink === desired.onlink;
  const isSameSource = preferredSource?.key === desired.source?.key;
  return isByHand && isSameWay && isSameSource && nexthopId === undefined && isPlainUnicast(route);
}
